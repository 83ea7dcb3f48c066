// `--data` and `--port-base` as every command takes them that speaks to a running fabric, and the fabric they name.
import { type Command, InvalidArgumentError } from 'commander';
import { dataDirDefault } from './defaults.ts';
import { describeFabric, type FabricFile, readFabric } from './fabric-file.ts';
import { planFabric } from './plan.ts';

export interface FabricOptions {
  readonly data: string;
  readonly portBase?: number;
}

export const withFabricOptions = (command: Command): Command =>
  command
    .option('--data <dir>', 'data folder of the fabric, as given to npm start', dataDirDefault())
    .option('--port-base <number>', 'port base of the fabric, when its folder does not tell', portFrom);

function portFrom(text: string): number {
  if (!/^\d{1,5}$/.test(text)) throw new InvalidArgumentError('it is a port number.');
  return Number(text);
}

/** With `--port-base` everything is where such a fabric has it, for one that was started elsewhere. Throws when none runs on the folder. */
export function runningFabric({ data, portBase }: FabricOptions): FabricFile {
  const fabric = readFabric(data);
  return portBase === undefined || portBase === fabric.portBase ? fabric : movedTo(portBase, fabric);
}

export function movedTo(portBase: number, fabric: FabricFile): FabricFile {
  const nodesPerCell = Object.fromEntries(fabric.cells.map(({ name, nodes }) => [name, nodes.length]));
  const plan = planFabric({ portBase, cells: fabric.cells.map(({ name }) => name), nodesPerCell });
  return { ...fabric, ...describeFabric(plan, fabric.dataDir, fabric.startedMs), pid: fabric.pid };
}
