// A private fabric for one test file: real servers, real processes, free ports, a folder of its own.
//
//   await using fabric = await startFabric({ cells: ['eu-1', 'us-1'] });
//   const ana = await fabric.client('ana', 'eu-1');
//   const log = await ana.openDirect((await fabric.client('bo', 'us-1')).user);
//   await fabric.kill('node-us-1-a');
//   await until('the other node took over', () => …);   // until.ts
//
// People are signed up at first mention. Connections that a test leaves open are closed with the fabric.
import { rmSync } from 'node:fs';
import { Fabric } from '@weft/local/fabric.ts';
import { freePortBase } from '@weft/local/ports.ts';
import { testFolder } from '@weft/local/test-servers.ts';
import { openPool } from '@weft/runtime/sql.ts';
import { metricIn, metricsOf } from './metrics-of.ts';
import { type Encoding, RawClient } from './raw-client.ts';
import { until } from './until.ts';

export interface TestFabricOptions {
  readonly cells: readonly string[];
  /** One each by default. */
  readonly nodes?: number | Readonly<Record<string, number>>;
  /** Settings by process name, or by a prefix that ends in `*` ("node-*"). */
  readonly env?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** True: PostgreSQL with fsync, for tests that kill it. */
  readonly durable?: boolean;
}

/** What a log-in gave one device of a person. */
export interface Device {
  readonly name: string;
  readonly user: bigint;
  readonly cell: string;
  readonly device: string;
  readonly session: bigint;
  readonly token: string;
  readonly refreshToken: string;
}

export interface ClientOptions {
  /** Node of the home cell, or of another one to be redirected: "b", or a whole name such as "node-us-1-a". */
  readonly node?: string;
  readonly device?: string;
  readonly encoding?: Encoding;
  readonly resume?: { readonly cursor: Uint8Array; readonly digest: bigint };
}

const password = 'a private test fabric';
const startsMax = 3;

/** Starts a private fabric; answers when every process is ready. */
export async function startFabric(options: TestFabricOptions): Promise<TestFabric> {
  const nodes: Readonly<Record<string, number>> = typeof options.nodes === 'object' ? options.nodes : {};
  for (let tries = 1; ; tries++) {
    const dataDir = testFolder();
    try {
      const fabric = await Fabric.start({
        dataDir,
        portBase: await freePortBase(),
        cells: options.cells,
        nodesPerCell:
          typeof options.nodes === 'number' ? options.nodes : Object.fromEntries(options.cells.map((cell) => [cell, nodes[cell] ?? 1])),
        fsync: options.durable ?? false,
        ...(options.env ? { env: options.env } : {}),
      });
      return new TestFabric(fabric);
    } catch (error) {
      rmSync(dataDir, { recursive: true, force: true });
      // Somebody may have taken one of the ports in between.
      if (tries >= startsMax) throw error;
    }
  }
}

export class TestFabric implements AsyncDisposable {
  readonly fabric: Fabric;
  readonly #devices = new Map<string, Promise<Device>>();
  readonly #clients = new Set<RawClient>();
  /** By name, the last sign-in that was begun. */
  readonly #signedIn = new Map<string, Promise<unknown>>();

  constructor(fabric: Fabric) {
    this.fabric = fabric;
  }

  /** Base URL of a node ("node-eu-1-a") or router ("router-eu"). */
  url(name: string): string {
    return this.fabric.url(name);
  }

  /** Kills a process as a fault would (SIGKILL); the supervisor starts it again at once. */
  kill(name: string): Promise<void> {
    return this.fabric.kill(name);
  }

  /** Answers when every process that was not stopped on purpose is ready again. */
  settle(): Promise<void> {
    return this.fabric.settle();
  }

  /** The person's device, signed up or logged in at first mention; then the same session again. */
  device(name: string, cell: string, device = 'phone'): Promise<Device> {
    const key = `${name} ${device}`;
    let known = this.#devices.get(key);
    if (!known) {
      known = this.#signIn(name, cell, device);
      this.#devices.set(key, known);
      known.catch(() => this.#devices.delete(key));
    }
    return known;
  }

  /** Logs the person's device in anew: the sessions of before are over. */
  logInAgain(name: string, cell: string, device = 'phone'): Promise<Device> {
    this.#devices.delete(`${name} ${device}`);
    return this.device(name, cell, device);
  }

  /** A greeted connection of the person, on node a of their home cell unless told otherwise. */
  async client(name: string, cell: string, options: ClientOptions = {}): Promise<RawClient> {
    const { device, token } = await this.device(name, cell, options.device);
    const client = await this.connect(nodeName(cell, options.node), options);
    await client.hello({ token, device, ...(options.resume ? { resume: options.resume } : {}) });
    return client;
  }

  /** A connection to a node on which nothing was said yet. */
  async connect(node: string, options: { readonly encoding?: Encoding; readonly subprotocol?: string } = {}): Promise<RawClient> {
    const client = await RawClient.connect({ url: this.url(node), ...options });
    this.#clients.add(client);
    client.closed.then(
      () => this.#clients.delete(client),
      () => undefined,
    );
    return client;
  }

  /** A request at a REST door. Throws when the answer is no JSON object. */
  async rest(node: string, path: string, body?: unknown): Promise<{ readonly status: number; readonly body: Record<string, unknown> }> {
    const answer = await fetch(`${this.url(node)}${path}`, {
      ...(body === undefined ? {} : { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(30_000),
    });
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  }

  /** Rows of one statement in a cell's database, or "directory". */
  async sql(cell: string, statement: string, values: readonly unknown[] = []): Promise<Record<string, unknown>[]> {
    const pool = openPool(this.fabric.databaseUrl(cell), 1);
    try {
      return (await pool.query(statement, [...values])).rows as Record<string, unknown>[];
    } finally {
      await pool.end();
    }
  }

  /** One metric of a process of ours, summed over those of its labels that hold `label`; 0 when it has none yet. */
  async metric(process: string, name: string, label = ''): Promise<number> {
    return metricIn(await metricsOf(this.fabric.servers().find((one) => one.name === process)), name, label);
  }

  /** Closes every connection and stops every process; removes the data. */
  async stop(): Promise<void> {
    await Promise.all([...this.#clients].map((client) => client[Symbol.asyncDispose]()));
    await this.fabric[Symbol.asyncDispose]();
    rmSync(this.fabric.dataDir, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** A name's devices one after the other: until the first has signed up nobody can log in. */
  #signIn(name: string, cell: string, device: string): Promise<Device> {
    const before = this.#signedIn.get(name) ?? Promise.resolve();
    const signedIn = before.catch(() => undefined).then(() => this.#signInNow(name, cell, device));
    this.#signedIn.set(name, signedIn);
    return signedIn;
  }

  /** Signing up is repeated while the directory or the hashing queue says "later". */
  async #signInNow(name: string, cell: string, device: string): Promise<Device> {
    const credentials = { handle: name, password, device };
    let session: Record<string, unknown> = {};
    await until(
      `the sign-in of ${name} at ${cell}`,
      async () => {
        let answer = await this.rest(nodeName(cell), '/v1/accounts', credentials);
        if (answer.body.code === 'handle_taken') answer = await this.rest(nodeName(cell), '/v1/sessions', credentials);
        session = answer.body;
        if (answer.status >= 300 && answer.body.retry !== 'later') throw new Error(`${name} at ${cell}: ${JSON.stringify(answer.body)}`);
        return answer.status < 300;
      },
      30_000,
    );
    return {
      name,
      cell,
      device,
      user: BigInt(session.user as string),
      session: BigInt(session.session as string),
      token: session.access_token as string,
      refreshToken: session.refresh_token as string,
    };
  }
}

const nodeName = (cell: string, node = 'a'): string => (node.startsWith('node-') ? node : `node-${cell}-${node}`);
