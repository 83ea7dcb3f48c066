// Where is my message? Every cell is asked for one entry, in every state that it can be in.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { askNodes, type NodeAnswer, operatorToken } from '@weft/local/operator.ts';
import type { Passport } from '@weft/proto/passport.ts';
import { Scene } from './fault-harness.ts';
import { startFabric, type TestFabric } from './harness.ts';
import { until } from './until.ts';

const root = dirname(import.meta.dirname);
const answerMsMax = 1_000;
let fabric: TestFabric;

before(async () => {
  fabric = await startFabric({ cells: ['eu-1', 'us-1'] });
});

after(async () => {
  await fabric?.stop();
});

/** The command as a person runs it. */
async function where(...args: string[]): Promise<{ code: number; out: string }> {
  const run = promisify(execFile)(process.execPath, [join(root, 'local', 'where.ts'), ...args, '--data', fabric.fabric.dataDir], {
    timeout: 20_000,
  });
  return run.then(
    ({ stdout }) => ({ code: 0, out: stdout }),
    (error: { code: number; stdout: string; stderr: string }) => ({ code: error.code, out: error.stdout + error.stderr }),
  );
}

const ask = (query: string): Promise<NodeAnswer<Passport>[]> =>
  askNodes<Passport>(fabric.fabric.describe(), operatorToken(fabric.fabric.describe()), `where?${query}`);

test('a message that arrived is told hop by hop, from both cells, within a second and without its body', async (t) => {
  await using scene = await Scene.open(fabric, { label: 'told', cells: ['eu-1', 'us-1'], peoplePerCell: 1 });
  const [ana, bo] = [scene.one('eu-1'), scene.one('us-1')];
  // Of a pair, either cell may be the owner.
  const { log } = await scene.group([ana, bo]);
  await until('both cells have compared the other’s clock with their own', async () =>
    (await ask(`log=${log}&seq=1`)).every(({ answer }) => (answer?.clocks.length ?? 0) > 0),
  );
  const id = ana.freshEntryId();
  await ana.append({ log }, 'a secret of two', id);
  await scene.converge();
  const seq = ana.recorder.head(log);
  let took = 0;
  await until('its frame is acknowledged', async () => {
    const startMs = performance.now();
    const answers = await ask(`log=${log}&seq=${seq}`);
    took = performance.now() - startMs;
    return answers.some(({ answer }) => answer?.frames.some((frame) => frame.way === 'out' && frame.sure && frame.doneMs > 0));
  });
  assert.ok(took < answerMsMax, `${took} ms`);
  const { code, out } = await where(`${log}:${seq}`);
  t.diagnostic(`\n${out}`);
  assert.equal(code, 0);
  for (const said of [
    /accepted: a transaction of lane \d by node \d+/,
    /published to us-1, attempt 1/,
    /stored in the inbound stream, from eu-1/,
    /applied: committed/,
    /acknowledged by us-1/,
    /eu-1 has it/,
    /us-1 has it/,
    /phone of \d+, online since .*: has been told/,
    /us-1 is .* eu-1, ±/,
  ])
    assert.match(out, said);
  assert.ok(!out.includes('secret'));
  assert.equal((await where(`${ana.user}+${id}`)).out.includes(`${log}:${seq}, text by ${ana.user}`), true);
  const json = await where(`${log}:${seq}`, '--json');
  assert.ok(!json.out.includes('secret'));
  assert.equal((JSON.parse(json.out) as { answers: unknown[] }).answers.length, 2);
});

test('a message is told where it waits: in the outbox for a cell that is away, and as intake for its decision', async () => {
  await using scene = await Scene.open(fabric, { label: 'waits', cells: ['eu-1', 'us-1'], peoplePerCell: 1 });
  const [ana, bo] = [scene.one('eu-1'), scene.one('us-1')];
  const { log } = await scene.group([ana, bo]);
  await fabric.fabric.stop('hub-eu');
  try {
    await ana.append({ log }, 'to nowhere');
    const seq = ana.recorder.head(log);
    const own = bo.freshEntryId();
    assert.equal((await bo.append({ log }, 'undecided', own)).how, 'pending');
    const sent = await where(`${log}:${seq}`);
    assert.match(sent.out, /eu-1 has it, log up to \d+; frame \d+ waits for us-1 since/);
    assert.match(sent.out, /us-1 lacks it: log up to \d+/);
    const pending = await where(`${bo.user}+${own}`);
    assert.match(pending.out, /is pending: stored in us-1, eu-1 decides/);
    assert.match(pending.out, new RegExp(`number 1 of log ${log}, since .*first in line`));
  } finally {
    await fabric.fabric.start('hub-eu');
  }
  await scene.converge(40_000);
});

test('an unknown entry, a cell that is down and a folder without a fabric are clear answers', async () => {
  await using scene = await Scene.open(fabric, { label: 'unknown', cells: ['eu-1', 'us-1'], peoplePerCell: 1 });
  const { log } = await scene.group([scene.one('eu-1'), scene.one('us-1')]);
  const beyond = await where(`${log}:999`);
  assert.deepEqual([beyond.code, /there is no such entry. The log ends at 1/.test(beyond.out)], [2, true]);
  assert.match((await where('123:1')).out, /123:1: no cell knows it/);
  const wrong = await where('yesterday');
  assert.deepEqual([wrong.code === 0, /LOG:SEQ/.test(wrong.out)], [false, true]);
  await fabric.fabric.stop('node-us-1-a');
  try {
    assert.match((await where(`${log}:1`)).out, /node-us-1-a did not answer: it does not run/);
  } finally {
    await fabric.fabric.start('node-us-1-a');
  }
  const nowhere = await promisify(execFile)(process.execPath, [
    join(root, 'local', 'where.ts'),
    '1:1',
    '--data',
    join(fabric.fabric.dataDir, 'none'),
  ]).catch((error: { code: number; stderr: string }) => error);
  assert.match((nowhere as { stderr: string }).stderr, /no fabric runs on/);
});

test('who has no operator’s token is told nothing', async () => {
  const [node] = fabric.fabric.describe().cells.flatMap(({ nodes }) => nodes);
  for (const headers of [{}, { authorization: 'Bearer wrong' }, { authorization: operatorToken(fabric.fabric.describe()) }] as Record<
    string,
    string
  >[])
    for (const path of ['where?log=1&seq=1', 'books', 'logs/1'])
      assert.equal((await fetch(`${node?.url}/v1/operator/${path}`, { headers })).status, 401);
  const known = { authorization: `Bearer ${operatorToken(fabric.fabric.describe())}` };
  for (const query of ['', 'log=1', 'log=x&seq=1', 'log=1&seq=0', 'author=1', 'log=99999999999999999999&seq=1'])
    assert.equal((await fetch(`${node?.url}/v1/operator/where?${query}`, { headers: known })).status, 400);
});
