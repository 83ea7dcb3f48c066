// A cell that dies as a whole in full traffic, and two losses that only a heartbeat can find. Everything else that breaks
// under load is in faults/.
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
async function survives(t: test.TestContext, fault: (scene: Scene) => Promise<unknown>, traffic = busy): Promise<void> {
  await using scene = await crowd();
  await scene.during(traffic, async () => {
    await systemClock.sleep(faultAtMs);
    await fault(scene);
  });
  await fabric.settle();
  await scene.judge(t, { repairMsMax, deadlineMs: 30_000 });
}

test('every process of a cell killed at once in full traffic loses, doubles and reorders nothing', (t) =>
  survives(t, () => Promise.all(['postgres-us-1', 'nats-us-1', 'node-us-1-a', 'node-us-1-b'].map((name) => fabric.kill(name)))));

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
