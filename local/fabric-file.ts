// `<data>/fabric.json`: what a running fabric tells those who want to use it.
import { join } from 'node:path';
import { natsUrl, postgresUrl, valkeyUrl } from './environments.ts';
import type { FabricPlan } from './plan.ts';
import { claimHolder } from './preflight.ts';
import { readJson } from './state-file.ts';

export interface FabricFile {
  /** The supervisor. */
  readonly pid: number;
  readonly startedMs: number;
  readonly dataDir: string;
  readonly portBase: number;
  readonly regions: readonly { readonly name: string; readonly router: string; readonly hub: string; readonly hubMonitor: string }[];
  readonly cells: readonly {
    readonly name: string;
    readonly number: number;
    readonly region: string;
    /** One base URL per node. */
    readonly urls: readonly string[];
    readonly nodes: readonly { readonly name: string; readonly url: string; readonly metrics: string }[];
    readonly database: string;
    readonly redis: string;
    readonly nats: string;
    readonly natsMonitor: string;
  }[];
  /** host:port of the gRPC door. */
  readonly controlPlane: string;
  readonly directoryDatabase: string;
  /** Secrets of the installation, by file. */
  readonly credentialsFile: string;
  readonly natsCredentialsFile: string;
  readonly processes: readonly { readonly name: string; readonly pid: number | null; readonly state: string; readonly restarts: number }[];
}

export const fabricFilePath = (dataDir: string): string => join(dataDir, 'fabric.json');
export const credentialsPath = (dataDir: string): string => join(dataDir, 'credentials.json');
const natsCredentialsPath = (dataDir: string): string => join(dataDir, 'nats-credentials.json');

export function describeFabric(plan: FabricPlan, dataDir: string, startedMs: number): Omit<FabricFile, 'processes'> {
  const monitor = (host: string, port: number): string => `http://${host}:${port}`;
  return {
    pid: process.pid,
    startedMs,
    dataDir,
    portBase: plan.portBase,
    regions: plan.regions.map(({ name, routerHost, routerPort, hub }) => ({
      name,
      router: `http://${routerHost}:${routerPort}`,
      hub: natsUrl(hub.host, hub.client),
      hubMonitor: monitor(hub.host, hub.monitor),
    })),
    cells: plan.cells.map(({ name, number, region, host, storeHost, nodes, postgresPort, valkeyPort, nats }) => ({
      name,
      number,
      region,
      urls: nodes.map(({ url }) => url),
      nodes: nodes.map((node) => ({ name: `node-${name}-${node.name}`, url: node.url, metrics: monitor(host, node.metricsPort) })),
      database: postgresUrl(storeHost, postgresPort),
      redis: valkeyUrl(storeHost, valkeyPort),
      nats: natsUrl(storeHost, nats.client),
      natsMonitor: monitor(storeHost, nats.monitor),
    })),
    controlPlane: `${plan.controlPlane.host}:${plan.controlPlane.port}`,
    directoryDatabase: postgresUrl(plan.controlPlane.host, plan.directoryPostgresPort),
    credentialsFile: credentialsPath(dataDir),
    natsCredentialsFile: natsCredentialsPath(dataDir),
  };
}

/** The fabric that runs on this data folder. Throws an error that says how to start one when none does. */
export function readFabric(dataDir: string): FabricFile {
  const file = readJson<FabricFile>(fabricFilePath(dataDir));
  if (file === undefined || claimHolder(dataDir) === undefined) {
    throw new Error(
      `no fabric runs on ${dataDir}. Start one in another terminal: npm start (with the same --data and --port-base, if you give any)`,
    );
  }
  return file;
}
