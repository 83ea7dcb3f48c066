// Connections to the SQL store: a pool for everything, and dedicated pipelined sessions for the write path.
import assert from 'node:assert/strict';
import pg from 'pg';
import { tapRows } from './binary-rows.ts';
import { type Clock, systemClock } from './clock.ts';
import { ConnectGate } from './connect-gate.ts';
import { runtimeLimits as limits } from './limits.ts';
import type { Log } from './log.ts';
import { systemRandom } from './random.ts';
import { retry } from './retry.ts';

export interface SessionOptions {
  /** `application_name`: seen in pg_stat_activity, label of the pool's metrics. */
  readonly name?: string;
  readonly log?: Log;
  /** False: a commit does not wait for the disk, and a crash of the server may undo it. For what only saves work. */
  readonly durable?: boolean;
  /** Statements of a batch may take their rows as bytes. */
  readonly tapped?: boolean;
  /**
   * Every statement is planned once a session. Else PostgreSQL plans those with arrays anew each time, which costs more than
   * they do. Only where the kept plan of each is known to be good (tests/store-plans.test.ts).
   */
  readonly keepsPlans?: boolean;
}

/** A pool of at most `max` sessions. int8 is bigint, bytea Buffer. Errors of idle sessions are logged, the pool replaces them. */
export function openPool(url: string, max: number, options: SessionOptions = {}): pg.Pool {
  const pool = new pg.Pool({
    ...session(url, { name: options.name ?? 'weft', gate: poolGate }),
    Client: GatedClient as unknown as new () => pg.ClientBase,
    max,
    idleTimeoutMillis: limits.poolIdleMsMax,
    query_timeout: limits.poolAnswerMsMax,
    options: settings({
      lock_timeout: limits.poolLockMsMax,
      idle_in_transaction_session_timeout: limits.poolIdleInTransactionMsMax,
      statement_timeout: limits.poolStatementMsMax,
    }),
  });
  // Read at each connection and by whoever waits for one.
  Object.defineProperty(pool.options, 'connectionTimeoutMillis', { get: () => poolGate.patienceMs });
  pool.on('error', (error) => options.log?.warn({ err: error, pool: options.name }, 'an idle SQL session ended'));
  return pool;
}

/**
 * One session for the write path: queries are sent without waiting for the answers of those before. It is not reconnected: when a query
 * fails with a lost connection, or `error` or `end` is emitted, open another.
 *
 * Seen with pg 8.23 and PostgreSQL 18 (tests/runtime-sql.test.ts):
 * - Each query is its own Parse/Bind/Execute/Sync, answered in order, so an error outside a transaction fails that query alone.
 * - Inside `begin … commit` the first error aborts: every later statement fails with 25P02, and **`commit` resolves all the same**, with
 *   `command === 'ROLLBACK'`. Send the whole batch, await all with `Promise.all` (it rejects with the first error in statement order and
 *   leaves no rejection unhandled), and believe a commit only through {@link assertCommitted}. When `begin` to `commit` were sent together
 *   the session is usable again at once; when `commit` was not yet sent, send `rollback`.
 * - A named statement is parsed once a session; a name may never stand for two texts. If its first Parse fails, later uses fail with 26000.
 * - Portals cannot be shared: no cursors, no `rows`.
 * - A lost connection fails every query under way; whether a sent `commit` happened is unknown (run the transaction again, R5).
 * - No answer within writeAnswerMsMax (a frozen server) destroys the session: all its queries fail as lost.
 */
export async function openPipelined(url: string, options: SessionOptions = {}): Promise<pg.Client> {
  const client = new pg.Client({
    ...session(url, { name: options.name ?? 'weft-write', gate: writeGate }),
    pipeline: true,
    query_timeout: limits.writeAnswerMsMax,
    options: settings({
      lock_timeout: limits.writeLockMsMax,
      idle_in_transaction_session_timeout: limits.writeIdleInTransactionMsMax,
      statement_timeout: limits.writeStatementMsMax,
      synchronous_commit: options.durable === false ? 'off' : 'on',
      plan_cache_mode: options.keepsPlans === true ? 'force_generic_plan' : 'auto',
    }),
  });
  // Without a listener an ended session ends the process; whoever has a query under way gets the error there.
  client.on('error', (error) => options.log?.warn({ err: error }, 'a write session ended'));
  await writeGate.through(() => client.connect(), taken(client));
  if (options.tapped) tapRows(client);
  return client;
}

/** A `commit` that answers ROLLBACK did not commit: a statement before it had failed. */
export function assertCommitted(result: pg.QueryResult): void {
  assert.equal(result.command, 'COMMIT', 'the transaction was rolled back');
}

/** The five-character SQLSTATE of an error that the server sent. */
export function sqlState(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const code = (error as { code?: unknown }).code;
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && !systemCodes.has(code) ? code : undefined;
}

/**
 * Whether running the whole transaction again may succeed: serialisation failure and deadlock (class 40, the ambiguous 40003 included: the
 * transaction must recognise what it committed before), lost or refused connections (class 08, 57P0x, system errors), a lock or a
 * statement that took too long (55P03, 57014, 25P03), exhausted resources (class 53). Not 23505: see {@link isUniqueViolation}.
 */
export function isRetryable(error: unknown): boolean {
  const state = sqlState(error);
  if (state !== undefined) return /^(08|40|53)|^(55P03|57014|25P03|57P0[1-5])$/.test(state);
  return isConnectionLost(error);
}

/** 23505. For the write path a reason to run again, since the look-up then finds the row (R5); elsewhere usually an outcome. */
export const isUniqueViolation = (error: unknown): boolean => sqlState(error) === '23505';

/** Whether the session is gone, so that the outcome of a commit under way is unknown. */
export function isConnectionLost(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error instanceof AggregateError) return error.errors.some(isConnectionLost);
  const state = sqlState(error);
  if (state !== undefined) return /^08|^(25P03|57P0[1-5])$/.test(state);
  return systemCodes.has(String((error as { code?: unknown }).code)) || lostMessages.test(error.message);
}

export interface TransactionOptions {
  /** Runs at most, the first included. */
  readonly attempts?: number;
  readonly clock?: Clock;
}

/**
 * Runs `fn` in a transaction, on one session of the pool, and commits. After a retryable error the whole of it runs again with jitter, up to
 * `attempts`: `fn` must do nothing that a second run would double, and must recognise its own commit whose answer was lost.
 */
export async function inTransaction<T>(
  pool: pg.Pool,
  fn: (client: pg.PoolClient) => Promise<T>,
  options: TransactionOptions = {},
): Promise<T> {
  return retry(() => runOnce(pool, fn), {
    attempts: options.attempts ?? limits.transactionAttemptsMax,
    baseMs: limits.transactionBackOffMs,
    capMs: limits.transactionBackOffMsMax,
    clock: options.clock ?? systemClock,
    random: systemRandom,
    isRetryable,
  });
}

async function runOnce<T>(pool: pg.Pool, fn: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  // Lent out it has nobody who hears that it ended, and an unheard error ends the process. Whoever asks it next is told.
  client.on('error', unheard);
  let broken: Error | undefined;
  try {
    await client.query('begin');
    const value = await fn(client);
    assertCommitted(await client.query('commit'));
    return value;
  } catch (error) {
    broken = await rollback(client, error);
    throw error;
  } finally {
    client.release(broken);
    client.off('error', unheard);
  }
}

const unheard = (): void => undefined;

/** The error that makes the session unusable, if there is one. */
async function rollback(client: pg.PoolClient, error: unknown): Promise<Error | undefined> {
  if (sqlState(error) === undefined && isConnectionLost(error)) return error as Error;
  try {
    await client.query('rollback');
    return undefined;
  } catch (failed) {
    return failed as Error;
  }
}

const gateLimits = { atOnceMax: limits.connectsAtOnceMax, patienceMs: limits.connectMsMax, patienceMsMax: limits.connectSlowMsMax };
/** The write path waits for no connection of the pools. */
const writeGate = new ConnectGate(gateLimits);
const poolGate = new ConnectGate(gateLimits);

/** Whether the host has taken this client's connection. */
function taken(client: pg.Client): () => boolean {
  let isTaken = false;
  client.connection.once('connect', () => {
    isTaken = true;
  });
  return () => isTaken;
}

/** Of a pool, which gives it up after its time: when half of that has passed before its turn, it is not begun. */
class GatedClient extends pg.Client {
  override connect(): Promise<pg.Client>;
  override connect(callback: ((error: Error) => void) | ((error: null, client: pg.Client) => void)): void;
  override connect(callback?: (...outcome: never[]) => void): Promise<pg.Client> | undefined {
    const sinceMs = performance.now();
    const { patienceMs } = poolGate;
    const connected = poolGate.through(async () => {
      if (performance.now() - sinceMs > patienceMs / 2) throw new Error('timeout expired before the connection had its turn');
      await super.connect();
      return this as pg.Client;
    }, taken(this));
    if (callback === undefined) return connected;
    const tell = callback as (error: unknown, client?: pg.Client) => void;
    connected.then((client) => tell(null, client), tell);
    return undefined;
  }
}

function session(url: string, { name, gate }: { readonly name: string; readonly gate: ConnectGate }): pg.ClientConfig {
  // pg lets the URL's own `options` win, and with them the timeouts that other nodes rely on would silently be gone.
  assert(!new URL(url).searchParams.has('options'), 'the database URL must not set options');
  return {
    connectionString: url,
    application_name: name,
    keepAlive: true,
    keepAliveInitialDelayMillis: limits.keepAliveMs,
    connectionTimeoutMillis: gate.patienceMs,
    types: { getTypeParser } as pg.CustomTypesConfig,
  };
}

const settings = (values: Record<string, number | string>): string =>
  Object.entries(values)
    .map(([key, value]) => `-c ${key}=${value}`)
    .join(' ');

const int8Oid = 20;
const int8ArrayOid = 1016;
const byteaOid = 17;

function getTypeParser(oid: number, format: 'text' | 'binary' = 'text'): (value: string) => unknown {
  // pg 8.23 decodes every field as UTF-8 before it looks at the format: a binary result arrives with its bytes above 0x7f destroyed.
  // The refusal is thrown while a row is read, where pg turns it into the query's error.
  if (format === 'binary') return refuseBinary;
  if (oid === int8Oid) return BigInt;
  if (oid === int8ArrayOid) return parseInt8Array;
  if (oid === byteaOid) return parseBytea;
  return pg.types.getTypeParser(oid, 'text');
}

function refuseBinary(): never {
  throw new Error('binary results are not supported; ask for text');
}

/** `{1,NULL,3}`; bigint arrays of one dimension carry no quotes. */
function parseInt8Array(text: string): (bigint | null)[] {
  if (text === '{}') return [];
  return text
    .slice(1, -1)
    .split(',')
    .map((each) => (each === 'NULL' ? null : BigInt(each)));
}

/** `\x0a0b` (bytea_output = hex, the default of both engines). */
const parseBytea = (text: string): Buffer => Buffer.from(text.slice(2), 'hex');

const systemCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EAI_AGAIN',
  'ENOTFOUND',
]);
const lostMessages =
  /^(Connection terminated|Client has encountered a connection error|Client was closed|Query read timeout|timeout e(xceeded|xpired)|timeout exceeded when trying to connect|Connection ended)/i;
