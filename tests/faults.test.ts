// Processes killed, frozen and cut off from each other while people of three cells talk; the history checker judges.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { limits } from '@weft/proto/limits.ts';
import { systemClock } from '@weft/runtime/clock.ts';
import { Scene, type Traffic } from './fault-harness.ts';
import { startFabric, type TestFabric } from './harness.ts';
import { until } from './until.ts';

const cells = ['eu-1', 'eu-2', 'us-1'] as const;
/** Appends a second, which two cores carry beside the test itself, and for how long. */
const busy: Traffic = { perSecond: 1_000, ms: 5_000 };
const faultAtMs = 1_500;
/** A hole may stay open while what would fill it is being started again. */
const repairMsMax = 10_000;
/** Links of a whole region come back by their own clocks after a freeze: the time a cell has (docs/invariants.md, I15). */
const cellRecoveryMsMax = 60_000;
let fabric: TestFabric;
let scenes = 0;

before(async () => {
  fabric = await startFabric({ cells, nodes: { 'eu-1': 2, 'eu-2': 1, 'us-1': 2 }, durable: true });
});

after(async () => {
  await fabric?.stop();
});

/** Nine people of three cells in a group of eu-1, a group of us-1 and three direct conversations between cells. */
async function crowd(): Promise<Scene> {
  scenes += 1;
  const scene = await Scene.open(fabric, { label: `fault${scenes}`, cells, peoplePerCell: 3 });
  await scene.group(scene.people);
  await scene.group([...scene.of('us-1'), ...scene.of('eu-2'), ...scene.of('eu-1')]);
  await scene.direct(scene.one('eu-1'), scene.one('us-1'));
  await scene.direct(scene.one('us-1', 1), scene.one('eu-2', 1));
  await scene.direct(scene.one('eu-2', 2), scene.one('eu-1', 2));
  return scene;
}

/** The fault comes into full traffic, everything that was stopped is back, and then nothing may be missing. */
async function survives(
  t: test.TestContext,
  fault: (scene: Scene) => Promise<unknown>,
  traffic = busy,
  deadlineMs = 30_000,
): Promise<void> {
  await using scene = await crowd();
  await scene.during(traffic, async () => {
    await systemClock.sleep(faultAtMs);
    await fault(scene);
  });
  await fabric.settle();
  await scene.judge(t, { repairMsMax, deadlineMs });
}

for (const [what, name] of [
  ['a node', 'node-us-1-a'],
  ['a nats-server', 'nats-us-1'],
  ['a hub', 'hub-eu'],
  ['a PostgreSQL', 'postgres-eu-1'],
] as const) {
  test(`${what} killed in full traffic loses, doubles and reorders nothing`, (t) => survives(t, () => fabric.kill(name)));
}

test('the node that sends again for its cell, killed in full traffic, loses, doubles and reorders nothing', (t) =>
  survives(t, async (scene) => {
    const [lease] = await scene.sql('eu-1', "select holder from leases where name = 'resend'");
    await fabric.kill(`node-eu-1-${String(lease?.holder).split('-')[0]}`);
  }));

test('every process of a cell killed at once in full traffic loses, doubles and reorders nothing', (t) =>
  survives(t, () => Promise.all(['postgres-us-1', 'nats-us-1', 'node-us-1-a', 'node-us-1-b'].map((name) => fabric.kill(name)))));

test('the whole JetStream folder of a cell, wiped while its server is down, loses nothing', (t) =>
  survives(t, () => fabric.fabric.wipeJetStream('eu-1')));

test('a node that dies after the broker has its frames and before they are acknowledged doubles nothing', (t) =>
  survives(t, (scene) => dieAt(scene, 'node-eu-1-a', 'after-publish-before-acknowledgement:10'), { ...busy, ms: 12_000 }));

test('a node that dies in full traffic between commit and telling loses nothing', (t) =>
  survives(t, (scene) => dieAt(scene, 'node-us-1-b', 'after-commit-before-tell:10'), { ...busy, ms: 12_000 }));

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

test('a severed link lets every cell go on by itself, and heals', async (t) => {
  await using scene = await crowd();
  const own = await scene.direct(scene.one('eu-1', 0), scene.one('eu-1', 1));
  const slowest = { ms: 0 };
  await scene.during({ perSecond: 100, ms: 64_000 }, async () => {
    await systemClock.sleep(faultAtMs);
    await Promise.all(['hub-eu', 'hub-us'].map((hub) => fabric.fabric.stop(hub)));
    for (const endsMs = performance.now() + 60_000; performance.now() < endsMs; ) {
      const saidMs = performance.now();
      await scene.one('eu-1', 1).append({ log: own.log }, 'inside the cell');
      slowest.ms = Math.max(slowest.ms, performance.now() - saidMs);
      await systemClock.sleep(50);
    }
    await Promise.all(['hub-eu', 'hub-us'].map((hub) => fabric.fabric.start(hub)));
  });
  t.diagnostic(`slowest append inside the cell ${Math.round(slowest.ms)} ms`);
  assert.ok(slowest.ms < 1_000);
  await scene.judge(t, { repairMsMax, deadlineMs: 30_000 });
});

test('a hub that is frozen for a while and thaws loses, doubles and reorders nothing', (t) =>
  survives(
    t,
    async () => {
      fabric.fabric.freeze('hub-us');
      await systemClock.sleep(30_000);
      fabric.fabric.thaw('hub-us');
    },
    { perSecond: 100, ms: 33_000 },
    cellRecoveryMsMax,
  ));
