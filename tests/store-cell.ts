// The log store of a cell as its nodes use it: real PostgreSQL, the real lanes and the real decision, no bus and no sockets.

import { join } from 'node:path';
import { laneOfTarget } from '@weft/cells/delivery/applier.ts';
import { kinds } from '@weft/cells/delivery/entry.ts';
import { Lane } from '@weft/cells/delivery/lane.ts';
import { type Pair, pairOf } from '@weft/cells/delivery/log-state.ts';
import type { AppendOperation, Outcome, Target } from '@weft/cells/delivery/operations.ts';
import { gatheringBy } from '@weft/cells/store/ask-together.ts';
import { openLanes } from '@weft/cells/store/cell-tables.ts';
import { EntriesTable } from '@weft/cells/store/entries-table.ts';
import { EntryFold } from '@weft/cells/store/entry-key.ts';
import { insertSelfLog } from '@weft/cells/store/logs-table.ts';
import { SqlLogStore, type SqlLogStoreOptions } from '@weft/cells/store/sql-log-store.ts';
import { StateCache } from '@weft/cells/store/state-cache.ts';
import { insertSelfUserLog } from '@weft/cells/store/user-logs-table.ts';
import { WriteSessions } from '@weft/cells/store/write-sessions.ts';
import type { TestServer } from '@weft/local/test-servers.ts';
import { Chain } from '@weft/proto/chain.ts';
import { birthCell, laneOf, lanes, makeClientEntryId, makeId } from '@weft/proto/ids.ts';
import { makeEpoch } from '@weft/proto/positions.ts';
import { systemClock } from '@weft/runtime/clock.ts';
import { IdMaker } from '@weft/runtime/id-maker.ts';
import { silentLog } from '@weft/runtime/log.ts';
import { migrate } from '@weft/runtime/migrate.ts';
import { seededRandom } from '@weft/runtime/random.ts';
import { sha256 } from '@weft/runtime/sha256.ts';
import { openPool } from '@weft/runtime/sql.ts';

const cell = 1;
const generation = 1;
const epoch = makeEpoch({ count: 1, cell, generation });
const migrations = join(import.meta.dirname, '..', 'cells', 'store', 'migrations');
const limits = {
  batchEntriesMax: 256,
  batchBytesMax: 256 * 1024,
  queueMax: 4_096,
  queueBytesMax: 64 * 1024 * 1024,
  retryMsMax: 60_000,
  retryPauseMs: 20,
  lingerMs: 2,
  lingerFrom: 0,
  lingerBelow: 0,
  sharedLockMsMax: 50,
};

export type Pool = ReturnType<typeof openPool>;
/** Between the store and its sessions, for what may go wrong there. */
export type Through = (sessions: WriteSessions) => SqlLogStoreOptions['sessions'];

export interface StoreCellOptions {
  /** Every transaction's isolation level; CockroachDB knows none below serializable. */
  readonly isolation?: 'read committed' | 'serializable';
  readonly through?: Through;
}

/** One cell's database and any number of nodes over it. */
export class StoreCell implements AsyncDisposable {
  readonly url: string;
  readonly pool: Pool;
  readonly #options: StoreCellOptions;
  readonly #nodes: StoreNode[] = [];
  readonly #random = seededRandom(1);
  #people = 0;
  #entryIds = 0;

  private constructor(url: string, pool: Pool, options: StoreCellOptions) {
    this.url = url;
    this.pool = pool;
    this.#options = options;
  }

  /** A new database on this server. */
  static async open(server: TestServer, name: string, options: StoreCellOptions = {}): Promise<StoreCell> {
    const first = openPool(server.url, 1);
    await first.query(`create database ${name}`);
    await first.query(`alter database ${name} set default_transaction_isolation = '${options.isolation ?? 'read committed'}'`);
    await first.end();
    const url = server.url.replace(/\/postgres$/, `/${name}`);
    const pool = openPool(url, 4);
    await migrate(pool, [migrations], systemClock, 'test');
    return new StoreCell(url, pool, options);
  }

  async node(): Promise<StoreNode> {
    const number = this.#nodes.length;
    await openLanes(
      (statement) => this.pool.query(statement),
      number,
      Array.from({ length: lanes }, (_, lane) => lane),
    );
    const sessions = new WriteSessions(this.url, silentLog());
    const reads = new WriteSessions(this.url, silentLog(), { purpose: 'read' });
    const node = new StoreNode({ number, reads, owned: [sessions, reads], sessions: this.#options.through?.(sessions) ?? sessions });
    this.#nodes.push(node);
    return node;
  }

  /** Somebody homed in this cell (or in another), with a self log here. */
  async person(home = cell): Promise<bigint> {
    // Spread over the lanes, each id once.
    const user = makeId(Date.now() + 7 * ++this.#people + this.#random.int(4), home, 0, 0);
    if (home !== cell) return user;
    await insertSelfLog((statement) => this.pool.query(statement), user, epoch, Date.now());
    await insertSelfUserLog((statement) => this.pool.query(statement), user);
    return user;
  }

  /** Direct conversations that are open, each with its first person. */
  async conversations(node: StoreNode, count: number, peerHome = cell): Promise<Conversation[]> {
    const pairs: Pair[] = [];
    while (pairs.length < count) pairs.push(pairOf(await this.person(), await this.person(peerHome)));
    return Promise.all(
      pairs.map(async (pair) => {
        const author = birthCell(pair.low) === cell ? pair.low : pair.high;
        const outcome = await node.append({ target: { pair }, author, clientEntryId: this.entryId(), kind: kinds.created });
        if (outcome.type !== 'accepted') throw new Error(`a conversation was not opened: ${outcome.type}`, { cause: node.failures[0] });
        return { log: outcome.entry.log, author };
      }),
    );
  }

  entryId(): bigint {
    return makeClientEntryId(Date.now(), ++this.#entryIds);
  }

  /** What is wrong with the logs' order: a log whose entries are not exactly 1 … head, or hold an id twice. */
  async disorder(): Promise<unknown[]> {
    const { rows } = await this.pool.query(`
      select l.log_id, l.head, count(e.seq) as stored, min(e.seq) as first, max(e.seq) as last, count(distinct e.entry_key) as ids
      from logs l join entries e on e.log_id = l.log_id
      group by l.log_id, l.head
      having not (l.head = count(e.seq) and l.head = max(e.seq) and min(e.seq) = 1 and count(distinct e.entry_key) = count(e.seq))`);
    return rows;
  }

  async count(table: string): Promise<number> {
    return Number((await this.pool.query(`select count(*) as n from ${table}`)).rows[0].n);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const node of this.#nodes) await node[Symbol.asyncDispose]();
    await this.pool.end();
  }
}

export interface Conversation {
  readonly log: bigint;
  readonly author: bigint;
}

export interface NewAppend {
  readonly target: Target;
  readonly author: bigint;
  readonly clientEntryId: bigint;
  readonly kind?: number;
  readonly body?: Uint8Array;
}

interface StoreNodeOptions {
  readonly number: number;
  readonly owned: readonly WriteSessions[];
  readonly reads: WriteSessions;
  readonly sessions: SqlLogStoreOptions['sessions'];
}

export class StoreNode implements AsyncDisposable {
  readonly store: SqlLogStore;
  readonly lanes: readonly Lane[];
  /** What lanes gave up. */
  readonly failures: unknown[] = [];
  readonly #owned: readonly WriteSessions[];
  readonly #ids: IdMaker;

  constructor({ number, owned, reads, sessions }: StoreNodeOptions) {
    this.#owned = owned;
    this.#ids = new IdMaker({ clock: systemClock, cell, node: number, leaseEndsMs: () => Number.MAX_SAFE_INTEGER });
    const states = new StateCache(10_000);
    const sizes = { readSessions: 2, rowsMax: 10_000, pairsMax: 10_000, hashesMax: 128, recentLogsMax: 8, pageBatchMax: 8 };
    this.store = new SqlLogStore({
      sessions,
      reads,
      states,
      entries: new EntriesTable(new EntryFold(1n)),
      chain: new Chain(sha256),
      clock: systemClock,
      cell,
      node: number,
      generation,
      ...sizes,
      gathering: gatheringBy(systemClock, 2),
    });
    this.lanes = Array.from({ length: lanes }, (_, lane) => this.#openLane(lane));
  }

  #openLane(lane: number): Lane {
    const chain = new Chain(sha256);
    return new Lane({
      lane,
      store: this.store,
      clock: systemClock,
      limits,
      freshLog: (target) => this.#freshId(laneOfTarget(target)),
      together: () => this.lanes,
      context: () => ({
        cell,
        generation,
        nowMs: Date.now(),
        homeOf: birthCell,
        birthplace: () => cell,
        takeover: () => undefined,
        chain,
        generationOf: () => 1,
        isBack: () => true,
        isWhole: () => true,
        hasIntakeRoom: () => true,
        hasOutboxRoom: () => true,
        freshId: () => this.#ids.next(),
        limits: { openIntakePerUserMax: 1_000, frameEntriesMax: 256, frameBytesMax: 250 * 1024 },
      }),
      committed: ({ submissions, decision }) => {
        for (const [i, { settle }] of submissions.entries()) settle(decision.outcomes[i] as Outcome);
      },
      failed: (error) => this.failures.push(error),
      unsure: () => undefined,
    });
  }

  #freshId(lane: number): bigint {
    for (;;) {
      const id = this.#ids.next();
      if (laneOf(id) === lane) return id;
    }
  }

  append(append: NewAppend): Promise<Outcome> {
    const operation: AppendOperation = { type: 'append', connection: 1, kind: kinds.text, body: new Uint8Array(), ...append };
    return new Promise((resolve, reject) => {
      const taken = (this.lanes[laneOfTarget(operation.target)] as Lane).submit({ operation, settle: resolve });
      if (!taken) reject(new Error('the lane is full'));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.lanes.map((lane) => lane.drain()));
    for (const sessions of this.#owned) await sessions[Symbol.asyncDispose]();
  }
}
