// Do the books of a link balance while people talk and things break, and do they tell where an entry went missing? What makes
// good for a loss (sending again, pulling) is switched off where the loss itself is to be seen.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { hops } from '@weft/cells/delivery/balance.ts';
import { Scene, stealInbound } from './fault-harness.ts';
import { startFabric, type TestFabric } from './harness.ts';
import { until } from './until.ts';

/** A difference has to last ten seconds; then two rounds of telling, on a busy machine. */
const alarmMsMax = 20_000;
let fabric: TestFabric;

before(async () => {
  fabric = await startFabric({ cells: ['eu-1', 'us-1'], durable: true });
});

after(async () => {
  await fabric?.stop();
});

/** What eu-1 says of its link to us-1. */
async function link(): Promise<Record<string, number>> {
  const port = fabric.fabric.servers().find(({ name }) => name === 'node-eu-1-a')?.ports[1];
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const lines = text.split('\n').filter((line) => line.startsWith('weft_link_books'));
  return Object.fromEntries(
    lines.map((line) => [/(?:hop|what)="([^"]*)"/.exec(line)?.[1] ?? '', Number(line.slice(line.lastIndexOf(' ') + 1))]),
  );
}

const alarms = async (): Promise<string[]> => {
  const found = await link();
  return hops.filter((hop) => (found[hop] ?? 0) > 0);
};

/** Nothing waits, and both ends say the same. */
async function balanced(accepted?: number): Promise<void> {
  await until(
    'the books balance to zero',
    async () => {
      const found = await link();
      return (
        found.accepted !== undefined &&
        found.accepted >= (accepted ?? 0) &&
        found.waiting === 0 &&
        found.accepted === (found.applied ?? 0) + (found.refused ?? 0) &&
        hops.every((hop) => (found[hop] ?? 0) === 0)
      );
    },
    alarmMsMax,
  );
}

test('books balance to zero after traffic in which a node, a broker and a PostgreSQL are killed, and raise no alarm', async (t) => {
  await using scene = await Scene.open(fabric, { label: 'kept', cells: ['eu-1', 'us-1'], peoplePerCell: 2 });
  await scene.group(scene.people);
  await scene.direct(scene.one('us-1'), scene.one('eu-1'));
  const raised = new Set<string>();
  for (const name of ['node-us-1-a', 'nats-us-1', 'postgres-us-1', 'node-eu-1-a', 'postgres-eu-1'])
    await scene.during({ perSecond: 200, ms: 2_000 }, async () => {
      await fabric.kill(name);
      for (const hop of await alarms().catch(() => [])) raised.add(hop);
    });
  await fabric.settle();
  await scene.judge(t, { repairMsMax: 10_000, deadlineMs: 30_000 });
  await balanced(1);
  t.diagnostic(JSON.stringify(await link()));
  assert.deepEqual([...raised], []);
});
