import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Command } from 'commander';
import { dataDirDefault } from './defaults.ts';
import { describeFabric, type FabricFile } from './fabric-file.ts';
import { type FabricOptions, movedTo, withFabricOptions } from './fabric-options.ts';
import { planFabric } from './plan.ts';

const fabricAt = (portBase: number): FabricFile => ({
  ...describeFabric(planFabric({ portBase, cells: ['eu-1', 'us-1'], nodesPerCell: { 'eu-1': 3, 'us-1': 1 } }), '/data', 1),
  processes: [],
});

const optionsOf = (...args: string[]): FabricOptions => {
  const command = withFabricOptions(new Command('a command'))
    .exitOverride()
    .configureOutput({ writeErr: () => undefined });
  return command.parse(args, { from: 'user' }).opts();
};

test('the folder has its default and the port base has none', () => {
  assert.deepEqual(optionsOf(), { data: dataDirDefault() });
  assert.deepEqual(optionsOf('--data', '/d', '--port-base', '23000'), { data: '/d', portBase: 23_000 });
  assert.throws(() => optionsOf('--port-base', 'high'), /it is a port number/);
});

test('a fabric at another port base has everything there: nodes, routers, stores and the control plane', () => {
  assert.deepEqual(movedTo(23_000, fabricAt(21_000)), fabricAt(23_000));
});
