// Pure: from the fabric's plan to the configuration of every nats-server, as text. Regions meet as gateways of hubs that
// keep nothing; each cell is a leaf of its own region's hub, with a JetStream domain of its own. docs/adr/0001 says why.
// No secret is in the text: the servers read `$NAMES` from their environment.
import { directoryPermissions, leafPermissions, neverOnLeaf } from '@weft/proto/subjects.ts';
import type { NatsCredentials } from './nats-credentials.ts';
import type { CellPlan, FabricPlan, RegionPlan } from './plan.ts';

export interface NatsServerConfig {
  /** hub-<region> or nats-<cell>: the process's name in the plan. */
  readonly name: string;
  /** The client port first. */
  readonly ports: readonly number[];
  /** The whole file; `$DIR` stands for the server's own folder. */
  readonly text: string;
  /** What the file's `$NAMES` stand for. Secret. */
  readonly env: Readonly<Record<string, string>>;
}

export interface NatsTopologyOptions {
  readonly plan: Pick<FabricPlan, 'regions' | 'cells'>;
  readonly credentials: NatsCredentials;
  /** How often a cell's server flushes its streams to disk. The durable copy of a frame is its source's. */
  readonly syncInterval?: string;
}

/** Hubs first, then cells, in the order of the plan. */
export function natsTopology(options: NatsTopologyOptions): NatsServerConfig[] {
  const { plan } = options;
  return [...plan.regions.map((region) => hub(options, region)), ...plan.cells.map((cell) => leaf(options, cell))];
}

// A peer that is dead or frozen is given up after interval × (max + 1); the default would be six minutes.
const liveness = `ping_interval: "2s"
ping_max: 2
write_deadline: "5s"
max_pending: 64MB
max_payload: 1MB
max_control_line: 4KB
lame_duck_duration: "30s"
lame_duck_grace_period: "5s"`;

const list = (names: readonly string[]): string => `[${names.map((name) => JSON.stringify(name)).join(', ')}]`;
// The server parses what a variable holds like a piece of its file, so values are quoted there.
const quoted = JSON.stringify;

function hub(options: NatsTopologyOptions, region: RegionPlan): NatsServerConfig {
  const { plan, credentials } = options;
  const { host, client, leaf: leafPort, gateway, monitor } = region.hub;
  const others = plan.regions.filter((other) => other.name !== region.name);
  const cells = plan.cells.filter((cell) => cell.region === region.name);
  const text = `server_name: hub-${region.name}
listen: "${host}:${client}"
http: "${host}:${monitor}"
${liveness}
system_account: SYS
accounts {
  SYS { users: [ { user: sys, password: $WEFT_HUB_SYS } ] }
  FABRIC {
    users: [
${[...cells.map((cell) => leafUser(cell.name, credentials)), directoryUser(credentials)].join('\n')}
    ]
  }
}
leafnodes {
  listen: "${host}:${leafPort}"
  no_advertise: true
  write_deadline: "5s"
  compression: off
}
gateway {
  name: ${region.name}
  listen: "${host}:${gateway}"
  reject_unknown_cluster: true
  connect_retries: 5
  write_deadline: "5s"
  authorization { user: hub, password: $WEFT_HUB_LINK, timeout: 3 }
  gateways: [
${others.map((other) => `    { name: ${other.name}, urls: [ $${gatewayName(other)} ] }`).join('\n')}
  ]
}
`;
  const urls = others.map(
    (other) => [gatewayName(other), quoted(`nats://hub:${credentials.hubLink}@${other.hub.host}:${other.hub.gateway}`)] as const,
  );
  const env = { WEFT_HUB_SYS: quoted(credentials.hubSys), WEFT_HUB_LINK: quoted(credentials.hubLink), ...Object.fromEntries(urls) };
  return { name: `hub-${region.name}`, ports: [client, leafPort, gateway, monitor], text, env };
}

const gatewayName = (region: RegionPlan): string => `WEFT_GATEWAY_${region.name.toUpperCase().replaceAll('-', '_')}`;

/** Written from the cell's side: `publish` is what it may send to the hub. Its key opens leaf links only. */
function leafUser(cell: string, credentials: NatsCredentials): string {
  const { publish, subscribe } = leafPermissions(cell);
  return `      { nkey: ${credentials.leaf(cell).publicKey}
        allowed_connection_types: ["LEAFNODE"]
        permissions { publish: ${list(publish)}, subscribe: ${list(subscribe)} } }`;
}

function directoryUser(credentials: NatsCredentials): string {
  return `      { nkey: ${credentials.directory.publicKey}
        allowed_connection_types: ["STANDARD"]
        permissions { publish: ${list(directoryPermissions.publish)}, subscribe: ${list(directoryPermissions.subscribe)} } }`;
}

function leaf(options: NatsTopologyOptions, cell: CellPlan): NatsServerConfig {
  const { plan, credentials } = options;
  const host = cell.storeHost;
  const region = plan.regions.find((each) => each.name === cell.region);
  if (region === undefined) throw new Error(`cell ${cell.name} lies in region ${cell.region}, which the plan does not have`);
  const { client, monitor } = cell.nats;
  const text = `server_name: ${cell.name}
listen: "${host}:${client}"
http: "${host}:${monitor}"
${liveness}
jetstream {
  domain: ${cell.name}
  store_dir: "$DIR"
  max_memory_store: 64MB
  max_file_store: 8GB
  sync_interval: "${options.syncInterval ?? '10s'}"
}
system_account: SYS
accounts {
  SYS { users: [ { user: sys, password: $WEFT_CELL_SYS } ] }
  # Everything internal; bridged to nothing.
  CELL { jetstream: enabled, users: [ { user: cell, password: $WEFT_CELL } ] }
  # Bridged by the leaf link below.
  FABRIC { jetstream: enabled, users: [ { user: fabric, password: $WEFT_FABRIC } ] }
}
leafnodes {
  reconnect: "1s"
  write_deadline: "5s"
  remotes: [
    { urls: ["nats-leaf://${region.hub.host}:${region.hub.leaf}"]
      account: FABRIC
      nkey: $WEFT_LEAF_SEED
      compression: off
      ignore_discovered_servers: true
      # The hub enforces its own list; this is the second line.
      deny_imports: ${list(neverOnLeaf)}
      deny_exports: ${list(neverOnLeaf)} }
  ]
}
`;
  const own = credentials.cell(cell.name);
  const env = {
    WEFT_CELL_SYS: quoted(own.sys),
    WEFT_CELL: quoted(own.cell),
    WEFT_FABRIC: quoted(own.fabric),
    WEFT_LEAF_SEED: quoted(credentials.leaf(cell.name).seed),
  };
  return { name: `nats-${cell.name}`, ports: [client, monitor], text, env };
}
