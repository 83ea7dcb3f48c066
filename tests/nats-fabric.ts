// The NATS servers of a whole fabric, and nothing else of it: for tests of the bus.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fetchServers, type Servers } from '@weft/local/fetch-servers.ts';
import { type NatsCredentials, natsCredentials } from '@weft/local/nats-credentials.ts';
import { type NatsServerConfig, natsTopology } from '@weft/local/nats-topology.ts';
import { type FabricPlan, planFabric } from '@weft/local/plan.ts';
import { freePortBase } from '@weft/local/ports.ts';
import { type RunningProcess, startProcess } from '@weft/local/processes.ts';
import { natsPlan } from '@weft/local/servers.ts';
import { testFolder } from '@weft/local/test-servers.ts';
import { silentLog } from '@weft/runtime/log.ts';
import { CellBus } from '@weft/runtime/nats-cell-bus.ts';
import { FabricBus } from '@weft/runtime/nats-fabric-bus.ts';

const linksMsMax = 20_000;
const pollMs = 20;

/** Resolves when `ok` is true; rejects with `what` after `limitMs`. An error counts as not yet. */
export async function until(ok: () => boolean | Promise<boolean>, what: string, limitMs = linksMsMax): Promise<void> {
  const endsMs = performance.now() + limitMs;
  let last: unknown;
  for (;;) {
    try {
      if (await ok()) return;
    } catch (error) {
      last = error;
    }
    if (performance.now() > endsMs) throw new Error(`not within ${limitMs} ms: ${what}`, { cause: last });
    await sleep(pollMs);
  }
}

export interface NatsFabricOptions {
  readonly cells?: readonly string[];
  readonly syncInterval?: string;
  /** Changes every server's configuration, to switch a safety off. */
  readonly rewrite?: (text: string) => string;
}

export class NatsFabric implements AsyncDisposable {
  readonly plan: FabricPlan;
  readonly credentials: NatsCredentials;
  readonly dir: string;
  readonly #servers: Servers;
  readonly #configs: readonly NatsServerConfig[];
  readonly #running = new Map<string, RunningProcess>();
  readonly #buses: AsyncDisposable[] = [];

  private constructor(parts: { readonly plan: FabricPlan; readonly servers: Servers; readonly options: NatsFabricOptions }) {
    this.plan = parts.plan;
    this.#servers = parts.servers;
    this.dir = testFolder();
    this.credentials = natsCredentials(this.dir, this.cells);
    const { syncInterval, rewrite = (text: string): string => text } = parts.options;
    const configs = natsTopology({
      plan: parts.plan,
      credentials: this.credentials,
      ...(syncInterval === undefined ? {} : { syncInterval }),
    });
    this.#configs = configs.map((config) => ({ ...config, text: rewrite(config.text) }));
  }

  /** All servers run and every leaf link and gateway is up. */
  static async start(options: NatsFabricOptions = {}): Promise<NatsFabric> {
    const servers = await fetchServers(['nats-server'], (line) => process.stderr.write(`${line}\n`));
    const plan = planFabric({ portBase: await freePortBase(), ...(options.cells === undefined ? {} : { cells: options.cells }) });
    const fabric = new NatsFabric({ plan, servers, options });
    try {
      await Promise.all(fabric.#configs.map(({ name }) => fabric.startServer(name)));
      await fabric.linked();
    } catch (error) {
      await fabric[Symbol.asyncDispose]();
      throw error;
    }
    return fabric;
  }

  get cells(): string[] {
    return this.plan.cells.map((cell) => cell.name);
  }

  /** nats-eu-1, hub-eu … */
  config(server: string): NatsServerConfig {
    const found = this.#configs.find(({ name }) => name === server);
    if (found === undefined) throw new Error(`there is no server ${server}`);
    return found;
  }

  url(server: string): string {
    return `nats://127.0.0.1:${this.config(server).ports[0]}`;
  }

  process(server: string): RunningProcess {
    const found = this.#running.get(server);
    if (found === undefined) throw new Error(`${server} does not run`);
    return found;
  }

  logFile(server: string): string {
    return join(this.dir, 'logs', `${server}.log`);
  }

  /** A FABRIC connection of a cell, closed with the fabric. */
  async bus(cell: string, peers: readonly string[] = this.cells): Promise<FabricBus> {
    const password = this.credentials.cell(cell).fabric;
    const bus = await FabricBus.open({ url: this.url(`nats-${cell}`), password, cell, peers, log: silentLog() });
    this.#buses.push(bus);
    return bus;
  }

  /** A CELL connection of a cell, closed with the fabric. */
  async cellBus(cell: string): Promise<CellBus> {
    const password = this.credentials.cell(cell).cell;
    const bus = await CellBus.open({ url: this.url(`nats-${cell}`), password, cell, log: silentLog() });
    this.#buses.push(bus);
    return bus;
  }

  async startServer(name: string): Promise<void> {
    const config = this.config(name);
    const place = { servers: this.#servers, dataDir: this.dir, name, port: config.ports[0] ?? 0 };
    const plan = natsPlan(place, { text: config.text, env: config.env, otherPorts: config.ports.slice(1) });
    this.#running.set(name, await startProcess(plan));
  }

  /** `kill -9`, and waits until it is gone. */
  async kill(name: string): Promise<void> {
    const running = this.process(name);
    this.#running.delete(name);
    running.signal('SIGKILL');
    await running.ended;
  }

  /** Removes what a stopped server kept. */
  wipe(name: string): void {
    rmSync(join(this.dir, name), { recursive: true, force: true });
  }

  /** The server's own view: leafz, gatewayz, healthz … */
  async monitor(server: string, path: string): Promise<Record<string, unknown>> {
    const port = this.config(server).ports.at(-1);
    const answer = await fetch(`http://127.0.0.1:${port}/${path}`, { signal: AbortSignal.timeout(2_000) });
    return (await answer.json()) as Record<string, unknown>;
  }

  /** Resolves when every cell has its leaf link and every hub its gateways. */
  async linked(): Promise<void> {
    const { regions, cells } = this.plan;
    await until(async () => {
      for (const { name } of cells) {
        const { leafnodes } = await this.monitor(`nats-${name}`, 'leafz');
        if (leafnodes !== 1) return false;
      }
      for (const { name } of regions) {
        const { outbound_gateways: out, inbound_gateways: inward } = await this.monitor(`hub-${name}`, 'gatewayz');
        for (const side of [out, inward]) if (Object.keys(side ?? {}).length !== regions.length - 1) return false;
      }
      return true;
    }, 'every leaf link and gateway is up');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#buses.map((bus) => bus[Symbol.asyncDispose]()));
    await Promise.all([...this.#running.values()].map((running) => running.stop()));
    rmSync(this.dir, { recursive: true, force: true });
  }
}
