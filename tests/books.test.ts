// Do the books of a link balance while people talk and things break, and do they tell where an entry went missing? What makes
// good for a loss (sending again, pulling) is switched off where the loss itself is to be seen.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { hops } from '@weft/cells/delivery/balance.ts';
import { laneOf, lanes } from '@weft/proto/ids.ts';
import { Scene, stealInbound } from './fault-harness.ts';
import { startFabric, type TestFabric } from './harness.ts';
import { metricsOf } from './metrics-of.ts';
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

/** What a cell says of its link to the other. */
async function link(cell = 'eu-1'): Promise<Record<string, number>> {
  const text = await metricsOf(fabric.fabric.servers().find(({ name }) => name === `node-${cell}-a`));
  const lines = text.split('\n').filter((line) => line.startsWith('weft_link_books'));
  return Object.fromEntries(
    lines.map((line) => [/(?:hop|what)="([^"]*)"/.exec(line)?.[1] ?? '', Number(line.slice(line.lastIndexOf(' ') + 1))]),
  );
}

const alarms = async (cell = 'eu-1'): Promise<string[]> => {
  const found = await link(cell);
  return hops.filter((hop) => (found[hop] ?? 0) > 0);
};

/** Nothing waits, and both ends say the same. */
async function balanced(cell: string): Promise<void> {
  await until(
    'the books balance to zero',
    async () => {
      const found = await link(cell).catch(() => ({}) as Awaited<ReturnType<typeof link>>);
      return (
        found.accepted !== undefined &&
        found.accepted > 0 &&
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
  for (const name of ['node-us-1-a', 'nats-us-1', 'postgres-eu-1'])
    await scene.during({ perSecond: 200, ms: 2_000 }, async () => {
      await fabric.kill(name);
      for (const hop of await alarms().catch(() => [])) raised.add(hop);
    });
  await fabric.settle();
  await scene.judge(t, { repairMsMax: 10_000, deadlineMs: 30_000 });
  await balanced('eu-1');
  await balanced('us-1');
  t.diagnostic(JSON.stringify(await link()));
  assert.deepEqual([...raised], []);
});

test('what goes missing at any hop, while nothing makes good for it, is an alarm that names the hop', async (t) => {
  await using scene = await Scene.open(fabric, { label: 'lost', cells: ['eu-1', 'us-1'], peoplePerCell: 1 });
  const [ana, bo] = [scene.one('eu-1'), scene.one('us-1')];
  const logs = await oneLogPerLane(scene);
  const [lostInOutbox, lostInStream, lostOnBus, notPulled] = logs as [bigint, bigint, bigint, bigint];
  await scene.converge();
  await restart({ 'node-eu-1-a': 'no-resend', 'node-us-1-a': 'no-pull' });
  await until('both are back', () => ana.isLive && bo.isLive, 20_000);

  await fabric.fabric.stop('node-us-1-a');
  await ana.append({ log: lostInStream }, 'in the stream');
  await stealInbound(fabric, 'us-1', (subjects) => subjects.length > 0);
  await fabric.fabric.stop('hub-eu');
  await fabric.fabric.start('node-us-1-a');
  for (const log of [lostOnBus, lostInOutbox, notPulled]) await ana.append({ log }, 'while the link is down');
  await until('bo is back', () => bo.isLive);
  assert.equal((await bo.append({ log: lostOnBus }, 'to be decided elsewhere')).how, 'pending');
  for (const log of [lostInOutbox, notPulled]) await scene.sql('eu-1', 'delete from outbox where class = 1 and lane = $1', [laneOf(log)]);
  await scene.sql('us-1', 'create table saved_intake as select * from intake');
  await scene.sql('us-1', 'delete from intake');
  // The run says that it is there, and it is not.
  for (const [cell, log] of [
    ['us-1', lostOnBus],
    ['eu-1', lostInOutbox],
  ] as const) {
    await scene.sql(cell, `create table saved_entries as select * from entries where log_id = ${log} and seq = 1`);
    await scene.sql(cell, 'delete from entries where log_id = $1 and seq = 1', [log]);
  }
  assert.deepEqual(await alarms(), []);

  await fabric.fabric.start('hub-eu');
  const startMs = performance.now();
  await until('an entry comes after a hole', async () => {
    await ana.append({ log: notPulled }, 'after it');
    return (await scene.sql('us-1', 'select log_id from behind')).length > 0;
  });
  const all = hops.filter((hop) => hop !== 'intake');
  const named = until('every hop is named', async () => (await alarms()).length === all.length, alarmMsMax);
  await named.catch(async (error: unknown) => assert.fail(`${String(error)}: ${JSON.stringify(await link())}`));
  t.diagnostic(`named ${Math.round(performance.now() - startMs)} ms after the link was back: ${JSON.stringify(await link())}`);
  assert.deepEqual(await alarms('us-1'), ['intake']);

  for (const cell of ['eu-1', 'us-1']) await scene.sql(cell, 'insert into entries select * from saved_entries');
  await scene.sql('us-1', 'insert into intake select * from saved_intake');
  await restart({ 'node-eu-1-a': '', 'node-us-1-a': '' });
  await scene.judge(t, { repairMsMax: 60_000, deadlineMs: 30_000 });
  await balanced('eu-1');
  await balanced('us-1');
});

/** Groups of both cells in all four lanes, so that what befalls one is not made good for by another. */
async function oneLogPerLane(scene: Scene): Promise<bigint[]> {
  const logs = new Map<number, bigint>();
  for (let tries = 0; logs.size < lanes; tries++) {
    assert.ok(tries < 64, 'groups come in every lane');
    const { log } = await scene.group([scene.one('eu-1'), scene.one('us-1')]);
    logs.set(laneOf(log), logs.get(laneOf(log)) ?? log);
  }
  return [...logs.values()];
}

/** Starts nodes anew with these failpoints. */
async function restart(nodes: Readonly<Record<string, string>>): Promise<void> {
  for (const [node, failpoints] of Object.entries(nodes)) {
    fabric.fabric.configure(node, failpoints === '' ? {} : { WEFT_FAILPOINTS: failpoints });
    await fabric.kill(node);
  }
  await fabric.settle();
}
