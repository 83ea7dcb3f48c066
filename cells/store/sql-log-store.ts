// The delivery code's log store over SQL: locks, looks up and writes; decides nothing (R4).

import type { Chain } from '@weft/proto/chain.ts';
import type { EpochStart } from '@weft/proto/positions.ts';
import { isConnectionLost } from '@weft/runtime/sql.ts';
import type pg from 'pg';
import type { Entry } from '../delivery/entry.ts';
import { type LogState, type Pair, pairKey, type Stream } from '../delivery/log-state.ts';
import {
  type BehindRow,
  type Facts,
  type LogRange,
  type LogRow,
  type LogStatus,
  type LogStore,
  type OpenIntake,
  type OutboxRow,
  RunAgain,
  type WriteKeys,
  type Writes,
} from '../delivery/ports.ts';
import type { Gathering } from './ask-together.ts';
import { clearBehind, readBehind, upsertBehind } from './behind-table.ts';
import { queryOn, runTogether } from './corked-query.ts';
import type { Query } from './entries-table.ts';
import { readCurrentEpoch } from './epochs-table.ts';
import { readOpenIntake, readPendingOf } from './intake-tables.ts';
import { KnownHashes } from './known-hashes.ts';
import { KnownPairs } from './known-pairs.ts';
import { KnownStates } from './known-states.ts';
import { readLog, readUnsettled } from './logs-table.ts';
import { type Mark, readMarks } from './marks-table.ts';
import { findPairLogs } from './membership-tables.ts';
import { deleteOutbox, readOutbox } from './outbox-table.ts';
import { type AskedPage, PageReads, type UserPage } from './page-reads.ts';
import { readProved } from './proved-entries.ts';
import { RangeReads } from './range-reads.ts';
import { RecentHashes } from './recent-hashes.ts';
import { readKeptHeads, readOwnedHeads, type SharedHead } from './shared-logs.ts';
import { countUserLogs, listUserLogs, readHeads, readUserHeads, readUserLogs, type UserHead, type UserLogInfo } from './user-logs-table.ts';
import type { WriteSessions } from './write-sessions.ts';
import { WriteTransactions, type WriteTransactionsOptions } from './write-transactions.ts';

export interface SqlLogStoreOptions extends WriteTransactionsOptions {
  /** Sessions for everything but the write transactions, and how many of them. */
  readonly reads: WriteSessions;
  readonly readSessions: number;
  readonly chain: Chain;
  /** Open pairs remembered by this node; they never change. */
  readonly pairsMax: number;
  /** Hashes of entries remembered for what is read after them, and logs whose newest are. */
  readonly hashesMax: number;
  readonly recentLogsMax: number;
  /** Pages of history that one round trip reads, and how those who ask gather. */
  readonly pageBatchMax: number;
  readonly gathering: Gathering;
}

/** An epoch moves once in a long while: twice during one read is a bug. */
const epochReadsMax = 5;
/** Everything a node asks of its store: what another engine, or one in memory, has to answer as well. */
export type CellStore = Pick<SqlLogStore, keyof SqlLogStore>;

export class SqlLogStore implements LogStore {
  readonly #options: SqlLogStoreOptions;
  readonly #transactions: WriteTransactions;
  readonly #pairs: KnownPairs;
  readonly #recent: RecentHashes;
  readonly #states: KnownStates;
  readonly #pages: PageReads;
  readonly #ranges: RangeReads;
  #nextRead = 0;

  constructor(options: SqlLogStoreOptions) {
    this.#options = options;
    this.#transactions = new WriteTransactions(options);
    this.#pairs = new KnownPairs(options.pairsMax);
    this.#recent = new RecentHashes(options.recentLogsMax);
    this.#states = new KnownStates(options.states, (run) => this.#read(run));
    const onSession = <T>(run: (session: pg.Client) => Promise<T>): Promise<T> => this.#onSession(run);
    const shared = { ...options, hashes: new KnownHashes(options.chain, options.hashesMax, this.#recent), onSession };
    this.#pages = new PageReads(shared);
    this.#ranges = new RangeReads({
      ...shared,
      states: this.#states,
      readAlone: ({ log, first, last }) => this.readRange(log, first, last, last - first + 1),
    });
  }

  async write<T extends { readonly writes: Writes }>(lane: number, keys: WriteKeys, decide: (facts: Facts) => T): Promise<T> {
    const { decision, facts } = await this.#transactions.run(lane, keys, decide);
    this.#remember(decision.writes, facts);
    return decision;
  }

  /** Heads and states in memory follow commits (R6). */
  #remember(writes: Writes, facts: Facts): void {
    const { states } = this.#options;
    for (const state of facts.states.values()) states.set(state);
    for (const { state } of writes.created) states.set(state);
    for (const { after } of writes.states) states.set(after);
    for (const { pair, log } of writes.pairs) this.#pairs.remember(pairKey(pair), log);
    this.#recent.committed(writes);
  }

  findPairs(pairs: readonly Pair[]): Promise<Map<string, bigint>> {
    return this.#pairs.find(pairs, (asked) => this.#read((query) => findPairLogs(query, asked)));
  }

  readRange(log: bigint, from: number, to: number, limit: number): Promise<Entry[]> {
    return this.#readEntries(log, (query, epochs) => readProved(query, { log, from, to, limit }, { ...this.#options, epochs }));
  }

  readRanges(ranges: readonly LogRange[]): Promise<Entry[]> {
    return this.#ranges.read(ranges);
  }

  /** The place of an author's append, known by its id. */
  findEntry(author: bigint, clientEntryId: bigint): Promise<{ log: bigint; seq: number } | undefined> {
    return this.#read((query) => this.#options.entries.findOne(query, author, clientEntryId));
  }

  readStateEntries(log: bigint, upTo: number): Promise<Entry[]> {
    return this.#readEntries(log, (query, epochs) => this.#options.entries.readState(query, { log, upTo }, epochs));
  }

  /**
   * The list in memory may be older than the entries: it is right if the epoch, read after them, is its last. So `read` sends
   * all its statements at once, before the one for the epoch.
   */
  async #readEntries(log: bigint, read: (query: Query, epochs: readonly EpochStart[]) => Promise<Entry[]>): Promise<Entry[]> {
    for (let attempt = 0; attempt < epochReadsMax; attempt++) {
      const state = await this.state(log);
      if (!state) return [];
      const [entries, epoch] = await this.#read((query) => Promise.all([read(query, state.epochs), readCurrentEpoch(query, log)]));
      if (epoch === state.epoch) return entries;
      this.forgetState(log);
    }
    throw new RunAgain('the epoch moves on while it is read');
  }

  async readRow(log: bigint): Promise<{ row: LogRow; state: LogState; start: number } | undefined> {
    const found = await this.#read((query) => readLog(query, log));
    return found && this.#states.with(found);
  }

  /**
   * A log as one of its users may read it, and a page of it: forwards from a seq, or backwards from the newest or from `before`.
   * Undefined for a log the user never was in. Some of the page may lie where the user may not look.
   */
  async readPage(user: bigint, asked: AskedPage): Promise<UserPage | undefined> {
    for (let attempt = 0; attempt < epochReadsMax; attempt++) {
      const state = await this.state(asked.log);
      if (!state) return undefined;
      const page = await this.#pages.read(user, asked, state);
      if (!page) return undefined;
      if (page.isOfEpoch) {
        const whole = await this.#states.with(page.found);
        return whole && { ...whole, entries: page.entries };
      }
      this.forgetState(asked.log);
    }
    throw new RunAgain('the epoch moves on while it is read');
  }

  /** Another node changed it. */
  forgetState(log: bigint): void {
    this.#options.states.delete(log);
  }

  /** The state as last known to this node; what is decided on it must not depend on its being current. */
  state(log: bigint): Promise<LogState | undefined> {
    return this.#states.of(log);
  }

  userHeads(users: readonly bigint[]): Promise<Map<bigint, UserHead[]>> {
    return this.#onSession((session) => readUserHeads(users, (statement) => runTogether(session, [statement])));
  }

  heads(logs: readonly bigint[]): Promise<{ log: bigint; epoch: bigint; head: number }[]> {
    return this.#read((query) => readHeads(query, logs));
  }

  userLogs(user: bigint, logs: readonly bigint[]): Promise<UserLogInfo[]> {
    return this.#read((query) => readUserLogs(query, user, logs));
  }

  listUserLogs(user: bigint, page: { after: bigint; limit: number }): Promise<UserLogInfo[]> {
    return this.#read((query) => listUserLogs(query, user, page));
  }

  /** Logs this cell owns and `keeper` keeps. */
  ownedHeads(keeper: number, page: { after: bigint; limit: number }): Promise<SharedHead[]> {
    return this.#read((query) => readOwnedHeads(query, { owner: this.#options.cell, keeper }, page));
  }

  /** Logs kept here that `owner` owns. */
  keptHeads(owner: number, page: { after: bigint; limit: number }): Promise<SharedHead[]> {
    return this.#read((query) => readKeptHeads(query, owner, page));
  }

  countLogs(user: bigint): Promise<number> {
    return this.#read((query) => countUserLogs(query, user));
  }

  marksOf(log: bigint): Promise<Mark[]> {
    return this.#read((query) => readMarks(query, log));
  }

  /** A user's undecided appends, shown as entries without a position (R12). */
  async pendingOf(stream: Stream, author: bigint, limit: number): Promise<Entry[]> {
    const rows = await this.#read((query) => readPendingOf(query, stream, author, limit));
    const none = { epoch: 0n, seq: 0, ord: 0, flags: 0 };
    return rows.map(({ log, createdMs: ts, author: by, clientEntryId, kind, body }) => ({
      ...none,
      log,
      ts,
      author: by,
      clientEntryId,
      kind,
      body,
    }));
  }

  unacknowledged(dst: number, beforeMs: number, limit: number): Promise<OutboxRow[]> {
    return this.#read((query) => readOutbox(query, dst, beforeMs, limit));
  }

  async acknowledged(dst: number, ids: readonly bigint[]): Promise<void> {
    await this.#read((query) => deleteOutbox(query, { dst, node: this.#options.node }, ids));
  }

  openIntake(dst: number, beforeMs: number, limit: number): Promise<OpenIntake[]> {
    return this.#read((query) => readOpenIntake(query, dst, beforeMs, limit));
  }

  behind(limit: number): Promise<BehindRow[]> {
    return this.#read((query) => readBehind(query, limit));
  }

  async noteBehind(rows: readonly BehindRow[]): Promise<void> {
    await this.#read((query) => upsertBehind(query, rows));
  }

  unsettled(limit: number): Promise<{ log: bigint; status: LogStatus }[]> {
    return this.#read((query) => readUnsettled(query, limit));
  }

  async forgetBehind({ log, epoch, known }: BehindRow): Promise<void> {
    await this.#read((query) => clearBehind(query, [{ log, epoch, head: known }]));
  }

  #read<T>(run: (query: Query) => Promise<T>): Promise<T> {
    return this.#onSession((session) => run(queryOn(session)));
  }

  /** Reads go down a few pipelined sessions in turn. A lost session is opened again, once for the read that met it. */
  async #onSession<T>(run: (session: pg.Client) => Promise<T>): Promise<T> {
    const { reads, readSessions } = this.#options;
    this.#nextRead = (this.#nextRead + 1) % readSessions;
    const session = this.#nextRead;
    try {
      return await run(await reads.get(session));
    } catch (error) {
      if (!isConnectionLost(error)) throw error;
      return run(await reads.get(session));
    }
  }
}
