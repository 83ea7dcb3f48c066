import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Fabric, type FabricEvent } from '@weft/local/fabric.ts';
import { readFabric } from '@weft/local/fabric-file.ts';
import { freePortBase, portAnswers } from '@weft/local/ports.ts';
import { testFolder } from '@weft/local/test-servers.ts';
import { systemClock } from '@weft/runtime/clock.ts';

const upProgram = fileURLToPath(new URL('../local/up.ts', import.meta.url));
const folders: string[] = [];

function folder(): string {
  const dir = testFolder();
  folders.push(dir);
  return dir;
}

after(() => {
  for (const dir of folders) rmSync(dir, { recursive: true, force: true });
});

interface Up {
  readonly child: ChildProcess;
  readonly output: () => string;
  readonly errors: () => string;
  readonly ended: Promise<number | null>;
  readonly says: (text: string) => Promise<void>;
}

function up(...args: string[]): Up {
  const child = spawn(process.execPath, [upProgram, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const ended = once(child, 'close').then(([code]) => code as number | null);
  const says = async (text: string): Promise<void> => {
    while (!output.includes(text)) {
      const gone = await Promise.race([once(child.stdout, 'data').then(() => false), ended.then(() => true)]);
      if (gone && !output.includes(text)) throw new Error(`it ended without saying "${text}"\n${output}\n${errors}`);
    }
  };
  return { child, output: () => output, errors: () => errors, ended, says };
}

test('a taken port is named together with the process that wants it and the way out', async () => {
  const base = await freePortBase();
  const server = createServer().listen(base + 200, '127.0.0.1');
  await once(server, 'listening');
  try {
    const run = up('--data', folder(), '--port-base', String(base));
    assert.equal(await run.ended, 1);
    assert.match(run.errors(), new RegExp(`port ${base + 200} .* postgres-directory wants it`));
    assert.match(run.errors(), /--port-base/);
  } finally {
    server.close();
  }
});

test('a second fabric on the same data is refused with the number of the first', async () => {
  const dataDir = folder();
  await using _first = await Fabric.start({ dataDir, portBase: await freePortBase(), cells: ['eu-2'], kinds: ['valkey'] });
  const run = up('--data', dataDir, '--port-base', String(await freePortBase()));
  assert.equal(await run.ended, 1);
  assert.match(run.errors(), new RegExp(`already runs .* process ${process.pid}`));
  const reset = up('--data', dataDir, '--reset');
  assert.equal(await reset.ended, 1);
  assert.match(reset.errors(), /stop it before --reset/);
});

test('an unknown cell and a folder that is no fabric’s are refused before anything starts', async () => {
  const unknown = up('--data', folder(), '--cells', 'eu-9');
  assert.equal(await unknown.ended, 1);
  assert.match(unknown.errors(), /unknown cell eu-9; the cells are eu-1, eu-2, us-1, us-2/);
  const notOurs = up('--data', fileURLToPath(new URL('.', import.meta.url)), '--reset');
  assert.equal(await notOurs.ended, 1);
  assert.match(notOurs.errors(), /does not look like a fabric's data/);
});

test('what dies is started again and told, and what is stopped stays stopped', async () => {
  const events: FabricEvent[] = [];
  const dataDir = folder();
  await using fabric = await Fabric.start({
    dataDir,
    portBase: await freePortBase(),
    cells: ['eu-2'],
    kinds: ['valkey', 'postgres'],
    tell: (event) => events.push(event),
  });
  assert.equal(statSync(join(dataDir, 'fabric.json')).mode & 0o777, 0o600);
  assert.equal(statSync(join(dataDir, 'credentials.json')).mode & 0o777, 0o600);
  const before = fabric.pid('postgres-eu-2');
  await fabric.kill('postgres-eu-2');
  await fabric.start('postgres-eu-2');
  assert.notEqual(fabric.pid('postgres-eu-2'), before);
  assert.deepEqual(
    events.filter(({ name, what }) => name === 'postgres-eu-2' && what !== 'started').map(({ what }) => what),
    ['died', 'restarted'],
  );
  assert.equal(readFabric(dataDir).processes.find(({ name }) => name === 'postgres-eu-2')?.pid, fabric.pid('postgres-eu-2'));
  await fabric.stop('valkey-eu-2');
  assert.equal(fabric.pid('valkey-eu-2'), undefined);
  await fabric.settle();
  assert.equal(await portAnswers(fabric.plan.cells[0]?.valkeyPort ?? 0), false);
});

test('a PostgreSQL whose killed server’s processes still live is not started into their memory', {
  skip: process.platform !== 'linux' && 'only Linux tells who holds shared memory',
}, async () => {
  const events: FabricEvent[] = [];
  await using fabric = await Fabric.start({
    dataDir: folder(),
    portBase: await freePortBase(),
    cells: ['eu-2'],
    kinds: ['postgres'],
    tell: (event) => events.push(event),
  });
  const [name, failed] = ['postgres-eu-2', () => events.some(({ what }) => what === 'failing')];
  const server = fabric.pid(name) ?? 0;
  const [child = 0] = readFileSync(`/proc/${server}/task/${server}/children`, 'utf8').split(' ').map(Number);
  process.kill(child, 'SIGSTOP');
  try {
    await fabric.kill(name);
    // A start that is refused is told within a tenth of this.
    for (const deadline = performance.now() + 1_000; performance.now() < deadline && !failed(); ) await systemClock.sleep(10);
  } finally {
    process.kill(child, 'SIGCONT');
  }
  await fabric.start(name);
  assert.equal(failed(), false);
  assert.notEqual(fabric.pid(name), server);
});

test('no fabric running is said together with how to start one', () => {
  assert.throws(() => readFabric(folder()), /no fabric runs on .*npm start/);
});

test('off a terminal there are plain lines, and Ctrl-C stops everything and keeps the data', async () => {
  const dataDir = folder();
  const base = await freePortBase();
  const run = up('--data', dataDir, '--port-base', String(base), '--cells', 'eu-2');
  await run.says('weft: ready in ');
  const fabric = readFabric(dataDir);
  run.child.kill('SIGINT');
  assert.equal(await run.ended, 0);
  assert.equal(run.output().includes('\u001b'), false);
  assert.match(run.output(), /stopped in .*; the data is kept in /);
  assert.equal(run.errors(), '');
  for (const { name, pid } of fabric.processes) assert.equal(existsSync(`/proc/${pid}`), false, `${name} still runs`);
  assert.ok(existsSync(join(dataDir, 'postgres-eu-2', 'PG_VERSION')));
  const secrets = readFileSync(join(dataDir, 'credentials.json'), 'utf8');
  const again = up('--data', dataDir, '--port-base', String(base), '--cells', 'eu-2');
  await again.says('weft: ready in ');
  again.child.kill('SIGTERM');
  assert.equal(await again.ended, 0);
  assert.equal(readFileSync(join(dataDir, 'credentials.json'), 'utf8'), secrets);
});
