// Links that are gone for long while people of three cells talk a little: mostly waiting, so these run beside other tests
// (tools/test.ts). The history checker judges.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { systemClock } from '@weft/runtime/clock.ts';
import { faultAtMs, openCrowd, repairMsMax, startCrowdFabric, survives } from './fault-crowd.ts';
import type { TestFabric } from './harness.ts';

/** Links of a whole region come back by their own clocks after a freeze: the time a cell has (docs/invariants.md, I15). */
const cellRecoveryMsMax = 60_000;
let fabric: TestFabric;

before(async () => {
  fabric = await startCrowdFabric();
});

after(async () => {
  await fabric?.stop();
});

async function tookMs(work: Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  await work;
  return performance.now() - startedMs;
}

test('a severed link lets every cell go on by itself, and heals', async (t) => {
  await using scene = await openCrowd(fabric);
  const own = await scene.direct(scene.one('eu-1', 0), scene.one('eu-1', 1));
  const slowest = { ms: 0, ofStoreMs: 0 };
  await scene.during({ perSecond: 50, ms: 64_000 }, async () => {
    await systemClock.sleep(faultAtMs);
    await Promise.all(['hub-eu', 'hub-us'].map((hub) => fabric.fabric.stop(hub)));
    for (const endsMs = performance.now() + 60_000; performance.now() < endsMs; ) {
      // What a durable commit takes by itself at the same time is the machine's, not the fabric's.
      const [ms, ofStoreMs] = await Promise.all([
        tookMs(scene.one('eu-1', 1).append({ log: own.log }, 'inside the cell')),
        tookMs(scene.sql('eu-1', "select pg_logical_emit_message(true, 'beside', '')")),
      ]);
      if (ms - ofStoreMs > slowest.ms - slowest.ofStoreMs) Object.assign(slowest, { ms, ofStoreMs });
      await systemClock.sleep(50);
    }
    await Promise.all(['hub-eu', 'hub-us'].map((hub) => fabric.fabric.start(hub)));
  });
  const told = `slowest append inside the cell ${Math.round(slowest.ms)} ms, beside a commit of ${Math.round(slowest.ofStoreMs)}`;
  t.diagnostic(told);
  assert.ok(slowest.ms - slowest.ofStoreMs < 1_000, told);
  await scene.judge(t, { repairMsMax, deadlineMs: 30_000 });
});

test('a hub that is frozen for a while and thaws loses, doubles and reorders nothing', (t) =>
  survives(
    fabric,
    t,
    async () => {
      fabric.fabric.freeze('hub-us');
      await systemClock.sleep(30_000);
      fabric.fabric.thaw('hub-us');
    },
    { traffic: { perSecond: 50, ms: 33_000 }, deadlineMs: cellRecoveryMsMax },
  ));
