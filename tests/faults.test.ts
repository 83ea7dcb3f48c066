// Processes killed, frozen and cut off from each other while people of three cells talk; the history checker judges.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { limits } from '@weft/proto/limits.ts';
import { busy, repairMsMax, startCrowdFabric, survives } from './fault-crowd.ts';
import { Scene } from './fault-harness.ts';
import type { TestFabric } from './harness.ts';
import { until } from './until.ts';

let fabric: TestFabric;

before(async () => {
  fabric = await startCrowdFabric();
});

after(async () => {
  await fabric?.stop();
});

for (const [what, name] of [
  ['a node', 'node-us-1-a'],
  ['a nats-server', 'nats-us-1'],
  ['a hub', 'hub-eu'],
  ['a PostgreSQL', 'postgres-eu-1'],
] as const) {
  test(`${what} killed in full traffic loses, doubles and reorders nothing`, (t) => survives(fabric, t, () => fabric.kill(name)));
}

test('the node that sends again for its cell, killed in full traffic, loses, doubles and reorders nothing', (t) =>
  survives(fabric, t, async (scene) => {
    const [lease] = await scene.sql('eu-1', "select holder from leases where name = 'resend'");
    await fabric.kill(`node-eu-1-${String(lease?.holder).split('-')[0]}`);
  }));

test('every process of a cell killed at once in full traffic loses, doubles and reorders nothing', (t) =>
  survives(fabric, t, () => Promise.all(['postgres-us-1', 'nats-us-1', 'node-us-1-a', 'node-us-1-b'].map((name) => fabric.kill(name)))));

test('the whole JetStream folder of a cell, wiped while its server is down, loses nothing', (t) =>
  survives(fabric, t, () => fabric.fabric.wipeJetStream('eu-1')));

test('a node that dies after the broker has its frames and before they are acknowledged doubles nothing', (t) =>
  survives(fabric, t, (scene) => dieAt(scene, 'node-eu-1-a', 'after-publish-before-acknowledgement:10'), {
    traffic: { ...busy, ms: 12_000 },
  }));

test('a node that dies in full traffic between commit and telling loses nothing', (t) =>
  survives(fabric, t, (scene) => dieAt(scene, 'node-us-1-b', 'after-commit-before-tell:10'), { traffic: { ...busy, ms: 12_000 } }));

/** Starts a node anew with a failpoint, waits until that has ended it, and until it is back without one. */
async function dieAt(scene: Scene, node: string, failpoint: string): Promise<void> {
  using deaths = deathsOf(node);
  await arm(node, failpoint);
  const url = fabric.url(node);
  const nodesOf = (nodes: readonly string[]): string[] => [url, ...nodes.filter((each) => each !== url)];
  for (const person of scene.people) if (person.options.nodes.includes(url)) person.moveTo(nodesOf(person.options.nodes));
  await until(`${node} dies at ${failpoint}`, () => deaths.count >= 2, 15_000);
  await fabric.settle();
}

/** Kills the node; it starts again with the failpoint, and after that without, however soon it dies. */
async function arm(node: string, failpoint: string): Promise<void> {
  let deaths = 0;
  using _disarming = fabric.fabric.listen(({ name, what }) => {
    if (name === node && isDeath(what) && ++deaths > 1) fabric.fabric.configure(node, {});
  });
  fabric.fabric.configure(node, { WEFT_FAILPOINTS: failpoint });
  await fabric.kill(node);
  await fabric.settle();
  fabric.fabric.configure(node, {});
}

/** Traffic may reach the failpoint before the supervisor has seen the node ready. */
const isDeath = (what: string): boolean => what === 'died' || what === 'failing';

function deathsOf(node: string): Disposable & { readonly count: number } {
  let count = 0;
  const listening = fabric.fabric.listen(({ name, what }) => {
    if (name === node && isDeath(what)) count += 1;
  });
  return {
    get count() {
      return count;
    },
    [Symbol.dispose]: () => listening[Symbol.dispose](),
  };
}

test('what a node committed and told nobody is seen by the other node’s sockets and by the other cell within one heartbeat', async (t) => {
  await using scene = await Scene.open(fabric, { label: 'untold', cells: ['eu-1', 'us-1'], peoplePerCell: 2 });
  const { log } = await scene.group(scene.people);
  const [listener, speaker] = scene.of('eu-1');
  await arm('node-eu-1-b', 'after-commit-before-tell');
  const b = fabric.url('node-eu-1-b');
  speaker?.moveTo([b]);
  await until('the speaker is on b', () => speaker?.isLive === true && speaker.welcome?.node === 'b');
  await until('the listener is on a', () => listener?.isLive === true && listener.welcome?.node === 'a');
  const head = listener?.recorder.head(log) ?? 0;
  using deaths = deathsOf('node-eu-1-b');
  const said = speaker?.append({ log }, 'nobody was told');
  await until('b dies', () => deaths.count === 1);
  const diedMs = performance.now();
  // It stays away, so that nothing but its silence can tell.
  await fabric.fabric.stop('node-eu-1-b');
  const everybodyElse = scene.people.filter((person) => person !== speaker);
  await until('it is shown', () => everybodyElse.every(({ recorder }) => recorder.head(log) > head), limits.heartbeatMs);
  t.diagnostic(`shown ${Math.round(performance.now() - diedMs)} ms after the death`);
  await fabric.fabric.start('node-eu-1-b');
  assert.equal((await said)?.how, 'accepted');
  await scene.judge(t, { repairMsMax });
});

test('a push that was left out is noticed within one heartbeat and repaired', async (t) => {
  await using scene = await Scene.open(fabric, { label: 'dropped', cells: ['eu-1', 'us-1'], peoplePerCell: 1 });
  const [ana, bo] = [scene.one('eu-1'), scene.one('us-1')];
  const { log } = await scene.direct(ana, bo);
  bo.moveTo([fabric.url('node-us-1-b')]);
  await arm('node-us-1-b', 'drop-push');
  await until('the listener is back', () => bo.isLive && bo.welcome?.node === 'b');
  const saidMs = performance.now();
  // Whose cell owns the log is decided by ids: pending or accepted, it is shown when the head has moved.
  const head = bo.recorder.head(log);
  await ana.append({ log }, 'not pushed');
  await until('it is shown', () => bo.recorder.head(log) > head, limits.heartbeatMs + 1_000);
  t.diagnostic(`shown after ${Math.round(performance.now() - saidMs)} ms`);
  assert.equal(bo.counts.digestRepairs, 1);
  await scene.judge(t);
});
