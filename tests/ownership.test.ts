// The owner of a log changes while its people talk: handed over, and taken over from a cell that is gone. The checker judges.
import assert from 'node:assert/strict';
import { after, before, type TestContext, test } from 'node:test';
import { Scene } from './fault-harness.ts';
import { startFabric, type TestFabric } from './harness.ts';
import { baseBackup, forgetBeats, Operator, restoreBackup, unbalanced } from './ownership-harness.ts';
import { until } from './until.ts';

let fabric: TestFabric;
let operator: Operator;
before(async () => {
  fabric = await startFabric({ cells: ['eu-1', 'us-1', 'eu-2'], env: { 'node-*': { WEFT_HEARTBEAT_MS: '1000' } } });
  operator = new Operator(fabric);
});
after(() => fabric.stop());

const cells = ['eu-1', 'us-1', 'eu-2'];
/** Longer than a difference has to last to be an alarm. */
const booksMsMax = 20_000;

test('logs are handed over back and forth under load: nothing is lost, doubled or reordered', async (t) => {
  await using scene = await Scene.open(fabric, { label: 'hand', cells, peoplePerCell: 2 });
  const group = await scene.group(scene.people);
  const pair = await scene.direct(scene.one('eu-1'), scene.one('us-1'));
  const moves = async (): Promise<void> => {
    await operator.handOver('eu-1', group.log, 'us-1');
    await operator.handOver('eu-1', pair.log, 'us-1');
    const owns = async (cell: string, log: bigint): Promise<boolean> => {
      const { owner, status } = await operator.ownership(cell, log);
      return owner === cell && status === 'open';
    };
    await until('us-1 owns the group', () => owns('us-1', group.log));
    await operator.handOver('us-1', group.log, 'eu-2');
    await until('eu-2 owns the group', () => owns('eu-2', group.log));
    await until('us-1 owns the pair', () => owns('us-1', pair.log));
    await operator.handOver('us-1', pair.log, 'eu-1');
  };
  await scene.during({ perSecond: 200, ms: 5_000 }, moves);
  await scene.judge(t);
  assert.equal((await operator.ownership('eu-1', group.log)).owner, 'eu-2');
  assert.equal((await operator.ownership('us-1', pair.log)).owner, 'eu-1');
});

test('a dead cell’s log is taken over; when it comes back it is fenced, and nothing it accepted is lost', async (t) => {
  await using scene = await Scene.open(fabric, { label: 'take', cells, peoplePerCell: 1 });
  const group = await scene.group(scene.people);
  const dies = async (): Promise<void> => {
    await fabric.fabric.stop('node-eu-1-a');
    await operator.takeOver(group.log, 'us-1');
    await until('us-1 owns it', async () => (await operator.ownership('us-1', group.log)).status === 'open');
    await until('us-1 gives seqs', async () => (await operator.ownership('us-1', group.log)).owner === 'us-1');
    await fabric.fabric.start('node-eu-1-a');
  };
  await scene.during({ perSecond: 100, ms: 4_000 }, dies);
  await scene.judge(t, { repairMsMax: 5_000 });
  assert.equal((await operator.ownership('eu-1', group.log)).owner, 'us-1');
});

test('a cell restored from a backup takes its tails back, begins new epochs and tells every client', async (t) => {
  await using scene = await Scene.open(fabric, { label: 'back', cells: ['eu-1', 'us-1'], peoplePerCell: 1 });
  const before = await scene.group(scene.people);
  const backup = await baseBackup(fabric, 'eu-1');
  const after = await scene.group(scene.people);
  await scene.during({ perSecond: 100, ms: 1_500 }, async () => undefined);
  await scene.converge();
  const lost = await operator.ownership('us-1', before.log);
  for (const name of ['node-eu-1-a', 'postgres-eu-1']) await fabric.fabric.stop(name);
  await restoreBackup(fabric, 'eu-1', backup);
  const comesBack = async (): Promise<void> => {
    for (const name of ['postgres-eu-1', 'node-eu-1-a']) await fabric.fabric.start(name);
    const { options } = scene.one('eu-1');
    scene.one('eu-1').useToken((await fabric.logInAgain(options.name, 'eu-1')).token);
    await until('the logs have an owner', async () => {
      const found = await Promise.all([before, after].map(({ log }) => operator.ownership('eu-1', log).catch(() => undefined)));
      return found.every((each) => each?.status === 'open');
    });
  };
  await scene.during({ perSecond: 50, ms: 2_000 }, comesBack);
  await scene.judge(t, { repairMsMax: 10_000, deadlineMs: 30_000 });
  const [cell] = await fabric.sql('eu-1', 'select generation from cell');
  assert.equal(Number(cell?.generation), 2);
  for (const { log } of [before, after]) {
    const { epoch } = await operator.ownership('us-1', log);
    assert.ok(BigInt(epoch) > BigInt(lost.epoch), 'a new epoch');
  }
  const differences = async (): Promise<string[]> => (await Promise.all(cells.map((cell) => unbalanced(fabric, cell)))).flat();
  await until('the books of all links balance', async () => (await differences()).length === 0, booksMsMax).catch(async (error: unknown) =>
    assert.fail(`${String(error)}: ${(await differences()).join(', ')}`),
  );
});

/** A cell gives a log away and is restored to before that; resolves once it knows the new owner and holds what that one gave. */
async function restoredToBefore(t: TestContext, { label, isNoticed }: { label: string; isNoticed: boolean }): Promise<void> {
  await using scene = await Scene.open(fabric, { label, cells: ['eu-1', 'us-1'], peoplePerCell: 1 });
  const group = await scene.group(scene.people);
  await scene.during({ perSecond: 100, ms: 300 }, async () => undefined);
  await scene.converge();
  const [before] = await fabric.sql('eu-1', 'select generation from cell');
  const backup = await baseBackup(fabric, 'eu-1');
  await operator.handOver('eu-1', group.log, 'us-1');
  const knows = async (cell: string, head = 0): Promise<boolean> => {
    const found = await operator.ownership(cell, group.log).catch(() => undefined);
    return found?.owner === 'us-1' && found.status === 'open' && found.head >= head;
  };
  await until('us-1 owns the group', () => knows('us-1'));
  await scene.during({ perSecond: 100, ms: 300 }, async () => undefined);
  await scene.converge();
  const { head } = await operator.ownership('us-1', group.log);
  await fabric.fabric.stop('node-eu-1-a');
  if (!isNoticed) forgetBeats(fabric, 'node-eu-1-a');
  await fabric.fabric.stop('postgres-eu-1');
  await restoreBackup(fabric, 'eu-1', backup);
  for (const name of ['postgres-eu-1', 'node-eu-1-a']) await fabric.fabric.start(name);
  const { options } = scene.one('eu-1');
  scene.one('eu-1').useToken((await fabric.logInAgain(options.name, 'eu-1')).token);
  const [after] = await fabric.sql('eu-1', 'select generation from cell');
  assert.equal(Number(after?.generation) - Number(before?.generation), isNoticed ? 1 : 0);
  await until('eu-1 holds what the new owner gave', () => knows('eu-1', head));
  await scene.during({ perSecond: 50, ms: 300 }, async () => undefined);
  await scene.judge(t, { repairMsMax: 10_000, deadlineMs: 30_000 });
}

test('a cell restored to before it gave a log away notices, however short ago that was, and follows the new owner', (t) =>
  restoredToBefore(t, { label: 'giver', isNoticed: true }));

test('and one that does not notice takes back what it gave as soon as the new owner is heard', (t) =>
  restoredToBefore(t, { label: 'unseen', isNoticed: false }));
