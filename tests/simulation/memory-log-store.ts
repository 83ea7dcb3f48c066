// The store of one node over its cell's tables in memory: latency, lost connections, ambiguous commits.
import type { Entry } from '@weft/cells/delivery/entry.ts';
import { type LogState, ownerOf, type Pair, pairKey, type Stream, streamKey, streamOf } from '@weft/cells/delivery/log-state.ts';
import {
  type BehindRow,
  type Facts,
  KeyTaken,
  type LogRange,
  type LogRow,
  type LogStatus,
  MaybeCommitted,
  type OpenIntake,
  type OutboxRow,
  RunAgain,
  type WriteKeys,
  type Writes,
} from '@weft/cells/delivery/ports.ts';
import type { CellStore } from '@weft/cells/store/sql-log-store.ts';
import { idTimeMs } from '@weft/proto/ids.ts';
import type { Random } from '@weft/runtime/random.ts';
import { type MemoryCell, type Transaction, UniqueViolation } from './memory-cell.ts';
import { MemoryFacts } from './memory-facts.ts';
import { MemoryReads } from './memory-reads.ts';
import type { ProcessClock, SimulatedTime } from './simulated-time.ts';

/** Chances of what goes wrong with one transaction or read, 0 to 1. */
export interface StoreFaults {
  /** Nothing committed: a serialisation failure (40001), or the connection is lost. */
  failBefore: number;
  /** Committed, and the answer is lost (40003). */
  failAfter: number;
  failRead: number;
}

export interface MemoryLogStoreOptions {
  readonly cell: MemoryCell;
  readonly node: number;
  readonly time: SimulatedTime;
  readonly clock: ProcessClock;
  readonly random: Random;
  readonly faults: StoreFaults;
  readonly trace: (what: string) => void;
}

const idleInTransactionMsMax = 1_000;
/** Of the reads that lose their session, and how long a database under load may take to open one. */
const reopenedShare = 0.5;
const reopeningMsMax = 3_000;

export class MemoryLogStore extends MemoryReads implements CellStore {
  readonly #options: MemoryLogStoreOptions;

  constructor(options: MemoryLogStoreOptions) {
    super(options.cell, () => this.reach());
    this.#options = options;
  }

  async write<T extends { readonly writes: Writes }>(lane: number, keys: WriteKeys, decide: (facts: Facts) => T): Promise<T> {
    const { cell, time, clock, node, random, faults, trace } = this.#options;
    await this.#travel();
    if (cell.down) throw new RunAgain('no connection');
    const { incarnation } = cell;
    const transaction = cell.begin(clock);
    const idle = time.after(idleInTransactionMsMax, () => cell.end(transaction));
    try {
      await cell.lock(transaction, `lane/${node}/${lane}`);
      for (const log of keys.logs.toSorted(compare)) await cell.lock(transaction, `log/${log}`);
      const facts = await this.#facts(transaction, keys);
      await this.#travel();
      this.#check(transaction);
      const decision = decide(facts);
      await this.#travel();
      this.#check(transaction);
      transaction.committing = true;
      await time.sleep(random.next());
      if (random.next() < faults.failBefore) throw new RunAgain('serialisation failure');
      if (cell.incarnation !== incarnation) throw new RunAgain('the server is gone');
      cell.commit(decision.writes, clock.now());
      this.remember(decision.writes, facts);
      for (const { log, start } of decision.writes.reopened) trace(`reopened ${cell.number} ${log} after ${start}`);
      trace(`commit ${cell.number}.${node}.${lane} ${describeWrites(decision.writes)}`);
      cell.end(transaction);
      await this.#travel();
      if (random.next() < faults.failAfter) throw new MaybeCommitted('connection lost after the commit');
      return decision;
    } catch (error) {
      if (error instanceof UniqueViolation) throw new KeyTaken(String(error));
      throw error;
    } finally {
      idle[Symbol.dispose]();
      cell.end(transaction);
    }
  }

  async findPairs(pairs: readonly Pair[]): Promise<Map<string, bigint>> {
    await this.reach();
    const found = pairs.map((pair) => [pairKey(pair), this.#options.cell.pairs.get(pairKey(pair))] as const);
    return new Map(found.filter((each): each is [string, bigint] => each[1] !== undefined));
  }

  async readRange(log: bigint, from: number, to: number, limit: number): Promise<Entry[]> {
    await this.reach();
    return this.#options.cell.range(log, from, to, limit);
  }

  async readRanges(ranges: readonly LogRange[]): Promise<Entry[]> {
    const entries: Entry[] = [];
    for (const { log, first, last } of ranges) entries.push(...(await this.readRange(log, first, last, last - first + 1)));
    return entries;
  }

  async readStateEntries(log: bigint, upTo: number): Promise<Entry[]> {
    await this.reach();
    return this.#options.cell.stateEntries(log, upTo);
  }

  async readRow(log: bigint): Promise<{ row: LogRow; state: LogState; start: number } | undefined> {
    await this.reach();
    const stored = this.#options.cell.logs.get(log);
    return stored && { row: { ...stored.row }, state: stored.state, start: stored.start };
  }

  unacknowledged(dst: number, beforeMs: number, limit: number): Promise<OutboxRow[]> {
    const { cell } = this.#options;
    return this.#ask(cell.outboxOf(dst).size, () => {
      const rows = [...cell.outboxOf(dst).values()].filter((row) => idTimeMs(row.id) < beforeMs);
      return rows.sort((a, b) => compare(a.id, b.id)).slice(0, limit);
    });
  }

  async acknowledged(dst: number, ids: readonly bigint[]): Promise<void> {
    await this.reach();
    for (const id of ids) this.#options.cell.outboxOf(dst).delete(id);
  }

  openIntake(dst: number, beforeMs: number, limit: number): Promise<OpenIntake[]> {
    return this.#ask(this.#options.cell.intake.size, () => this.#openIntake(dst, beforeMs, limit));
  }

  #openIntake(dst: number, beforeMs: number, limit: number): OpenIntake[] {
    const open = [...this.#options.cell.intake.values()].filter((row) => row.dst === dst);
    const streams = new Map<string, { lowest: number; oldestMs: number }>();
    for (const { stream, n, createdMs } of open) {
      const { lowest, oldestMs } = streams.get(streamKey(stream)) ?? { lowest: n, oldestMs: createdMs };
      streams.set(streamKey(stream), { lowest: Math.min(n, lowest), oldestMs: Math.min(createdMs, oldestMs) });
    }
    const due = open.flatMap((row) => {
      const { lowest, oldestMs } = streams.get(streamKey(row.stream)) as { lowest: number; oldestMs: number };
      const epoch = this.#options.cell.logs.get(row.log)?.row.epoch ?? 0n;
      return oldestMs < beforeMs ? [{ row, lowestOpen: lowest, epoch }] : [];
    });
    due.sort((x, y) => {
      const after = x.row.n - x.lowestOpen - (y.row.n - y.lowestOpen);
      return after || compare(x.row.stream.a, y.row.stream.a) || compare(x.row.stream.b, y.row.stream.b);
    });
    return due.slice(0, limit);
  }

  behind(limit: number): Promise<BehindRow[]> {
    const { behind } = this.#options.cell;
    return this.#ask(behind.size, () => [...behind.values()].sort((a, b) => compare(a.log, b.log)).slice(0, limit));
  }

  async noteBehind(rows: readonly BehindRow[]): Promise<void> {
    await this.reach();
    for (const row of rows) this.#options.cell.noteBehind(row);
  }

  async unsettled(limit: number): Promise<{ log: bigint; status: LogStatus }[]> {
    await this.reach(false);
    const found = [...this.#options.cell.unsettled.values()];
    return found.map(({ row }) => ({ log: row.log, status: row.status })).slice(0, limit);
  }

  async forgetBehind({ log, epoch, known }: BehindRow): Promise<void> {
    await this.reach();
    this.#options.cell.forgetBehind({ log, epoch, head: known });
  }

  async #facts(transaction: Transaction, keys: WriteKeys): Promise<MemoryFacts> {
    const { cell, time, random } = this.#options;
    const found = new MemoryFacts(cell, keys);
    if (keys.intakes.length === 0 && keys.moves.length === 0) return found;
    // Only what the first statements found tells which intake streams are needed: they are locked a moment later.
    await time.sleep(random.next() / 2);
    const streams = new Map<string, Stream>();
    for (const intake of keys.intakes) {
      const state = found.states.get(intake.log);
      const isElsewhere = state && (ownerOf(state) !== cell.number || found.rows.get(intake.log)?.status !== 'open');
      const stream = intake.stream ?? (isElsewhere ? streamOf(state) : undefined);
      if (stream) streams.set(streamKey(stream), stream);
    }
    for (const stream of found.moving()) streams.set(streamKey(stream), stream);
    const ordered = [...streams.values()].sort((x, y) => compare(x.a, y.a) || compare(x.b, y.b));
    for (const stream of ordered) await cell.lock(transaction, `stream/${streamKey(stream)}`);
    found.readIntake(ordered);
    return found;
  }

  #check(transaction: Transaction): void {
    if (transaction.over || this.#options.cell.down) throw new RunAgain('the connection was lost');
  }

  #travel(): Promise<void> {
    return this.#options.clock.sleep(this.#travelMs());
  }

  #travelMs(): number {
    return 0.2 + this.#options.random.next();
  }

  /** There and back. Rejects when the connection is lost. `takesTime`: false where there is nothing that could change on the way. */
  reach(takesTime = true): Promise<void> {
    if (!takesTime) return this.#arrive() ?? arrived;
    const { time, clock } = this.#options;
    // One promise for the whole way: reads are most of what a store is asked for.
    return new Promise((resolve) => void time.after(this.#travelMs(), () => resolve(this.#arrive()), clock));
  }

  /** Of so many rows. Most that is asked, by duties, is asked where there are none: that takes no time, and one promise for all. */
  #ask<T>(rows: number, read: () => T[]): Promise<T[]> {
    if (rows > 0) return this.reach().then(read);
    return this.#arrive()?.then(read) ?? nothing;
  }

  /** Undefined when the connection holds. */
  #arrive(): Promise<void> | undefined {
    const { cell, clock, random, faults } = this.#options;
    const loses = random.next() < faults.failRead;
    // A lost session is opened anew for the read that met it, and the log goes on meanwhile.
    if (loses && !cell.down && random.next() < reopenedShare) return clock.sleep(random.next() * reopeningMsMax);
    if (loses || cell.down) return Promise.reject(new ConnectionLost('the connection was lost while reading'));
    return undefined;
  }
}

const arrived = Promise.resolve();
const nothing: Promise<never[]> = Promise.resolve([]);

/** A read found no connection. */
export class ConnectionLost extends Error {
  override readonly name = 'ConnectionLost';
}

const compare = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);

function describeWrites({ entries, intake }: Writes): string {
  const stored = entries.map((e) => `${e.log}/${e.seq}=${e.clientEntryId}`);
  return [...stored, ...intake.map((row) => `intake ${row.n}=${row.clientEntryId}`)].join(' ');
}
