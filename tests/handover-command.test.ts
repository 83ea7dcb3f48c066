// `npm run handover` as an operator runs it.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { startFabric, type TestFabric } from './harness.ts';

const program = join(dirname(import.meta.dirname), 'local', 'owner.ts');
let fabric: TestFabric;

before(async () => {
  fabric = await startFabric({ cells: ['eu-1', 'us-1'] });
});

after(() => fabric?.stop());

async function handover(...args: string[]): Promise<{ code: number; out: string }> {
  return promisify(execFile)(process.execPath, [program, ...args], { timeout: 30_000 }).then(
    ({ stdout }) => ({ code: 0, out: stdout }),
    (error: { code: number; stdout: string; stderr: string }) => ({ code: error.code, out: error.stdout + error.stderr }),
  );
}

test('a log is given to another cell, found by the folder and by the port base', async () => {
  const { dataDir, plan } = fabric.fabric;
  const [ana, uma] = [await fabric.client('ana', 'eu-1'), await fabric.client('uma', 'us-1')];
  const log = await ana.createGroup([uma.user]);
  await uma.toldUpTo(log, 1);
  const where = ['--data', dataDir, '--port-base', String(plan.portBase)];
  for (const to of ['us-1', 'eu-1']) {
    const { code, out } = await handover('--log', String(log), '--to', to, ...where);
    assert.equal(code, 0, out);
    assert.equal((JSON.parse(out) as { owner: string }).owner, to, 'it tells the owner of now, not of before');
  }
  const elsewhere = await handover('--log', String(log), '--to', 'us-1', '--data', dataDir, '--port-base', '60000');
  assert.deepEqual([elsewhere.code, /us-1 at http:.*: it does not run/.test(elsewhere.out)], [1, true], elsewhere.out);
});

test('what it cannot do is said, with what it can', async () => {
  const { dataDir } = fabric.fabric;
  assert.match((await handover()).out, /--port-base <number>[\s\S]*--log <id>/);
  assert.match((await handover('--log', 'mine', '--to', 'us-1')).out, /it is a decimal number/);
  assert.match((await handover('--log', '1', '--to', 'us-9', '--data', dataDir)).out, /there is no cell us-9/);
  assert.match((await handover('--log', '1', '--to', 'us-1', '--data', join(dataDir, 'none'))).out, /no fabric runs on/);
});
