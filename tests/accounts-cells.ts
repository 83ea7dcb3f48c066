// The accounts of a few cells over real servers: one control plane, one PostgreSQL with a database for each, one Redis.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Accounts } from '@weft/cells/accounts/accounts.ts';
import { CellKeys } from '@weft/cells/accounts/cell-keys.ts';
import type { SignUpFailpoint } from '@weft/cells/accounts/signup.ts';
import { buildHttp } from '@weft/cells/http/http.ts';
import { HeadKeys } from '@weft/cells/proof/head-keys.ts';
import { startControlPlane } from '@weft/control-plane/control-plane.ts';
import { startTestPostgres, startTestRedis, testFolder } from '@weft/local/test-servers.ts';
import { CellState } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import { makeId } from '@weft/proto/ids.ts';
import { type Clock, systemClock } from '@weft/runtime/clock.ts';
import { Secret } from '@weft/runtime/config.ts';
import { DirectoryReplica } from '@weft/runtime/directory-replica.ts';
import { directorySigningKey, rawPublicKey } from '@weft/runtime/directory-signature.ts';
import { parseServiceTokens } from '@weft/runtime/grpc.ts';
import { IdMaker } from '@weft/runtime/id-maker.ts';
import { Leases } from '@weft/runtime/lease.ts';
import { silentLog } from '@weft/runtime/log.ts';
import { migrate } from '@weft/runtime/migrate.ts';
import { Health } from '@weft/runtime/observability.ts';
import { seededRandom } from '@weft/runtime/random.ts';
import { closeRedis, openRedis } from '@weft/runtime/redis.ts';
import { openPool } from '@weft/runtime/sql.ts';

type Pool = ReturnType<typeof openPool>;

const cellNumbers = { 'eu-1': 1, 'us-1': 3 } as const;
export type CellName = keyof typeof cellNumbers;

/** The system's clock, moved by hand; its repeated timers also fire when told to. */
export class MovedClock implements Clock {
  readonly #repeated = new Set<{ readonly ms: number; readonly fn: () => void }>();
  moveMs = 0;
  monotonic = systemClock.monotonic;
  sleep = systemClock.sleep;
  timer = systemClock.timer;

  now(): number {
    return Date.now() + this.moveMs;
  }

  every(ms: number, fn: () => void): Disposable {
    const each = { ms, fn };
    this.#repeated.add(each);
    return { [Symbol.dispose]: () => void this.#repeated.delete(each) };
  }

  /** Fires every repeated timer once. */
  tick(): void {
    for (const { fn } of [...this.#repeated]) fn();
  }
}

export interface TestNode extends AsyncDisposable {
  readonly name: CellName;
  readonly accounts: Accounts;
  readonly keys: CellKeys;
  readonly homes: DirectoryReplica;
  readonly clock: MovedClock;
  readonly pool: Pool;
  readonly url: string;
  /** Where the next sign-up ends as if the process had died. */
  crashAt: SignUpFailpoint | undefined;
  /** Publishes urls and keys. */
  register(): Promise<void>;
}

export interface NodeSettings {
  readonly peppers?: ReadonlyMap<number, Uint8Array>;
  readonly attempts?: { readonly account: number };
  readonly origins?: readonly string[];
}

export class Ground implements AsyncDisposable {
  readonly #opened: AsyncDisposableStack;
  readonly #postgres: string;
  readonly redisUrl: string;
  readonly #signSeed = randomBytes(32);
  readonly #tokens = new Map<CellName, string>();
  readonly #keySecret = randomBytes(32);
  readonly pepper = randomBytes(32);
  #plane: Awaited<ReturnType<typeof startControlPlane>> | undefined;
  #planePort = 0;
  #nodes = 0;

  private constructor(opened: AsyncDisposableStack, urls: { readonly postgres: string; readonly redis: string }) {
    this.#opened = opened;
    this.#postgres = urls.postgres;
    this.redisUrl = urls.redis;
    for (const name of Object.keys(cellNumbers) as CellName[]) this.#tokens.set(name, randomBytes(16).toString('hex'));
  }

  static async open(): Promise<Ground> {
    await using opened = new AsyncDisposableStack();
    const postgres = opened.use(await startTestPostgres({ fast: true }));
    const redis = opened.use(await startTestRedis());
    const ground = new Ground(opened.move(), { postgres: postgres.url, redis: redis.url });
    const pool = openPool(postgres.url, 1);
    for (const name of ['directory', ...Object.keys(cellNumbers)]) await pool.query(`create database "${name}"`);
    await pool.end();
    for (const name of Object.keys(cellNumbers)) await ground.#createTables(name);
    await ground.startDirectory();
    return ground;
  }

  async startDirectory(): Promise<void> {
    const tokens = [...this.#tokens].map(([name, token]) => `${name}:${createHash('sha256').update(token).digest('hex')}`);
    const config = {
      host: '127.0.0.1',
      port: this.#planePort,
      metricsPort: 0,
      logLevel: 'silent',
      drainMsMax: 1_000,
      pgUrl: new Secret(this.#database('directory')),
      tokens: parseServiceTokens(tokens.join(',')),
      cells: Object.entries(cellNumbers).map(([name, number]) => ({ name, number, region: name.slice(0, 2), weight: 100 })),
      hubUrls: [],
      nkeySeed: new Secret('no hub is connected'),
      signSeed: new Secret(this.#signSeed.toString('base64url')),
    };
    this.#plane = await startControlPlane(config, { log: silentLog() });
    this.#planePort = this.#plane.port;
  }

  async stopDirectory(): Promise<void> {
    await this.#plane?.[Symbol.asyncDispose]();
    this.#plane = undefined;
  }

  /** One more node of the cell. */
  async node(name: CellName, settings: NodeSettings = {}): Promise<TestNode> {
    await using opened = new AsyncDisposableStack();
    const clock = new MovedClock();
    const log = silentLog();
    const number = cellNumbers[name];
    const dataDir = testFolder();
    opened.defer(() => rm(dataDir, { recursive: true }));
    const homes = opened.use(
      await DirectoryReplica.open({
        address: `127.0.0.1:${this.#planePort}`,
        token: this.#tokens.get(name) ?? '',
        publicKey: rawPublicKey(directorySigningKey(this.#signSeed)),
        dataDir,
        clock: systemClock,
        random: seededRandom(1),
        log,
      }),
    );
    const pool = openPool(this.#database(name), 4, { name });
    opened.defer(() => pool.end());
    const redis = openRedis(this.redisUrl, log, { keyPrefix: `${name}:${randomBytes(4).toString('hex')}:` });
    opened.defer(() => closeRedis(redis));
    await until('Redis', () => redis.status === 'ready');
    const keys = opened.use(await CellKeys.open({ pool, secret: this.#keySecret, clock, cell: name, log }));
    const node = { crashAt: undefined as SignUpFailpoint | undefined };
    const accounts = opened.use(
      await Accounts.open({
        pool,
        redis,
        clock,
        homes,
        keys,
        log,
        ids: new IdMaker({ clock, cell: number, node: this.#nodes++, leaseEndsMs: () => Number.POSITIVE_INFINITY }),
        own: { name, number, url: 'http://127.0.0.1:1' },
        keySecret: this.#keySecret,
        peppers: settings.peppers ?? new Map([[1, this.pepper]]),
        leases: new Leases({ pool, clock, holder: `${name}-${this.#nodes}` }),
        // Idempotent, as the real one: the same user, the same log.
        createSelfLog: async (user) => makeId(2_000_000_000_000, number, 31, Number(user & 31n)),
        failpoint: async (at) => {
          if (node.crashAt === at) throw new Error(`crash at ${at}`);
        },
        ...(settings.attempts === undefined ? {} : { attemptLimits: { account: { points: settings.attempts.account, ms: 60_000 } } }),
      }),
    );
    const health = new Health();
    health.set('all', true);
    const app = buildHttp({
      cell: name,
      accounts,
      keys,
      headKeys: new HeadKeys({ cell: { name, number }, keys, cells: () => homes.cells() }),
      health,
      log,
      ...(settings.origins === undefined ? {} : { origins: settings.origins }),
    });
    opened.defer(() => app.close());
    await app.listen({ host: '127.0.0.1', port: 0 });
    const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
    const register = async (): Promise<void> => {
      const record = {
        name,
        number,
        region: '',
        urls: [url],
        generation: 1n,
        heir: 0,
        keys: keys.publicKeys(),
        state: CellState.CELL_STATE_OPEN,
        weight: 0,
        version: 0n,
      };
      await homes.directory.registerCell(record);
    };
    await register();
    const running = opened.move();
    return Object.assign(node, {
      name,
      accounts,
      keys,
      homes,
      clock,
      pool,
      url,
      register,
      [Symbol.asyncDispose]: () => running.disposeAsync(),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopDirectory();
    await this.#opened.disposeAsync();
  }

  #database(name: string): string {
    return this.#postgres.replace(/\/postgres$/, `/${name}`);
  }

  async #createTables(cell: string): Promise<void> {
    const pool = openPool(this.#database(cell), 1);
    await migrate(pool, [join(import.meta.dirname, '../cells/store/migrations')], systemClock, 'accounts-test');
    await pool.end();
  }
}

/** Waits for a condition; fails after 10 s. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const endsMs = performance.now() + 10_000;
  while (!(await holds())) {
    assert.ok(performance.now() < endsMs, `${what} did not come`);
    await systemClock.sleep(10);
  }
}
