// A fabric to break: on loopback, or each part in a network namespace of its own.
import { rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { Fabric, type FabricOptions } from '@weft/local/fabric.ts';
import { freePortBase } from '@weft/local/ports.ts';
import { testFolder } from '@weft/local/test-servers.ts';
import { openPool } from '@weft/runtime/sql.ts';
import { metricIn, metricsOf } from '../metrics-of.ts';
import { Network } from './network.ts';

type Pool = ReturnType<typeof openPool>;

export interface StageOptions {
  readonly cells: readonly string[];
  readonly nodes: Readonly<Record<string, number>>;
  /** In network namespaces. */
  readonly placed: boolean;
  /** Over what the stage would choose; a data folder of its own is kept and not removed. */
  readonly fabric?: FabricOptions;
}

const startsMax = 3;
const rssEveryMs = 500;

export class Stage implements AsyncDisposable {
  readonly fabric: Fabric;
  readonly cells: readonly string[];
  readonly #network: Network | undefined;
  readonly #pools = new Map<string, Pool>();
  readonly #owned = new AsyncDisposableStack();
  readonly #watching: NodeJS.Timeout;
  #rssMb = 0;

  /** Resolves when every process is ready. */
  static async open(options: StageOptions): Promise<Stage> {
    const regions = [...new Set(options.cells.map((cell) => cell.slice(0, cell.indexOf('-'))))];
    const parts = [...options.cells, ...regions.flatMap((region) => [`hub-${region}`, `router-${region}`]), 'control-plane'];
    const network = options.placed ? Network.open(parts) : undefined;
    for (let tries = 1; ; tries++) {
      const dataDir = options.fabric?.dataDir ?? testFolder();
      try {
        const fabric = await Fabric.start({
          dataDir,
          portBase: await freePortBase(),
          cells: options.cells,
          nodesPerCell: options.nodes,
          fsync: true,
          ...options.fabric,
          ...(network ? { placeOf: (part: string) => network.placeOf(part) } : {}),
        });
        return new Stage(fabric, options.cells, network);
      } catch (error) {
        if (options.fabric?.dataDir === undefined) rmSync(dataDir, { recursive: true, force: true });
        // Somebody may have taken one of the ports in between.
        if (tries < startsMax) continue;
        await network?.[Symbol.asyncDispose]();
        throw error;
      }
    }
  }

  private constructor(fabric: Fabric, cells: readonly string[], network: Network | undefined) {
    this.fabric = fabric;
    this.cells = cells;
    this.#network = network;
    if (network) this.#owned.use(network);
    this.#owned.defer(() => rmSync(fabric.dataDir, { recursive: true, force: true }));
    this.#owned.use(fabric);
    for (const cell of [...cells, 'directory']) {
      const pool = openPool(fabric.databaseUrl(cell), 2);
      this.#pools.set(cell, pool);
      this.#owned.defer(() => pool.end());
    }
    this.#watching = setInterval(() => void this.#lookAtMemory(), rssEveryMs);
    this.#owned.defer(() => clearInterval(this.#watching));
  }

  /** Throws on a stage that is on loopback: the fault should have said that it needs namespaces. */
  get network(): Network {
    if (this.#network === undefined) throw new Error('this stage has no network of its own');
    return this.#network;
  }

  get isPlaced(): boolean {
    return this.#network !== undefined;
  }

  /** Names of the nodes of a cell, or of all. */
  nodes(cell?: string): string[] {
    return this.processes('node').filter((name) => cell === undefined || name.startsWith(`node-${cell}-`));
  }

  processes(kind: string): string[] {
    return this.fabric
      .servers()
      .filter((process) => process.kind === kind)
      .map(({ name }) => name);
  }

  /** Every process of one cell. */
  processesOf(cell: string): string[] {
    return [...this.nodes(cell), `nats-${cell}`, `valkey-${cell}`, `postgres-${cell}`];
  }

  async stopAll(names: readonly string[]): Promise<void> {
    await Promise.all(names.map((name) => this.fabric.stop(name)));
  }

  async startAll(names: readonly string[]): Promise<void> {
    await Promise.all(names.map((name) => this.fabric.start(name)));
  }

  /** Whatever a fault that failed left stopped, frozen or cut is whole again. */
  async restore(): Promise<void> {
    if (this.#network) this.#network.passAll();
    const servers = this.fabric.servers();
    for (const { name, state } of servers) if (state === 'frozen') this.fabric.thaw(name);
    await this.startAll(servers.filter(({ state }) => state === 'stopped').map(({ name }) => name));
    await this.fabric.settle();
  }

  /** Rows of one statement in a cell's database, or "directory". */
  async sql(cell: string, text: string, values: readonly unknown[] = []): Promise<Record<string, unknown>[]> {
    return (await (this.#pools.get(cell) as Pool).query(text, [...values])).rows as Record<string, unknown>[];
  }

  /** A private session in a cell's database. */
  async session(cell: string): Promise<{ query: (text: string, values?: unknown[]) => Promise<unknown> } & Disposable> {
    const client = await (this.#pools.get(cell) as Pool).connect();
    return { query: (text, values) => client.query(text, values), [Symbol.dispose]: () => client.release(true) };
  }

  /** One metric of a process of ours, summed over its labels that hold `label`; 0 when it has none. */
  async metric(process: string, name: string, label = ''): Promise<number> {
    const found = this.fabric.servers().find((one) => one.name === process);
    return metricIn(await metricsOf(found), name, label);
  }

  /** Most memory of any process of ours since the last call, in megabytes. */
  takeRssMb(): number {
    const most = this.#rssMb;
    this.#rssMb = 0;
    return most;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
  }

  async #lookAtMemory(): Promise<void> {
    for (const name of [...this.nodes(), ...this.processes('nats'), ...this.processes('hub')]) {
      const pid = this.fabric.pid(name);
      const status = pid === undefined ? '' : await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
      const kb = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0);
      this.#rssMb = Math.max(this.#rssMb, Math.round(kb / 1_024));
    }
  }
}
