import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Health, newRegistry, startMetricsServer } from '@weft/runtime/observability.ts';

const program = fileURLToPath(new URL('fixtures/leaving-process.ts', import.meta.url));

interface Child {
  readonly process: ChildProcess;
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  lines(): Record<string, unknown>[];
  saw(message: string): Promise<void>;
}

function start(mode: string): Child {
  const child = spawn(process.execPath, [program, mode], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (data: string) => {
    text += data;
    child.emit('wrote');
  });
  const lines = (): Record<string, unknown>[] =>
    text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line));
  const saw = async (message: string): Promise<void> => {
    const deadline = AbortSignal.timeout(10_000);
    while (!lines().some((line) => line.msg === message)) await once(child, 'wrote', { signal: deadline });
  };
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) =>
    child.once('close', (code, signal) => resolve({ code, signal })),
  );
  return { process: child, ended, lines, saw };
}

test('SIGTERM closes what was started and ends with 0', async () => {
  const child = start('good');
  await child.saw('started');
  child.process.kill('SIGTERM');
  assert.deepEqual(await child.ended, { code: 0, signal: null });
  assert.deepEqual(
    child.lines().map((line) => line.msg),
    ['started', 'leaving', 'closed', 'left'],
  );
});

test('a start that is told to leave is cut short and ends with 0', async () => {
  const child = start('slow-start');
  await child.saw('starting');
  child.process.kill('SIGTERM');
  assert.deepEqual(await child.ended, { code: 0, signal: null });
});

test('a second signal ends the process at once', async () => {
  const child = start('slow-close');
  await child.saw('started');
  child.process.kill('SIGINT');
  await child.saw('closing');
  child.process.kill('SIGTERM');
  assert.deepEqual(await child.ended, { code: 143, signal: null });
});

test('closing that takes too long is ended with 1', async () => {
  const child = start('endless-close');
  await child.saw('started');
  child.process.kill('SIGTERM');
  assert.deepEqual(await child.ended, { code: 1, signal: null });
  assert.equal(child.lines().at(-1)?.level, 'fatal');
});

for (const [mode, message] of [
  ['failing-start', 'no database'],
  ['failing-close', 'cannot close'],
  ['unhandled-rejection', 'nobody caught this'],
  ['thrown-later', 'thrown in a timer'],
] as const) {
  test(`${mode} is logged as fatal and ends with 1`, async () => {
    const child = start(mode);
    if (mode === 'failing-close') {
      await child.saw('started');
      child.process.kill('SIGTERM');
    }
    assert.deepEqual(await child.ended, { code: 1, signal: null });
    const last = child.lines().at(-1);
    assert.equal(last?.level, 'fatal');
    assert.match(JSON.stringify(last?.err), new RegExp(message));
  });
}

test('a bad configuration is told in full before anything starts', async () => {
  const child = start('bad-configuration');
  assert.deepEqual(await child.ended, { code: 1, signal: null });
  assert.match(JSON.stringify(child.lines().at(-1)), /WEFT_PORT: is missing/);
});

test('the metrics port answers liveness, readiness and metrics, and nothing else', async () => {
  const health = new Health();
  health.set('sql', false);
  const registry = newRegistry('test');
  await using server = await startMetricsServer({ host: '127.0.0.1', port: 0, health, registry });
  const get = async (path: string, method = 'GET'): Promise<{ status: number; text: string }> => {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { method });
    return { status: response.status, text: await response.text() };
  };
  assert.deepEqual(await get('/ready'), { status: 503, text: '{"ready":false,"draining":false,"not_ready":["sql"]}' });
  health.set('sql', true);
  assert.equal((await get('/ready?probe=1')).status, 200);
  health.draining();
  assert.equal((await get('/ready')).status, 503);
  assert.equal((await get('/live')).status, 200);
  const { text } = await get('/metrics');
  assert.match(text, /^process_cpu_seconds_total\{service="test"\}/m);
  assert.equal((await get('/')).status, 404);
  assert.equal((await get('/metrics', 'POST')).status, 405);
});

test('a metrics port that is taken is an error', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as { port: number };
  await assert.rejects(startMetricsServer({ host: '127.0.0.1', port, health: new Health(), registry: newRegistry('test') }), {
    code: 'EADDRINUSE',
  });
  taken.close();
  await once(taken, 'close');
});
