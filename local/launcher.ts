// From a planned process to the command that runs it.
import { mkdirSync } from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheDirDefault } from './defaults.ts';
import { processSettings, type Wiring } from './environments.ts';
import type { Servers } from './fetch-servers.ts';
import { limits } from './limits.ts';
import { type NatsServerConfig, natsTopology } from './nats-topology.ts';
import { type Place, type PlannedProcess, partOf } from './plan.ts';
import type { ProcessPlan } from './processes.ts';
import { natsPlan, postgresPlan, type ServerPlace, valkeyPlan } from './servers.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const mains = { 'control-plane': 'control-plane/main.ts', router: 'router/main.ts', node: 'cells/main.ts' } as const;

export interface LauncherParts {
  readonly wiring: Wiring;
  readonly servers: Servers;
  /** Settings over the planned ones, by process name or by a prefix that ends in `*`. */
  readonly env: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly fsync: boolean;
  /** How often the cells' NATS servers flush, if not as the topology says. */
  readonly brokerSync?: string;
  readonly placeOf?: (part: string) => Place;
}

export class Launcher {
  readonly #parts: LauncherParts;
  readonly #nats: readonly NatsServerConfig[];
  /** Settings over all others, from the next start of the process on. */
  readonly #configured = new Map<string, Readonly<Record<string, string>>>();

  constructor(parts: LauncherParts) {
    this.#parts = parts;
    this.#nats = natsTopology({
      plan: parts.wiring.plan,
      credentials: parts.wiring.nats,
      ...(parts.brokerSync === undefined ? {} : { syncInterval: parts.brokerSync }),
    });
  }

  configure(name: string, settings: Readonly<Record<string, string>>): void {
    this.#configured.set(name, settings);
  }

  async plan(process: PlannedProcess): Promise<ProcessPlan> {
    const netns = this.#parts.placeOf?.(partOf(process)).netns;
    return { ...(await this.#planHere(process)), host: process.host, ...(netns === undefined ? {} : { netns }) };
  }

  async #planHere(process: PlannedProcess): Promise<ProcessPlan> {
    const place: ServerPlace = {
      servers: this.#parts.servers,
      dataDir: this.#parts.wiring.dataDir,
      name: process.name,
      host: process.host,
      port: process.ports[0] ?? 0,
    };
    if (process.kind === 'postgres') return postgresPlan(place, { fast: !this.#parts.fsync });
    if (process.kind === 'valkey') return valkeyPlan(place);
    if (process.kind === 'nats' || process.kind === 'hub') {
      const config = this.#nats.find(({ name }) => name === process.name);
      if (config === undefined) throw new Error(`the topology has no ${process.name}`);
      return natsPlan(place, { text: config.text, env: config.env, otherPorts: config.ports.slice(1) });
    }
    return this.#ownProcess(process, mains[process.kind]);
  }

  #ownProcess(process: PlannedProcess, main: string): ProcessPlan {
    const { wiring } = this.#parts;
    const dir = join(wiring.dataDir, process.name);
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const env = {
      // Compiled code is kept: a third of a start of two cores' worth of processes.
      NODE_COMPILE_CACHE: join(cacheDirDefault(), 'compiled'),
      ...processSettings(process, wiring),
      ...this.#overrides(process.name),
    };
    return {
      name: process.name,
      program: globalThis.process.execPath,
      args: [join(root, main)],
      dir,
      logFile: join(wiring.dataDir, 'logs', `${process.name}.log`),
      ports: process.ports,
      env,
      ready: () => answersReady(process.host, process.ports[1] ?? 0),
    };
  }

  #overrides(name: string): Record<string, string> {
    const fitting = Object.entries(this.#parts.env).filter(
      ([key]) => key === name || (key.endsWith('*') && name.startsWith(key.slice(0, -1))),
    );
    // An exact name says more than a prefix.
    const inOrder = fitting.sort(([a], [b]) => Number(a === name) - Number(b === name));
    return Object.assign({}, ...inOrder.map(([, settings]) => settings), this.#configured.get(name));
  }
}

/** Does the process say on its metrics port that it can really serve? */
const answersReady = (host: string, port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const request = get({ host, port, path: '/ready', timeout: limits.healthMsMax, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(false));
  });
