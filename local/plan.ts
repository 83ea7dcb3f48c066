// Pure: from a few options to every process of the fabric, its ports and what must run before it.
import { loopback, portsPerFabric } from './defaults.ts';

/** Where the processes of one part of the fabric run. */
export interface Place {
  /** Address they listen on and are reached at. */
  readonly host: string;
  /** Name of the network namespace they run in (Linux, root); ours when absent. */
  readonly netns?: string;
}

export interface HubPorts {
  readonly host: string;
  readonly client: number;
  readonly leaf: number;
  readonly gateway: number;
  readonly monitor: number;
}

export interface RegionPlan {
  readonly name: string;
  readonly routerHost: string;
  readonly routerPort: number;
  readonly routerMetricsPort: number;
  readonly hub: HubPorts;
}

export interface NodePlan {
  /** a, b, …: unique in its cell. */
  readonly name: string;
  readonly port: number;
  readonly metricsPort: number;
  readonly url: string;
}

export interface CellPlan {
  readonly name: string;
  readonly number: number;
  readonly region: string;
  /** Of its nodes. */
  readonly host: string;
  /** Of its PostgreSQL, Valkey and NATS server. */
  readonly storeHost: string;
  /** Share of new accounts, relative to the other cells. */
  readonly weight: number;
  readonly postgresPort: number;
  readonly valkeyPort: number;
  readonly nats: { readonly client: number; readonly monitor: number };
  readonly nodes: readonly NodePlan[];
}

export interface FabricPlan {
  readonly portBase: number;
  /** The directory's PostgreSQL runs beside it. */
  readonly controlPlane: { readonly host: string; readonly port: number; readonly metricsPort: number };
  readonly directoryPostgresPort: number;
  readonly regions: readonly RegionPlan[];
  readonly cells: readonly CellPlan[];
}

export interface PlanOptions {
  readonly portBase: number;
  /** Names of the cells; all four when absent. */
  readonly cells?: readonly string[];
  /** Nodes of every cell, or of each by name; by default two in the first cell of a region and one in the others. */
  readonly nodesPerCell?: number | Readonly<Record<string, number>>;
  /** Where the parts run ("eu-1", "store-eu-1", "hub-eu", "router-eu", "control-plane"); all here on loopback when absent. */
  readonly placeOf?: (part: string) => Place;
}

const here: Place = { host: loopback };
const placeOf = (options: PlanOptions, part: string): Place => options.placeOf?.(part) ?? here;

const knownRegions = ['eu', 'us'] as const;
const knownCells = [
  { name: 'eu-1', region: 'eu', nodes: 2 },
  { name: 'eu-2', region: 'eu', nodes: 1 },
  { name: 'us-1', region: 'us', nodes: 2 },
  { name: 'us-2', region: 'us', nodes: 1 },
] as const;
const nodeNames = ['a', 'b', 'c', 'd'] as const;

/** The layout of one fabric. Throws on an unknown cell, too many nodes or ports that do not exist. */
export function planFabric(options: PlanOptions): FabricPlan {
  const base = options.portBase;
  if (!Number.isInteger(base) || base < 1_024 || base + portsPerFabric > 65_536) {
    throw new Error(`the port base must be a whole number from 1024 to ${65_536 - portsPerFabric}, not ${base}`);
  }
  const names = options.cells ?? knownCells.map((cell) => cell.name);
  const unknown = names.filter((name) => !knownCells.some((cell) => cell.name === name));
  if (unknown.length > 0 || names.length === 0) {
    throw new Error(`unknown cell ${unknown.join(', ') || '""'}; the cells are ${knownCells.map((cell) => cell.name).join(', ')}`);
  }
  const cells = knownCells.flatMap((cell, at) => (names.includes(cell.name) ? [planCell(options, at)] : []));
  const regions = knownRegions.flatMap((name, at) => (cells.some((cell) => cell.region === name) ? [planRegion(options, name, at)] : []));
  const controlPlane = { host: placeOf(options, 'control-plane').host, port: base, metricsPort: base + 1 };
  return { portBase: base, controlPlane, directoryPostgresPort: base + 200, regions, cells };
}

function planRegion(options: PlanOptions, name: string, at: number): RegionPlan {
  const base = options.portBase;
  const hub = base + 100 + 10 * at;
  const router = base + 10 + 2 * at;
  return {
    name,
    routerHost: placeOf(options, `router-${name}`).host,
    routerPort: router,
    routerMetricsPort: router + 1,
    hub: { host: placeOf(options, `hub-${name}`).host, client: hub, leaf: hub + 1, gateway: hub + 2, monitor: hub + 3 },
  };
}

function planCell(options: PlanOptions, at: number): CellPlan {
  const base = options.portBase;
  const known = knownCells[at];
  if (known === undefined) throw new Error(`there is no cell ${at}`);
  const wanted = typeof options.nodesPerCell === 'number' ? options.nodesPerCell : options.nodesPerCell?.[known.name];
  const count = wanted ?? known.nodes;
  if (!Number.isInteger(count) || count < 1 || count > nodeNames.length) {
    throw new Error(`a cell has 1 to ${nodeNames.length} nodes here, not ${count}`);
  }
  const { host } = placeOf(options, known.name);
  const nodes = nodeNames.slice(0, count).map((name, n) => {
    const port = base + 500 + 10 * at + 2 * n;
    return { name, port, metricsPort: port + 1, url: `http://${host}:${port}` };
  });
  const nats = base + 400 + 10 * at;
  return {
    name: known.name,
    number: at + 1,
    region: known.region,
    host,
    storeHost: placeOf(options, `store-${known.name}`).host,
    weight: 100,
    postgresPort: base + 201 + at,
    valkeyPort: base + 300 + at,
    nats: { client: nats, monitor: nats + 3 },
    nodes,
  };
}

export type ProcessKind = 'postgres' | 'valkey' | 'hub' | 'nats' | 'control-plane' | 'router' | 'node';

export interface PlannedProcess {
  readonly name: string;
  readonly kind: ProcessKind;
  /** Cell or region it belongs to; absent for what is global. */
  readonly of?: string;
  readonly node?: string;
  readonly host: string;
  /** All ports it listens on, the client's one first. */
  readonly ports: readonly number[];
  /** Names of the processes that must be ready before it starts for the first time. */
  readonly needs: readonly string[];
}

/** Every process of the plan, in the order in which it may start; stopping goes the other way. */
export function plannedProcesses(plan: FabricPlan): PlannedProcess[] {
  const directory = 'postgres-directory';
  const servers: PlannedProcess[] = [
    { name: directory, kind: 'postgres', host: plan.controlPlane.host, ports: [plan.directoryPostgresPort], needs: [] },
  ];
  for (const cell of plan.cells) {
    servers.push({
      name: `postgres-${cell.name}`,
      kind: 'postgres',
      of: cell.name,
      host: cell.storeHost,
      ports: [cell.postgresPort],
      needs: [],
    });
    servers.push({ name: `valkey-${cell.name}`, kind: 'valkey', of: cell.name, host: cell.storeHost, ports: [cell.valkeyPort], needs: [] });
  }
  for (const { name, hub } of plan.regions) {
    servers.push({
      name: `hub-${name}`,
      kind: 'hub',
      of: name,
      host: hub.host,
      ports: [hub.client, hub.leaf, hub.gateway, hub.monitor],
      needs: [],
    });
  }
  for (const cell of plan.cells) {
    servers.push({
      name: `nats-${cell.name}`,
      kind: 'nats',
      of: cell.name,
      host: cell.storeHost,
      ports: [cell.nats.client, cell.nats.monitor],
      needs: [],
    });
  }
  const control = {
    name: 'control-plane',
    kind: 'control-plane',
    host: plan.controlPlane.host,
    ports: [plan.controlPlane.port, plan.controlPlane.metricsPort],
    needs: [directory],
  } as const;
  const routers = plan.regions.map((region): PlannedProcess => {
    return {
      name: `router-${region.name}`,
      kind: 'router',
      of: region.name,
      host: region.routerHost,
      ports: [region.routerPort, region.routerMetricsPort],
      needs: [control.name],
    };
  });
  const nodes = plan.cells.flatMap((cell) =>
    cell.nodes.map((node): PlannedProcess => {
      const needs = [`postgres-${cell.name}`, `valkey-${cell.name}`, `nats-${cell.name}`, control.name];
      return {
        name: `node-${cell.name}-${node.name}`,
        kind: 'node',
        of: cell.name,
        host: cell.host,
        node: node.name,
        ports: [node.port, node.metricsPort],
        needs,
      };
    }),
  );
  return [...servers, control, ...routers, ...nodes];
}

/** The part of the fabric a process belongs to: what is placed together. */
export function partOf({ kind, of }: PlannedProcess): string {
  if (of === undefined) return 'control-plane';
  if (kind === 'node') return of;
  return kind === 'hub' || kind === 'router' ? `${kind}-${of}` : `store-${of}`;
}

/** Every directed pair of cells. */
export const directedLinks = (plan: FabricPlan): { readonly from: string; readonly to: string }[] =>
  plan.cells.flatMap((from) => plan.cells.filter((to) => to !== from).map((to) => ({ from: from.name, to: to.name })));
