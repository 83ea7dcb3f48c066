// Nine people of three cells who talk, and what has to be true of their talk after something broke.
import type { TestContext } from 'node:test';
import { systemClock } from '@weft/runtime/clock.ts';
import { Scene, type Traffic } from './fault-harness.ts';
import { startFabric, type TestFabric } from './harness.ts';

const cells = ['eu-1', 'eu-2', 'us-1'] as const;
/** Appends a second, which two cores carry beside the test itself, and for how long. */
export const busy: Traffic = { perSecond: 1_000, ms: 5_000 };
/** From the first words to the fault. */
export const faultAtMs = 1_500;
/** A hole may stay open while what would fill it is being started again. */
export const repairMsMax = 10_000;
let crowds = 0;

export const startCrowdFabric = (): Promise<TestFabric> =>
  startFabric({ cells, nodes: { 'eu-1': 2, 'eu-2': 1, 'us-1': 2 }, durable: true });

/** Nine people of three cells in a group of eu-1, a group of us-1 and three direct conversations between cells. */
export async function openCrowd(fabric: TestFabric): Promise<Scene> {
  crowds += 1;
  const scene = await Scene.open(fabric, { label: `crowd${crowds}`, cells, peoplePerCell: 3 });
  await scene.group(scene.people);
  await scene.group([...scene.of('us-1'), ...scene.of('eu-2'), ...scene.of('eu-1')]);
  await scene.direct(scene.one('eu-1'), scene.one('us-1'));
  await scene.direct(scene.one('us-1', 1), scene.one('eu-2', 1));
  await scene.direct(scene.one('eu-2', 2), scene.one('eu-1', 2));
  return scene;
}

/** The fault comes into full traffic, everything that was stopped is back, and then nothing may be missing. */
export async function survives(
  fabric: TestFabric,
  t: TestContext,
  fault: (scene: Scene) => Promise<unknown>,
  { traffic = busy, deadlineMs = 30_000 }: { readonly traffic?: Traffic; readonly deadlineMs?: number } = {},
): Promise<void> {
  await using scene = await openCrowd(fabric);
  await scene.during(traffic, async () => {
    await systemClock.sleep(faultAtMs);
    await fault(scene);
  });
  await fabric.settle();
  await scene.judge(t, { repairMsMax, deadlineMs });
}
