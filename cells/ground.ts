// What a node stands on: its store, whose store it is, its number, its keys, and the directory as far as it is known.

import { fileURLToPath } from 'node:url';
import { Chain } from '@weft/proto/chain.ts';
import { lanes } from '@weft/proto/ids.ts';
import { makeEpoch } from '@weft/proto/positions.ts';
import type { Clock } from '@weft/runtime/clock.ts';
import { DirectoryReplica } from '@weft/runtime/directory-replica.ts';
import { IdMaker } from '@weft/runtime/id-maker.ts';
import { Leases } from '@weft/runtime/lease.ts';
import type { Log } from '@weft/runtime/log.ts';
import { migrate } from '@weft/runtime/migrate.ts';
import { NodeNumber } from '@weft/runtime/node-number.ts';
import { systemRandom } from '@weft/runtime/random.ts';
import { sha256 } from '@weft/runtime/sha256.ts';
import { isRetryable, openPool } from '@weft/runtime/sql.ts';
import type pg from 'pg';
import { CellKeys } from './accounts/cell-keys.ts';
import type { CellConfig } from './config.ts';
import { Failpoints } from './failpoints.ts';
import { GuardlessStore } from './guards-off.ts';
import { cellLimits } from './limits.ts';
import { gatheringBy } from './store/ask-together.ts';
import { type CellRow, openCell, openLanes } from './store/cell-tables.ts';
import { EntriesTable } from './store/entries-table.ts';
import { EntryFold } from './store/entry-key.ts';
import { insertSelfLog } from './store/logs-table.ts';
import { SqlLogStore, type SqlLogStoreOptions } from './store/sql-log-store.ts';
import { StateCache } from './store/state-cache.ts';
import { insertSelfUserLog } from './store/user-logs-table.ts';
import { WriteSessions } from './store/write-sessions.ts';
import { StoreLife } from './store-life.ts';

const migrations = fileURLToPath(new URL('./store/migrations', import.meta.url));

export interface Opening {
  readonly clock: Clock;
  readonly log: Log;
  /** What was opened, closed in reverse. */
  readonly opened: AsyncDisposableStack;
}

export interface CellBase {
  readonly cell: { readonly name: string; readonly number: number; readonly generation: number };
  readonly life: StoreLife;
  readonly node: { readonly number: number; readonly startMs: number };
  readonly pool: pg.Pool;
  readonly leases: Leases;
  readonly ids: IdMaker;
  readonly store: SqlLogStore;
  readonly keys: CellKeys;
  readonly replica: DirectoryReplica;
  readonly failpoints: Failpoints;
  /** Makes a user's self log, which has the user's id. */
  readonly createSelfLog: (user: bigint) => Promise<bigint>;
}

export async function openBase(config: CellConfig, opening: Opening & { readonly signal: AbortSignal | undefined }): Promise<CellBase> {
  const { clock, log, opened } = opening;
  const url = config.pgUrl.reveal();
  const failpoints = new Failpoints(config.failpoints, (name) => {
    log.fatal({ failpoint: name }, 'a failpoint ends this process');
    process.kill(process.pid, 'SIGKILL');
  });
  const holder = `${config.node}-${process.pid}-${clock.now()}`;
  const pool = openPool(url, cellLimits.poolSessionsMax, { name: 'weft-cell', log });
  opened.defer(() => pool.end());
  const row = await waitForStore({ clock, log, signal: opening.signal }, async () => {
    await migrate(pool, [migrations], clock, holder);
    return openCell((statement) => pool.query(statement), config.cell.name, config.cell.number);
  });
  const replica = opened.use(await openReplica(config, opening));
  const life = opened.use(await openLife(config, opening, { pool, cell: row, replica }));
  const cell = { ...row, generation: life.life.generation };
  const leases = new Leases({ pool, clock, holder });
  const number = opened.use(await NodeNumber.take({ leases, clock, log }));
  const ids = new IdMaker({
    clock,
    cell: cell.number,
    node: number.number,
    leaseEndsMs: number.leaseEndsMs,
    notBeforeMs: number.notBeforeMs,
  });
  await openLanes(
    (statement) => pool.query(statement),
    number.number,
    Array.from({ length: lanes }, (_, lane) => lane),
  );
  const store = openLogStore(url, { clock, log, opened, cell, node: number.number, life, failpoints });
  const secret = Buffer.from(config.keySecret.reveal(), 'base64url');
  const keys = opened.use(await CellKeys.open({ pool, secret, clock, cell: cell.name, log }));

  const epoch = makeEpoch({ count: 1, cell: cell.number, generation: cell.generation });
  const createSelfLog = async (user: bigint): Promise<bigint> => {
    await insertSelfLog((statement) => pool.query(statement), user, epoch, clock.now());
    await insertSelfUserLog((statement) => pool.query(statement), user);
    return user;
  };
  return {
    cell,
    life,
    node: { number: number.number, startMs: clock.now() },
    pool,
    leases,
    ids,
    store,
    keys,
    replica,
    failpoints,
    createSelfLog,
  };
}

function openReplica(config: CellConfig, { clock, log }: Opening): Promise<DirectoryReplica> {
  const { address, token, key, tls } = config.directory;
  return DirectoryReplica.open({
    address,
    token: token.reveal(),
    tls,
    publicKey: key,
    dataDir: config.dataDir,
    clock,
    random: systemRandom,
    log,
  });
}

/** A node without a memory of its own asks the directory, if that answers. */
async function openLife(
  config: CellConfig,
  { clock, log }: Opening,
  { pool, cell, replica }: { pool: pg.Pool; cell: CellRow; replica: DirectoryReplica },
): Promise<StoreLife> {
  const until = clock.monotonic() + directoryWaitMsMax;
  while (!replica.cell(cell.name) && clock.monotonic() < until) await clock.sleep(storeAgainMs);
  return StoreLife.open({
    pool,
    clock,
    log,
    dataDir: config.dataDir,
    cell: cell.number,
    directory: () => Number(replica.cell(cell.name)?.generation ?? 0n),
    // Nothing it holds may go out any more: not even a farewell.
    fenced: () => process.kill(process.pid, 'SIGKILL'),
  });
}

function openLogStore(
  url: string,
  of: Opening & { readonly cell: CellRow; readonly node: number; readonly life: StoreLife; readonly failpoints: Failpoints },
): SqlLogStore {
  const { clock, log, opened, cell, node, life, failpoints } = of;
  const options: SqlLogStoreOptions = {
    sessions: opened.use(new WriteSessions(url, log, { check: life.check, clock })),
    reads: opened.use(new WriteSessions(url, log, { purpose: 'read', check: life.check, clock })),
    laneGone: () => life.fence('the lanes of this node are gone'),
    readSessions: cellLimits.readSessions,
    states: new StateCache(cellLimits.statesMax),
    entries: new EntriesTable(new EntryFold(cell.foldSecret)),
    chain: new Chain(sha256),
    clock,
    cell: cell.number,
    node,
    generation: cell.generation,
    pairsMax: cellLimits.pairsMax,
    rowsMax: cellLimits.rowsMax,
    hashesMax: cellLimits.hashesMax,
    recentLogsMax: cellLimits.recentLogsMax,
    pageBatchMax: cellLimits.pageBatchMax,
    gathering: gatheringBy(clock, cellLimits.pagePauseMs),
  };
  return failpoints.any ? new GuardlessStore(options, failpoints) : new SqlLogStore(options);
}

/** Waits for a database that is away or starting; anything else is told at once. */
async function waitForStore<T>(
  { clock, log, signal }: { clock: Clock; log: Log; signal: AbortSignal | undefined },
  open: () => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted();
    try {
      return await open();
    } catch (error) {
      if (!isRetryable(error)) throw error;
      if (attempt === 1) log.warn({ err: error }, 'the store does not answer; waiting for it');
      await clock.sleep(storeAgainMs, signal);
    }
  }
}

const storeAgainMs = 250;
/** The directory is not needed to start; a node that starts for the first time gives it this long. */
const directoryWaitMsMax = 2_000;
