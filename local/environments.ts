// Pure: the settings each of our own processes is started with.
import { join } from 'node:path';
import { type Credentials, controlPlaneName, operatorTokenDigest, routerName, serviceTokenDigests } from './credentials.ts';
import type { NatsCredentials } from './nats-credentials.ts';
import type { CellPlan, FabricPlan, PlannedProcess } from './plan.ts';

export interface Wiring {
  readonly plan: FabricPlan;
  readonly credentials: Credentials;
  readonly nats: NatsCredentials;
  readonly dataDir: string;
}

type Settings = Record<string, string>;

export const postgresUrl = (host: string, port: number): string => `postgres://postgres@${host}:${port}/postgres`;
export const valkeyUrl = (host: string, port: number): string => `redis://${host}:${port}`;
export const natsUrl = (host: string, port: number): string => `nats://${host}:${port}`;

/** Environment of a control plane, router or node; throws for a server. */
export function processSettings(process: PlannedProcess, wiring: Wiring): Settings {
  const [port = 0, metricsPort = 0] = process.ports;
  const common = {
    WEFT_HOST: process.host,
    WEFT_PORT: String(port),
    WEFT_METRICS_PORT: String(metricsPort),
    WEFT_DATA_DIR: join(wiring.dataDir, process.name),
  };
  if (process.kind === 'control-plane') return { ...common, ...controlPlaneSettings(wiring) };
  if (process.kind === 'router') return { ...common, ...routerSettings(process.of ?? '', wiring) };
  const cell = wiring.plan.cells.find(({ name }) => name === process.of);
  if (process.kind !== 'node' || cell === undefined) throw new Error(`${process.name} is not one of our own processes`);
  return { ...common, WEFT_NODE: process.node ?? '', WEFT_PUBLIC_URL: `http://${process.host}:${port}`, ...cellSettings(cell, wiring) };
}

function controlPlaneSettings({ plan, credentials, nats }: Wiring): Settings {
  return {
    WEFT_PG_URL: postgresUrl(plan.controlPlane.host, plan.directoryPostgresPort),
    ...tlsSettings(credentials, controlPlaneName),
    WEFT_SERVICE_TOKENS: serviceTokenDigests(credentials),
    WEFT_CELL_PLAN: JSON.stringify(plan.cells.map(({ name, number, region, weight }) => ({ name, number, region, weight }))),
    WEFT_HUB_URLS: plan.regions.map(({ hub }) => natsUrl(hub.host, hub.client)).join(','),
    WEFT_DIRECTORY_NKEY: nats.directory.seed,
    WEFT_DIRECTORY_SIGN_KEY: credentials.directorySignKey,
  };
}

function tlsSettings({ authority, certificates }: Credentials, name: string): Settings {
  const own = certificates[name];
  if (own === undefined) throw new Error(`there is no certificate for ${name}`);
  return { WEFT_TLS_AUTHORITY: authority.certificate, WEFT_TLS_CERTIFICATE: own.certificate, WEFT_TLS_KEY: own.key };
}

const directorySettings = ({ plan, credentials }: Wiring): Settings => ({
  WEFT_DIRECTORY_ADDR: `${plan.controlPlane.host}:${plan.controlPlane.port}`,
  WEFT_DIRECTORY_KEY: credentials.directoryKey,
});

// Everybody here comes from one address.
const sharedAddress: Settings = { WEFT_REQUESTS_PER_SECOND: '5000' };

function routerSettings(region: string, wiring: Wiring): Settings {
  return {
    ...directorySettings(wiring),
    ...tlsSettings(wiring.credentials, routerName(region)),
    WEFT_REGION: region,
    WEFT_SERVICE_TOKEN: wiring.credentials.routers[region] ?? '',
    ...sharedAddress,
  };
}

function cellSettings(cell: CellPlan, wiring: Wiring): Settings {
  const own = wiring.credentials.cells[cell.name];
  const nats = wiring.nats.cell(cell.name);
  if (own === undefined) throw new Error(`there are no credentials for ${cell.name}`);
  return {
    ...directorySettings(wiring),
    ...tlsSettings(wiring.credentials, cell.name),
    WEFT_CELL: cell.name,
    WEFT_CELL_NUMBER: String(cell.number),
    WEFT_REGION: cell.region,
    WEFT_PG_URL: postgresUrl(cell.storeHost, cell.postgresPort),
    WEFT_REDIS_URL: valkeyUrl(cell.storeHost, cell.valkeyPort),
    WEFT_NATS_URL: natsUrl(cell.storeHost, cell.nats.client),
    WEFT_NATS_FABRIC_PASSWORD: nats.fabric,
    WEFT_NATS_CELL_PASSWORD: nats.cell,
    WEFT_SERVICE_TOKEN: own.serviceToken,
    WEFT_OPERATOR_TOKENS: operatorTokenDigest(wiring.credentials),
    WEFT_KEY_SECRET: own.keySecret,
    WEFT_PEPPERS: own.peppers,
  };
}
