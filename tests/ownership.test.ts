// The owner of a log changes while its people talk: handed over, and taken over from a cell that is gone. The checker judges.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Scene } from './fault-harness.ts';
import { startFabric, type TestFabric } from './harness.ts';
import { Operator } from './ownership-harness.ts';
import { until } from './until.ts';

let fabric: TestFabric;
let operator: Operator;
before(async () => {
  fabric = await startFabric({ cells: ['eu-1', 'us-1', 'eu-2'], env: { 'node-*': { WEFT_HEARTBEAT_MS: '1000' } } });
  operator = new Operator(fabric);
});
after(() => fabric.stop());

const cells = ['eu-1', 'us-1', 'eu-2'];

test('logs are handed over back and forth under load: nothing is lost, doubled or reordered', async (t) => {
  await using scene = await Scene.open(fabric, { label: 'hand', cells, peoplePerCell: 2 });
  const group = await scene.group(scene.people);
  const pair = await scene.direct(scene.one('eu-1'), scene.one('us-1'));
  const moves = async (): Promise<void> => {
    await operator.handOver('eu-1', group.log, 'us-1');
    await operator.handOver('eu-1', pair.log, 'us-1');
    await until('us-1 owns the group', async () => (await operator.ownership('us-1', group.log)).status === 'open');
    await operator.handOver('us-1', group.log, 'eu-2');
    await until('eu-2 owns the group', async () => (await operator.ownership('eu-2', group.log)).status === 'open');
    await until('us-1 owns the pair', async () => (await operator.ownership('us-1', pair.log)).status === 'open');
    await operator.handOver('us-1', pair.log, 'eu-1');
  };
  await scene.during({ perSecond: 200, ms: 5_000 }, moves);
  await scene.judge(t);
  assert.equal((await operator.ownership('eu-1', group.log)).owner, 'eu-2');
  assert.equal((await operator.ownership('us-1', pair.log)).owner, 'eu-1');
});
