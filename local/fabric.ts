// The whole fabric on one machine, supervised: what `npm start` shows and what tests break.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Credentials, loadCredentials } from './credentials.ts';
import { dataDirDefault, portBaseDefault } from './defaults.ts';
import { postgresUrl, type Wiring } from './environments.ts';
import { credentialsPath, describeFabric, type FabricFile, fabricFilePath } from './fabric-file.ts';
import { fetchServers, type Servers } from './fetch-servers.ts';
import { type KnownCellsOptions, untilCellsAreKnown } from './known-cells.ts';
import { Launcher } from './launcher.ts';
import { type NatsCredentials, natsCredentials } from './nats-credentials.ts';
import { type FabricPlan, type Place, type PlannedProcess, type ProcessKind, planFabric, plannedProcesses } from './plan.ts';
import { checkDisk, checkPorts, claimData, type DataClaim } from './preflight.ts';
import { fabricServers } from './server-pins.ts';
import { writeJson } from './state-file.ts';
import { type FabricEvent, Supervised, type SupervisedState } from './supervised.ts';

export type { FabricEvent } from './supervised.ts';

export interface FabricOptions {
  /** Kept between starts; must be reachable for PostgreSQL's user. */
  readonly dataDir?: string;
  readonly portBase?: number;
  /** Names of the cells; all four when absent. */
  readonly cells?: readonly string[];
  /** Nodes of every cell, or of each by name. */
  readonly nodesPerCell?: number | Readonly<Record<string, number>>;
  /** Settings over the planned ones, by process name or by a prefix that ends in `*` ("node-*"). */
  readonly env?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Where the parts run; all on loopback when absent. */
  readonly placeOf?: (part: string) => Place;
  /** Names of processes that somebody else runs where they are planned. */
  readonly outside?: readonly string[];
  /** Only processes of these kinds; all when absent. */
  readonly kinds?: readonly ProcessKind[];
  /** False: PostgreSQL without fsync and synchronous_commit, for tests whose subject is not durability. */
  readonly fsync?: boolean;
  /** Progress in words. */
  readonly say?: (line: string) => void;
  /** Every event from the first start on. */
  readonly tell?: (event: FabricEvent) => void;
  /** Ends a start that is under way. */
  readonly signal?: AbortSignal;
}

export interface FabricProcess {
  readonly name: string;
  readonly kind: ProcessKind;
  readonly state: SupervisedState;
  readonly pid: number | undefined;
  readonly host: string;
  readonly ports: readonly number[];
  readonly restarts: number;
}

/** Stopping goes by these groups, each at once: first who writes, last who keeps. */
const stopOrder: readonly (readonly ProcessKind[])[] = [['node', 'router'], ['control-plane'], ['nats'], ['hub', 'valkey'], ['postgres']];

/**
 * A running fabric. A process that ends without being told to is started again at once, then with back-off; events
 * tell of it. Names: node-eu-1-a, postgres-eu-1, valkey-eu-1, nats-eu-1, hub-eu, router-eu, control-plane, postgres-directory.
 */
export class Fabric implements AsyncDisposable {
  readonly plan: FabricPlan;
  readonly dataDir: string;
  readonly credentials: Credentials;
  readonly natsCredentials: NatsCredentials;
  readonly #processes: readonly PlannedProcess[];
  readonly #supervised = new Map<string, Supervised>();
  readonly #listeners = new Set<(event: FabricEvent) => void>();
  readonly #claim: DataClaim;
  readonly #launcher: Launcher;
  readonly #startedMs = Date.now();
  #disposed: Promise<void> | undefined;

  /** Fetches what is missing, starts everything and answers when all of it is ready. Throws StartRefused or a start error; then nothing is left running. */
  static async start(options: FabricOptions = {}): Promise<Fabric> {
    const dataDir = options.dataDir ?? dataDirDefault();
    const plan = planFabric({ ...options, portBase: options.portBase ?? portBaseDefault });
    const processes = plannedProcesses(plan).filter(
      ({ kind, name }) => (options.kinds?.includes(kind) ?? true) && !options.outside?.includes(name),
    );
    const claim = claimData(dataDir);
    try {
      checkDisk(dataDir);
      await checkPorts(processes, claim.afterCrash);
      const servers = await fetchServers(fabricServers, options.say ?? (() => undefined));
      options.signal?.throwIfAborted();
      const fabric = new Fabric({ plan, processes, dataDir, servers, claim, options });
      await fabric.#startAll(options.signal);
      return fabric;
    } catch (error) {
      claim[Symbol.dispose]();
      throw error;
    }
  }

  private constructor(parts: {
    plan: FabricPlan;
    processes: readonly PlannedProcess[];
    dataDir: string;
    servers: Servers;
    claim: DataClaim;
    options: FabricOptions;
  }) {
    this.plan = parts.plan;
    this.dataDir = parts.dataDir;
    this.#processes = parts.processes;
    this.#claim = parts.claim;
    if (parts.options.tell) this.#listeners.add(parts.options.tell);
    this.credentials = loadCredentials(credentialsPath(parts.dataDir), parts.plan);
    this.natsCredentials = natsCredentials(
      parts.dataDir,
      parts.plan.cells.map(({ name }) => name),
    );
    const wiring: Wiring = { plan: parts.plan, credentials: this.credentials, nats: this.natsCredentials, dataDir: parts.dataDir };
    this.#launcher = new Launcher({
      wiring,
      servers: parts.servers,
      env: parts.options.env ?? {},
      fsync: parts.options.fsync ?? true,
      ...(parts.options.placeOf ? { placeOf: parts.options.placeOf } : {}),
    });
    for (const process of parts.processes) {
      const supervised = new Supervised(
        process.name,
        () => this.#launcher.plan(process),
        (event) => this.#tell(event),
      );
      this.#supervised.set(process.name, supervised);
    }
  }

  /** Every process as soon as what it needs is ready. */
  async #startAll(signal: AbortSignal | undefined): Promise<void> {
    const ready = new Map<string, Promise<void>>();
    const begin = async (process: PlannedProcess, needed: readonly Promise<void>[]): Promise<void> => {
      await Promise.all(needed);
      if (this.#disposed !== undefined) throw new Error('stopped while starting');
      await this.#of(process.name).start();
    };
    // Planned in an order in which needs come first.
    for (const process of this.#processes)
      ready.set(
        process.name,
        begin(
          process,
          process.needs.flatMap((name) => ready.get(name) ?? []),
        ),
      );
    const stop = (): void => {
      this.#disposed ??= this.#stopAll();
    };
    signal?.addEventListener('abort', stop, { once: true });
    try {
      await Promise.all(ready.values());
      await untilCellsAreKnown({ ...this.#parts(), signal });
      signal?.throwIfAborted();
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw error;
    } finally {
      signal?.removeEventListener('abort', stop);
    }
    this.#write();
  }

  /** Routers that run, and cells of which a node does. */
  #parts(): Omit<KnownCellsOptions, 'signal'> {
    const names = this.#processes.map(({ name }) => name);
    const routers = this.#processes.filter(({ kind }) => kind === 'router').map(({ name }) => ({ name, url: this.url(name) }));
    return { routers, cells: this.plan.cells.map(({ name }) => name).filter((cell) => names.includes(`node-${cell}-a`)) };
  }

  /** Hears every event until disposed. */
  listen(listener: (event: FabricEvent) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  /** Ends a process as a fault would; answers when it is gone, and the supervisor starts it again. */
  async kill(name: string, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (!(await this.#of(name).kill(signal))) throw new Error(`${name} does not run`);
  }

  /** Stops a process; it stays stopped until `start`. */
  stop(name: string): Promise<void> {
    return this.#of(name).stop();
  }

  /** Answers when the process is ready, started by this or already on its way. */
  start(name: string): Promise<void> {
    return this.#of(name).start();
  }

  /** Environment over the planned one for the next starts of one of our own processes: failpoints, faster beats. Replaces what was configured before. */
  configure(name: string, settings: Readonly<Record<string, string>>): void {
    this.#launcher.configure(this.#planned(name).name, settings);
  }

  /** SIGSTOP to the process and everything below it. */
  freeze(name: string): void {
    this.#of(name).freeze();
  }

  thaw(name: string): void {
    this.#of(name).thaw();
  }

  /** Process id while it runs. */
  pid(name: string): number | undefined {
    return this.#of(name).pid;
  }

  /** Waits until every process that was not stopped on purpose is ready. */
  async settle(): Promise<void> {
    await Promise.all(
      [...this.#supervised.values()].filter(({ state }) => state !== 'stopped' && state !== 'frozen').map((one) => one.ready()),
    );
  }

  /** Base URL of a node ("node-eu-1-a") or router, host:port of the control plane. */
  url(name: string): string {
    const process = this.#planned(name);
    const port = process.ports[0] ?? 0;
    const at = `${process.host}:${port}`;
    return process.kind === 'control-plane' ? at : `http://${at}`;
  }

  /** URL of the PostgreSQL of a cell, or of "directory". */
  databaseUrl(cell: string): string {
    const { plan } = this;
    if (cell === 'directory') return postgresUrl(plan.controlPlane.host, plan.directoryPostgresPort);
    const planned = plan.cells.find(({ name }) => name === cell);
    if (planned === undefined) throw new Error(`there is no cell ${cell}`);
    return postgresUrl(planned.storeHost, planned.postgresPort);
  }

  /** Removes all files of a cell's JetStream; its server is down meanwhile, and afterwards as it was before. */
  async wipeJetStream(cell: string): Promise<void> {
    const nats = this.#of(`nats-${cell}`);
    const wasUp = nats.state !== 'stopped';
    await nats.kill();
    await nats.stop();
    rmSync(join(this.dataDir, nats.name), { recursive: true, force: true });
    if (wasUp) await nats.start();
  }

  servers(): FabricProcess[] {
    return this.#processes.map(({ name, kind, host, ports }) => {
      const { state, pid, restarts } = this.#of(name);
      return { name, kind, host, ports, state, pid, restarts };
    });
  }

  describe(): FabricFile {
    const processes = this.servers().map(({ name, pid, state, restarts }) => ({ name, pid: pid ?? null, state, restarts }));
    return { ...describeFabric(this.plan, this.dataDir, this.#startedMs), processes };
  }

  /** Stops everything in order and keeps the data. Idempotent. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed ??= this.#stopAll();
    await this.#disposed;
  }

  async #stopAll(): Promise<void> {
    for (const kinds of stopOrder) {
      const group = this.#processes.filter(({ kind }) => kinds.includes(kind));
      await Promise.all(group.map(({ name }) => this.stop(name)));
    }
    rmSync(fabricFilePath(this.dataDir), { force: true });
    this.#claim[Symbol.dispose]();
  }

  #tell(event: FabricEvent): void {
    if (event.what === 'restarted' || event.what === 'died') this.#write();
    for (const listener of this.#listeners) listener(event);
  }

  #write(): void {
    if (this.#disposed === undefined) writeJson(fabricFilePath(this.dataDir), this.describe());
  }

  #of(name: string): Supervised {
    const supervised = this.#supervised.get(name);
    if (supervised === undefined) throw new Error(`there is no process ${name}; there are ${[...this.#supervised.keys()].join(', ')}`);
    return supervised;
  }

  #planned(name: string): PlannedProcess {
    const process = this.#processes.find((one) => one.name === name);
    if (process === undefined) throw new Error(`there is no process ${name}`);
    return process;
  }
}
