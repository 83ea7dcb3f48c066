// The log store of one node over its cell's tables in memory: latency, lost connections, ambiguous commits.
import type { Entry } from '@weft/cells/delivery/entry.ts';
import { type LogState, ownerOf, type Pair, pairKey, type Stream, streamKey, streamOf } from '@weft/cells/delivery/log-state.ts';
import {
  type AppendKey,
  type DecidedKey,
  type Facts,
  type IntakeRow,
  KeyTaken,
  type LogRow,
  type LogStore,
  type OutboxRow,
  RunAgain,
  type WriteKeys,
  type Writes,
} from '@weft/cells/delivery/ports.ts';
import { idTimeMs } from '@weft/proto/ids.ts';
import type { Random } from '@weft/runtime/random.ts';
import { entryKey, intakeKey, type MemoryCell, type Transaction, UniqueViolation } from './memory-cell.ts';
import type { ProcessClock, SimulatedTime } from './simulated-time.ts';

/** Chances of what goes wrong with one transaction or read, 0 to 1. */
export interface StoreFaults {
  failBefore: number;
  /** Committed, and the answer is lost. */
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

export class MemoryLogStore implements LogStore {
  readonly #options: MemoryLogStoreOptions;

  constructor(options: MemoryLogStoreOptions) {
    this.#options = options;
  }

  async write<T extends { readonly writes: Writes }>(lane: number, keys: WriteKeys, decide: (facts: Facts) => T): Promise<T> {
    const { cell, time, clock, node, random, faults, trace } = this.#options;
    await this.#travel();
    if (cell.down) throw new RunAgain('no connection');
    const transaction = cell.begin(clock);
    const idle = time.after(idleInTransactionMsMax, () => cell.end(transaction));
    try {
      await cell.lock(transaction, `lane/${node}/${lane}`);
      for (const log of keys.logs) await cell.lock(transaction, `log/${log}`);
      const facts = await this.#facts(transaction, keys);
      await this.#travel();
      this.#check(transaction);
      const decision = decide(facts);
      await this.#travel();
      this.#check(transaction);
      transaction.committing = true;
      await time.sleep(random.next());
      if (random.next() < faults.failBefore) throw new RunAgain('serialisation failure');
      cell.commit(decision.writes);
      for (const { log, start } of decision.writes.reopened) trace(`reopened ${cell.number} ${log} after ${start}`);
      trace(`commit ${cell.number}.${node}.${lane} ${decision.writes.entries.map((e) => `${e.log}/${e.seq}`).join(' ')}`);
      cell.end(transaction);
      await this.#travel();
      if (random.next() < faults.failAfter) throw new RunAgain('connection lost after the commit');
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
    await this.#read();
    const found = pairs.map((pair) => [pairKey(pair), this.#options.cell.pairs.get(pairKey(pair))] as const);
    return new Map(found.filter((each): each is [string, bigint] => each[1] !== undefined));
  }

  async readRange(log: bigint, from: number, to: number, limit: number): Promise<Entry[]> {
    await this.#read();
    return this.#options.cell.range(log, from, to, limit);
  }

  async readStateEntries(log: bigint, upTo: number): Promise<Entry[]> {
    await this.#read();
    return this.#options.cell.stateEntries(log, upTo);
  }

  async readRow(log: bigint): Promise<{ row: LogRow; state: LogState; start: number } | undefined> {
    await this.#read();
    const stored = this.#options.cell.logs.get(log);
    return stored && { row: { ...stored.row }, state: stored.state, start: stored.start };
  }

  async unacknowledged(dst: number, beforeMs: number, limit: number): Promise<OutboxRow[]> {
    await this.#read();
    const rows = [...this.#options.cell.outbox.values()].filter((row) => row.dst === dst && idTimeMs(row.id) < beforeMs);
    return rows.sort((a, b) => (a.id < b.id ? -1 : 1)).slice(0, limit);
  }

  async acknowledged(dst: number, ids: readonly bigint[]): Promise<void> {
    await this.#read();
    for (const id of ids) if (this.#options.cell.outbox.get(id)?.dst === dst) this.#options.cell.outbox.delete(id);
  }

  async openIntake(dst: number, beforeMs: number, limit: number): Promise<{ row: IntakeRow; lowestOpen: number }[]> {
    await this.#read();
    const open = [...this.#options.cell.intake.values()].filter((row) => row.dst === dst);
    const streams = new Map<string, { lowest: number; oldestMs: number }>();
    for (const { stream, n, createdMs } of open) {
      const { lowest, oldestMs } = streams.get(streamKey(stream)) ?? { lowest: n, oldestMs: createdMs };
      streams.set(streamKey(stream), { lowest: Math.min(n, lowest), oldestMs: Math.min(createdMs, oldestMs) });
    }
    const due = open.flatMap((row) => {
      const { lowest, oldestMs } = streams.get(streamKey(row.stream)) as { lowest: number; oldestMs: number };
      return oldestMs < beforeMs ? [{ row, lowestOpen: lowest }] : [];
    });
    due.sort((x, y) => {
      const after = x.row.n - x.lowestOpen - (y.row.n - y.lowestOpen);
      return after || compare(x.row.stream.a, y.row.stream.a) || compare(x.row.stream.b, y.row.stream.b);
    });
    return due.slice(0, limit);
  }

  async behind(limit: number): Promise<{ log: bigint; known: number; src: number }[]> {
    await this.#read();
    return [...this.#options.cell.behind.values()].sort((a, b) => compare(a.log, b.log)).slice(0, limit);
  }

  async noteBehind(rows: readonly { log: bigint; known: number; src: number }[]): Promise<void> {
    await this.#read();
    for (const row of rows) this.#options.cell.noteBehind(row);
  }

  async forgetBehind(log: bigint): Promise<void> {
    await this.#read();
    this.#options.cell.behind.delete(log);
  }

  async #facts(transaction: Transaction, keys: WriteKeys): Promise<MemoryFacts> {
    const { cell, time, random } = this.#options;
    const found = new MemoryFacts(cell, keys);
    // Only what the first statements found tells which intake streams are needed: they are locked a moment later.
    await time.sleep(random.next() / 2);
    const streams = new Map<string, Stream>();
    for (const intake of keys.intakes) {
      const state = found.states.get(intake.log);
      const stream = intake.stream ?? (state && ownerOf(state) !== cell.number ? streamOf(state) : undefined);
      if (stream) streams.set(streamKey(stream), stream);
    }
    const ordered = [...streams.values()].sort((x, y) => compare(x.a, y.a) || compare(x.b, y.b));
    for (const stream of ordered) await cell.lock(transaction, `stream/${streamKey(stream)}`);
    found.readIntake();
    return found;
  }

  #check(transaction: Transaction): void {
    if (transaction.over || this.#options.cell.down) throw new RunAgain('the connection was lost');
  }

  #travel(): Promise<void> {
    const { clock, random } = this.#options;
    return clock.sleep(0.2 + random.next());
  }

  async #read(): Promise<void> {
    const { cell, random, faults } = this.#options;
    await this.#travel();
    if (cell.down || random.next() < faults.failRead) throw new Error('the connection was lost while reading');
  }
}

const compare = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);

/** What one transaction found. Rows, states, entries and decided numbers are of the moment of the locks; intake of a later one. */
class MemoryFacts implements Facts {
  readonly rows = new Map<bigint, LogRow>();
  readonly states = new Map<bigint, LogState>();
  readonly #cell: MemoryCell;
  readonly #known = new Map<string, Entry>();
  readonly #stored = new Map<string, Entry>();
  readonly #targets = new Map<string, Entry>();
  readonly #decided: ReadonlyMap<string, number>;
  #pairs: ReadonlyMap<string, bigint> = new Map();
  #intake: ReadonlyMap<string, IntakeRow> = new Map();
  #next: ReadonlyMap<string, number> = new Map();

  constructor(cell: MemoryCell, keys: WriteKeys) {
    this.#cell = cell;
    for (const log of keys.logs) {
      const stored = cell.logs.get(log);
      if (!stored) continue;
      this.rows.set(log, { ...stored.row });
      this.states.set(log, stored.state);
    }
    for (const { log, author, clientEntryId } of keys.known) {
      const stored = cell.logs.get(log);
      const seq = stored?.byKey.get(entryKey(author, clientEntryId));
      const entry = seq === undefined ? undefined : stored?.entries.get(seq);
      if (entry) this.#known.set(`${log}/${entryKey(author, clientEntryId)}`, header(entry));
    }
    for (const { log, seq } of keys.targets) {
      const entry = cell.logs.get(log)?.entries.get(seq);
      if (entry) this.#targets.set(`${log}/${seq}`, entry);
    }
    for (const { log, from, to } of keys.runs) {
      const stored = cell.logs.get(log);
      for (let seq = from; seq <= Math.min(to, stored?.row.head ?? 0); seq++) {
        const entry = stored?.entries.get(seq);
        if (entry) this.#stored.set(`${log}/${seq}`, header(entry));
      }
    }
    this.#decided = new Map(cell.decided);
    this.#pairs = new Map(cell.pairs);
  }

  readIntake(): void {
    this.#intake = new Map(this.#cell.intake);
    this.#next = new Map(this.#cell.nextIntake);
  }

  known({ log, author, clientEntryId }: AppendKey): Entry | undefined {
    return this.#known.get(`${log}/${entryKey(author, clientEntryId)}`);
  }

  stored(log: bigint, seq: number): Entry | undefined {
    return this.#stored.get(`${log}/${seq}`);
  }

  target(log: bigint, seq: number): Entry | undefined {
    return this.#targets.get(`${log}/${seq}`);
  }

  pairLog(pair: Pair): bigint | undefined {
    return this.#pairs.get(pairKey(pair));
  }

  nextIntake(stream: Stream): number {
    return this.#next.get(streamKey(stream)) ?? 1;
  }

  waiting(author: bigint, clientEntryId: bigint, stream: Stream): boolean {
    return this.#intake.has(intakeKey({ stream, author, clientEntryId }));
  }

  openIntake(author: bigint): number {
    let open = 0;
    for (const row of this.#intake.values()) if (row.author === author) open += 1;
    return open;
  }

  decided({ stream, cell, generation }: DecidedKey): number {
    return this.#decided.get(`${streamKey(stream)}:${cell}:${generation}`) ?? 0;
  }
}

/** As SQL reads headers: without the body, and unproved. */
const header = ({ prev: _, ...entry }: Entry): Entry => ({ ...entry, body: new Uint8Array() });
