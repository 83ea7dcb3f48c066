// The fabric under the load: a private one of two cells, or the one that runs on a data folder.

import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { dataDirDefault } from '@weft/local/defaults.ts';
import { Fabric } from '@weft/local/fabric.ts';
import { type FabricFile, readFabric } from '@weft/local/fabric-file.ts';
import { freePortBase } from '@weft/local/ports.ts';
import { collectingOption } from './collecting-option.ts';

export interface BenchCell {
  readonly name: string;
  /** Base URL of the REST door of one node. */
  readonly restUrl: string;
  /** WebSocket URL of each node. */
  readonly socketUrls: readonly string[];
  readonly database: string;
}

export interface BenchServer {
  readonly name: string;
  readonly pid: number;
}

export interface BenchFabric extends AsyncDisposable {
  readonly dataDir: string;
  /** At least one; scenarios across cells want two. */
  readonly cells: readonly BenchCell[];
  /** Where nodes answer that were started to collect their garbage when asked. */
  readonly collectFolder?: string;
  /** Every server process of the fabric as it is now; the supervisor is not among them. */
  servers(): BenchServer[];
}

const cellsOf = (file: FabricFile): BenchCell[] =>
  file.cells.map(({ name, urls, database }) => ({
    name,
    database,
    restUrl: urls[0] ?? '',
    socketUrls: urls.map((url) => `${url.replace(/^http/, 'ws')}/v1/socket`),
  }));

const serversOf = (file: FabricFile): BenchServer[] => file.processes.flatMap(({ name, pid }) => (pid === null ? [] : [{ name, pid }]));

/** The running fabric of this data folder. Throws, with how to start one, when none runs. */
export function attach(dataDir: string): BenchFabric {
  return {
    dataDir,
    cells: cellsOf(readFabric(dataDir)),
    servers: () => serversOf(readFabric(dataDir)),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

export interface PrivateOptions {
  /** Names of its cells; the first two carry the load. */
  readonly cells: readonly string[];
  readonly nodesPerCell: number;
  readonly portBase?: number;
  /** In a folder of its own that is removed afterwards. */
  readonly temporary: boolean;
  /** Begin with empty stores. */
  readonly reset: boolean;
  /** Folder for CPU profiles of all nodes, written when they stop. */
  readonly profiles?: string;
  /** More NODE_OPTIONS for the nodes. */
  readonly nodeOptions?: string;
  readonly say: (line: string) => void;
}

/**
 * Starts a fabric for this bench only, with fsync on, beside the data of the ordinary one; its users stay there between
 * runs, since 5,000 sign-ups cost minutes. The limit of appends per user is raised: the load is few users with much to say.
 */
export async function startPrivate(options: PrivateOptions): Promise<BenchFabric> {
  const dataDir = options.temporary
    ? temporaryFolder()
    : join(`${dataDirDefault()}-bench`, [...options.cells, options.nodesPerCell].join('-'));
  if (options.reset) rmSync(dataDir, { recursive: true, force: true });
  mkdirSync(dataDir, { recursive: true, mode: 0o755 });
  const collectFolder = join(dataDir, 'collected');
  const profiling = options.profiles === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${options.profiles}`];
  const nodeOptions = [collectingOption(collectFolder), ...profiling, options.nodeOptions ?? ''].join(' ');
  const fabric = await Fabric.start({
    dataDir,
    cells: options.cells,
    nodesPerCell: options.nodesPerCell,
    portBase: options.portBase ?? (await freePortBase()),
    fsync: true,
    say: options.say,
    env: { 'node-*': { WEFT_APPENDS_PER_SECOND: '20000', NODE_OPTIONS: nodeOptions } },
  });
  await fabric.settle();
  return {
    dataDir,
    collectFolder,
    cells: cellsOf(fabric.describe()),
    servers: () => serversOf(fabric.describe()),
    [Symbol.asyncDispose]: async () => {
      await fabric[Symbol.asyncDispose]();
      if (options.temporary) rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

/** PostgreSQL may run as another user, who has to get in. */
function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'weft-bench-'));
  chmodSync(folder, 0o755);
  return folder;
}
