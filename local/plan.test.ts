import assert from 'node:assert/strict';
import { test } from 'node:test';
import { portsPerFabric } from './defaults.ts';
import { directedLinks, planFabric, plannedProcesses } from './plan.ts';

test('four cells in two regions have twelve directed links and two nodes in the first cell of each region', () => {
  const plan = planFabric({ portBase: 21_000 });
  assert.equal(directedLinks(plan).length, 12);
  assert.deepEqual(
    plan.cells.map(({ name, number, nodes }) => [name, number, nodes.length]),
    [
      ['eu-1', 1, 2],
      ['eu-2', 2, 1],
      ['us-1', 3, 2],
      ['us-2', 4, 1],
    ],
  );
});

test('no port is planned twice and none lies outside the range', () => {
  const ports = plannedProcesses(planFabric({ portBase: 21_000, nodesPerCell: 4 })).flatMap((process) => process.ports);
  assert.equal(new Set(ports).size, ports.length);
  assert.ok(ports.every((port) => port >= 21_000 && port < 21_000 + portsPerFabric));
});

test('a cell keeps its number and ports when others are left out', () => {
  const all = planFabric({ portBase: 21_000 }).cells.find(({ name }) => name === 'us-1');
  const plan = planFabric({ portBase: 21_000, cells: ['us-1'] });
  assert.deepEqual(plan.cells, [all]);
  assert.deepEqual(
    plan.regions.map(({ name }) => name),
    ['us'],
  );
});

test('what a process needs comes before it', () => {
  const seen = new Set<string>();
  for (const { name, needs } of plannedProcesses(planFabric({ portBase: 21_000 }))) {
    assert.ok(
      needs.every((need) => seen.has(need)),
      `${name} comes before what it needs`,
    );
    seen.add(name);
  }
});

test('unknown cells, impossible ports and too many nodes are refused', () => {
  assert.throws(() => planFabric({ portBase: 21_000, cells: ['eu-9'] }), /unknown cell eu-9/);
  assert.throws(() => planFabric({ portBase: 65_000 }), /port base/);
  assert.throws(() => planFabric({ portBase: 21_000, nodesPerCell: 9 }), /1 to 4 nodes/);
});
