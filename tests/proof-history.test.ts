// What is read far below the newest entries is proved too: each page has to fit the one above it, up to a head that the owner
// signed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LogChain } from '@weft/client/log-chain.ts';
import { ProofScene } from './proof-scene.ts';

const entries = 1_500;
const pageEntries = 100;

async function longTalk(): Promise<ProofScene> {
  const scene = await ProofScene.open();
  while (scene.log.entries.length < entries) {
    scene.say(`number ${scene.log.entries.length + 1}`);
    if (scene.log.entries.length % 100 === 0) await scene.clock.advance(5);
  }
  scene.beat();
  await scene.clock.advance(50);
  return scene;
}

/** Reads from the end down to this seq as a person does who looks back. */
async function lookBack(scene: ProofScene, to: number): Promise<void> {
  let before = entries + 1;
  while (before > to) {
    const read = scene.conversation.history({ before, limit: pageEntries });
    await scene.clock.advance(5);
    before = (await read).entries[0]?.seq ?? 0;
  }
}

/** Reads the page that has this seq at its end. */
async function readAt(scene: ProofScene, seq: number): Promise<void> {
  const read = scene.conversation.history({ before: seq + 1, limit: pageEntries });
  await scene.clock.advance(5);
  await read;
}

const told = ({ reports }: ProofScene) => reports.map(({ kind, from, to, agreed, repaired }) => [kind, from, to, agreed, repaired]);

/** Within a heartbeat of 5 s. */
async function toldInTheEnd(scene: ProofScene) {
  await scene.clock.advance(5_000);
  await scene.close();
  return told(scene);
}

test('who looks back over what is right is told nothing', async () => {
  const scene = await longTalk();
  await lookBack(scene, 1);
  await lookBack(scene, 1);
  await scene.changeDevice();
  await lookBack(scene, 1);
  await scene.clock.advance(20_000);
  scene.say('and on');
  await scene.clock.advance(20_000);
  assert.deepEqual(told(scene), []);
  await scene.close();
});

test('a row rewritten where the hashes are remembered still, but the head is far, is reported', async () => {
  const scene = await longTalk();
  scene.rewrite(1_250);
  await readAt(scene, 1_280);
  assert.deepEqual(await toldInTheEnd(scene), [['rewritten', 1_250, 1_280, 'owner', false]]);
});

test('a row rewritten long ago is reported when somebody looks back that far', async () => {
  const scene = await longTalk();
  scene.rewrite(450);
  await lookBack(scene, 400);
  assert.deepEqual(await toldInTheEnd(scene), [['rewritten', 501, 600, 'owner', false]]);
});

test('the same on a device that has seen nothing of it before', async () => {
  const scene = await longTalk();
  await scene.changeDevice();
  scene.rewrite(450);
  await lookBack(scene, 400);
  assert.deepEqual(await toldInTheEnd(scene), [['rewritten', 501, 600, 'owner', false]]);
});

test('a device that has seen nothing reports what the newest page has wrong as soon as the owner signs', async () => {
  const scene = await longTalk();
  await scene.changeDevice();
  scene.rewrite(entries - 3);
  await lookBack(scene, entries - 50);
  await scene.clock.advance(3_000);
  scene.cell.beat();
  await scene.clock.advance(2_000);
  const [report, ...more] = scene.reports;
  assert.deepEqual([report?.kind, report?.agreed, report?.repaired, more.length], ['rewritten', 'owner', false, 0]);
  await scene.close();
});

test('a device that has seen nothing reports as repaired what the newest page showed once', async () => {
  const scene = await longTalk();
  await scene.changeDevice();
  scene.rewrite(entries - 3);
  await lookBack(scene, entries - 50);
  scene.restore();
  await scene.clock.advance(3_000);
  scene.cell.beat();
  await scene.clock.advance(2_000);
  assert.deepEqual(told(scene), [['rewritten', entries, entries, 'home', true]]);
  const kept = scene.conversation.last(10);
  await scene.clock.advance(5);
  assert.ok(
    (await kept).every(({ seq, text }) => text === `number ${seq}`),
    'and kept as it was written',
  );
  await scene.close();
});

test('what one reading showed otherwise than the next, in the same epoch, is reported as repaired', async () => {
  const scene = await longTalk();
  await lookBack(scene, 700);
  scene.rewrite(650);
  const { reads } = scene.cell;
  scene.cell.reads = (log) => {
    const rows = reads(log);
    scene.restore();
    return rows;
  };
  await readAt(scene, 700);
  await scene.clock.advance(5_000);
  assert.deepEqual(told(scene), [['rewritten', 650, 650, 'home', true]]);
  await readAt(scene, 700);
  await scene.clock.advance(5_000);
  assert.equal(scene.reports.length, 1);
  await scene.close();
});

test('a page that leaves out its hashes proves nothing, and is reported for that', async () => {
  const scene = await longTalk();
  const { reads } = scene.cell;
  scene.cell.reads = (log) => reads(log).map(({ prev: _, ...row }) => row);
  await readAt(scene, 1_240);
  assert.deepEqual(await toldInTheEnd(scene), [['rewritten', 1_141, 1_240, 'owner', false]]);
});

test('a page that is empty where entries are is asked for again, and they are told as missing', async () => {
  const scene = await longTalk();
  scene.cell.pages = () => [];
  await readAt(scene, 60);
  assert.deepEqual(await toldInTheEnd(scene), [['missing', 1, 60, 'owner', false]]);
});

test('what is found while the log is being looked into waits for its turn', async () => {
  const scene = await longTalk();
  scene.rewrite(1_250);
  scene.rewrite(1_050);
  const reads = [1_280, 1_080].map((seq) => scene.conversation.history({ before: seq + 1, limit: pageEntries }));
  await scene.clock.advance(5_000);
  await Promise.all(reads);
  assert.deepEqual(
    told(scene).map(([, from]) => from),
    [1_250, 1_050],
  );
  await scene.close();
});

test('without what pages show of their neighbours the owner cannot be held against it', async (t) => {
  t.mock.method(LogChain.prototype, 'show', () => undefined);
  const scene = await longTalk();
  scene.rewrite(450);
  await lookBack(scene, 400);
  await scene.clock.advance(5_000);
  assert.ok(scene.reports.every(({ agreed }) => agreed === 'nowhere'));
  await scene.close();
});
