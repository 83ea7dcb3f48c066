// Single messages between cells that are lost, late or said twice on purpose, one at a time; the history checker judges.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { inboundFrames, Scene, stealInbound } from './fault-harness.ts';
import { startFabric, type TestFabric } from './harness.ts';
import { metricIn, metricsOf } from './metrics-of.ts';
import type { RecordedDevice } from './recorded-device.ts';
import type { Answer } from './recorded-line.ts';
import { until } from './until.ts';

const mebibyte = 1_048_576;
let fabric: TestFabric;

const seqOf = (answer: Answer): number => (answer.how === 'accepted' ? answer.seq : assert.fail(answer.how));

before(async () => {
  fabric = await startFabric({ cells: ['eu-1', 'us-1'], env: { 'node-us-1-a': { WEFT_INBOUND_BYTES_MAX: String(mebibyte) } } });
});

after(async () => {
  await fabric?.stop();
});

const open = (label: string, peoplePerCell = 1): Promise<Scene> => Scene.open(fabric, { label, cells: ['eu-1', 'us-1'], peoplePerCell });

/** Frames of one kind that a node counted towards the other cell. */
async function frames(node: string, what: string): Promise<number> {
  const text = await metricsOf(fabric.fabric.servers().find(({ name }) => name === node));
  return metricIn(text, 'cells_link_frames_total', `what="${what}"`);
}

test('an inbound stream that was full takes messages again once they are consumed', async (t) => {
  await using scene = await open('full');
  const [ana, bo] = [scene.one('eu-1'), scene.one('us-1')];
  const { log } = await scene.group([ana, bo]);
  const large = 'x'.repeat(12_000);
  const refusedBefore = await frames('node-eu-1-a', 'refused');
  await fabric.fabric.stop('node-us-1-a');
  try {
    await Promise.all(Array.from({ length: 250 }, (_, i) => ana.append({ log }, `${i} ${large}`)));
    await until('the broker refuses', async () => (await frames('node-eu-1-a', 'refused')) > refusedBefore);
  } finally {
    await fabric.fabric.start('node-us-1-a');
  }
  await scene.converge(40_000);
  // Full once more, as often as one likes: what was consumed takes no room.
  await Promise.all(Array.from({ length: 250 }, (_, i) => ana.append({ log }, `again ${i} ${large}`)));
  await scene.judge(t, { repairMsMax: 20_000 });
});

test('a frame that was acknowledged away by somebody else, inside the dedupe window, is made up for within five seconds', async (t) => {
  await using scene = await open('stolen');
  const [ana, bo] = [scene.one('eu-1'), scene.one('us-1')];
  const { log } = await scene.group([ana, bo]);
  let seq = 0;
  await fabric.fabric.stop('node-us-1-a');
  try {
    seq = seqOf(await ana.append({ log }, 'stolen'));
    await stealInbound(fabric, 'us-1', (subjects) => subjects.some((subject) => subject.includes('.e.')));
  } finally {
    await fabric.fabric.start('node-us-1-a');
  }
  const startMs = performance.now();
  await until('it is shown', () => bo.isLive && bo.recorder.head(log) >= seq, 5_000);
  t.diagnostic(`shown ${Math.round(performance.now() - startMs)} ms after the cell was back`);
  await scene.judge(t);
});

test('a first message that is lost on the way to the owner keeps its place before the second', async (t) => {
  await using scene = await open('lost');
  const [ana, bo] = [scene.one('eu-1'), scene.one('us-1')];
  const { log } = await scene.group([ana, bo]);
  await fabric.fabric.stop('node-eu-1-a');
  try {
    await bo.append({ log }, 'first');
    await stealInbound(fabric, 'eu-1', (subjects) => subjects.some((subject) => subject.includes('.i.')));
    await bo.append({ log }, 'second');
  } finally {
    await fabric.fabric.start('node-eu-1-a');
  }
  await scene.judge(t, { repairMsMax: 10_000 });
  assert.deepEqual(await textsOf(scene, log), ['first', 'second']);
});

test('a refusal whose frame was lost comes again within five seconds, and stays one although the author may write again', async (t) => {
  await using scene = await open('refused', 2);
  const [ana, bo] = [scene.one('eu-1'), scene.one('us-1')];
  const { log } = await scene.group([ana, scene.one('eu-1', 1), bo, scene.one('us-1', 1)]);
  await bo.append({ log }, 'before');
  await scene.converge();
  // Removed, and the removal does not come through: bo's cell takes the next append for the owner to decide.
  await fabric.fabric.stop('hub-us');
  await changeMembers(ana, log, { remove: [bo.user] });
  await fabric.fabric.stop('node-eu-1-a');
  await fabric.fabric.start('hub-us');
  const id = bo.freshEntryId();
  assert.equal((await bo.append({ log }, 'while removed', id)).how, 'pending');
  await until('the owner’s broker has it', async () => (await inboundFrames(fabric, 'eu-1')) > 0);
  await fabric.fabric.stop('node-us-1-a');
  await fabric.fabric.start('node-eu-1-a');
  await until('it is refused', async () => (await decidedBy(scene, log)) === 2);
  await changeMembers(ana, log, { add: [bo.user] });
  await stealInbound(fabric, 'us-1', (subjects) => subjects.some((subject) => subject.includes('.v.')));
  await fabric.fabric.start('node-us-1-a');
  const startMs = performance.now();
  await until('bo is told', () => bo.refusedIds.has(id), 5_000);
  t.diagnostic(`told ${Math.round(performance.now() - startMs)} ms after the cell was back`);
  await until('bo is back', () => bo.logs.has(log));
  await bo.append({ log }, 'after');
  await scene.judge(t, { repairMsMax: 10_000 });
  assert.deepEqual(await textsOf(scene, log), ['before', 'after']);
});

test('a mark whose frame was lost waits until it is acknowledged, and is told again', async () => {
  const [ana, bo] = [await fabric.client('marks-ana', 'eu-1'), await fabric.client('marks-bo', 'us-1')];
  const log = await ana.createGroup([bo.user]);
  await bo.toldUpTo(log, 1);
  const { seq, epoch } = await ana.accepted({ log }, 'to be seen');
  await bo.toldUpTo(log, Number(seq));
  const waiting = async (): Promise<number> => Number((await fabric.sql('us-1', 'select count(*) as n from marks_out'))[0]?.n);
  await until('nothing waits', async () => (await waiting()) === 0);
  await fabric.fabric.stop('node-eu-1-a');
  try {
    await bo.ask({ $case: 'setMark', value: { log, kind: 'MARK_KIND_SEEN', epoch, seq } }, 'done');
    await stealInbound(fabric, 'eu-1', (subjects) => subjects.some((subject) => subject.includes('.m.')));
    assert.equal(await waiting(), 1);
  } finally {
    await fabric.fabric.start('node-eu-1-a');
  }
  const seen = async (): Promise<boolean> =>
    (await fabric.sql('eu-1', 'select seen_seq from marks where log_id = $1 and user_id = $2', [log, bo.user]))[0]?.seen_seq === seq;
  await until('the other cell knows', seen);
  await until('it is acknowledged', async () => (await waiting()) === 0);
});

test('a log that is not a cell’s to have is asked for once and forgotten', async () => {
  const [ana, ben] = [await fabric.client('own-ana', 'eu-1'), await fabric.client('own-ben', 'eu-1')];
  const log = await ana.createGroup([ben.user]);
  const refusedBefore = await fabric.metric('node-eu-1-a', 'cells_rejected_total');
  await fabric.sql('us-1', 'insert into behind (log_id, epoch, known_seq, src) values ($1, 1, 5, 1)', [log]);
  await until('it is forgotten', async () => (await fabric.sql('us-1', 'select 1 from behind where log_id = $1', [log])).length === 0);
  assert.equal((await fabric.metric('node-eu-1-a', 'cells_rejected_total')) - refusedBefore, 1);
  assert.deepEqual(await fabric.sql('us-1', 'select 1 from logs where log_id = $1', [log]), []);
});

const decidedBy = async (scene: Scene, log: bigint): Promise<number> =>
  Number((await scene.sql('eu-1', 'select n from decided where stream_a = $1', [log]))[0]?.n ?? 0);

async function changeMembers(who: RecordedDevice, log: bigint, change: { add?: bigint[]; remove?: bigint[] }): Promise<void> {
  const value = { log, clientEntryId: who.freshEntryId(), add: change.add ?? [], remove: change.remove ?? [] };
  await who.insist({ $case: 'changeMembers', value }, 'done');
}

/** What people wrote, in the owner's order. */
const textsOf = async (scene: Scene, log: bigint): Promise<string[]> =>
  (await scene.sql('eu-1', 'select body from entries where log_id = $1 and kind = 9 order by seq', [log])).map(({ body }) => String(body));
