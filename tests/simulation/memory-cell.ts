// The SQL of one cell, in memory: tables, row locks, unique keys. Its transactions see what real ones see: locks are taken
// in order and held to the end, look-ups read what is committed at their moment, everything is written at once or not at all.
import { type Entry, isState } from '@weft/cells/delivery/entry.ts';
import { type LogState, membershipChange, pairKey, streamKey } from '@weft/cells/delivery/log-state.ts';
import type { Mark } from '@weft/cells/delivery/marks.ts';
import type { BehindRow, CaughtUp, DecidedKey, IntakeRow, LogRow, OutboxRow, UserLogRow, Writes } from '@weft/cells/delivery/ports.ts';
import { isBefore } from '@weft/cells/store/behind-table.ts';
import { chainStart } from '@weft/proto/chain.ts';
import type { SignedHead } from '@weft/proto/gen/weft/client/v1/client.ts';
import { epochParts } from '@weft/proto/positions.ts';

export interface StoredLog {
  row: LogRow;
  state: LogState;
  start: number;
  /** When it was last written, by the writer's clock. */
  changedMs: number;
  readonly entries: Map<number, Entry>;
  readonly byKey: Map<string, number>;
}

export interface Transaction {
  readonly holder: object;
  readonly held: Set<string>;
  /** The commit is on its way: its sender may die, it goes on. */
  committing: boolean;
  over: boolean;
}

export class UniqueViolation extends Error {
  override readonly name = 'UniqueViolation';
}

export const entryKey = (author: bigint, clientEntryId: bigint): string => `${author}:${clientEntryId}`;
export const intakeKey = (row: { stream: IntakeRow['stream']; author: bigint; clientEntryId: bigint }): string =>
  `${streamKey(row.stream)}/${entryKey(row.author, row.clientEntryId)}`;

export class MemoryCell {
  readonly number: number;
  readonly logs = new Map<bigint, StoredLog>();
  /** Those whose status is asked for again and again, as by the index in SQL. */
  readonly unsettled = new Map<bigint, StoredLog>();
  readonly pairs = new Map<string, bigint>();
  readonly userLogs = new Map<bigint, Map<bigint, UserLogRow>>();
  readonly intake = new Map<string, IntakeRow>();
  /** Open intake of each author. */
  readonly openIntake = new Map<bigint, number>();
  readonly nextIntake = new Map<string, number>();
  readonly decided = new Map<string, number>();
  /** What a newer epoch gave up. */
  readonly orphans: Entry[] = [];
  /** Cells that have given back what a restore lost. */
  readonly regained = new Map<number, boolean>();
  readonly outbox = new Map<number, Map<bigint, OutboxRow>>();
  readonly behind = new Map<bigint, BehindRow>();
  readonly marks = new Map<string, Mark>();
  readonly marksOut = new Map<string, { readonly dst: number; readonly mark: Mark }>();
  readonly leases = new Map<string, { readonly holder: string; readonly term: bigint; readonly expiresMs: number }>();
  readonly witnessed = new Map<bigint, SignedHead>();
  parked = 0;
  /** Which life of the store this is, and how far it came (R25). */
  generation = 1;
  beat = 0;
  /** Raised where the server's files are replaced under it. */
  incarnation = 0;
  /** The unique key over author and client entry id; a mutation takes it away. */
  uniqueEntries = true;
  down = false;
  readonly #locks = new Map<string, { holder: Transaction; waiting: { transaction: Transaction; grant: () => void }[] }>();
  readonly #open = new Set<Transaction>();

  constructor(number: number) {
    this.number = number;
  }

  begin(holder: object): Transaction {
    const transaction = { holder, held: new Set<string>(), committing: false, over: false };
    this.#open.add(transaction);
    return transaction;
  }

  /** Resolves once the row is this transaction's; first come, first served. */
  lock(transaction: Transaction, key: string): Promise<void> {
    const lock = this.#locks.get(key);
    if (transaction.held.has(key) || transaction.over) return Promise.resolve();
    if (!lock) {
      this.#locks.set(key, { holder: transaction, waiting: [] });
      transaction.held.add(key);
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      lock.waiting.push({ transaction, grant: resolve });
    });
  }

  /** Ends the transaction; its locks go to those who wait. */
  end(transaction: Transaction): void {
    if (transaction.over) return;
    transaction.over = true;
    this.#open.delete(transaction);
    for (const key of transaction.held) this.#passOn(key);
    transaction.held.clear();
  }

  /** Connections of a dead or frozen process, or of the whole server: what has not begun to commit is rolled back. */
  abort(which: (holder: object) => boolean): void {
    for (const transaction of [...this.#open]) if (which(transaction.holder) && !transaction.committing) this.end(transaction);
  }

  #passOn(key: string): void {
    const lock = this.#locks.get(key);
    if (!lock) return;
    for (let next = lock.waiting.shift(); next; next = lock.waiting.shift()) {
      if (next.transaction.over) {
        next.grant();
        continue;
      }
      lock.holder = next.transaction;
      next.transaction.held.add(key);
      next.grant();
      return;
    }
    this.#locks.delete(key);
  }

  /** Writes all or, throwing UniqueViolation, nothing. */
  commit(writes: Writes, nowMs: number): void {
    this.#checkUnique(writes);
    for (const { row, state, start } of writes.created)
      this.#create({ row: { ...row }, state, start, changedMs: nowMs, entries: new Map(), byKey: new Map() });
    for (const { after } of writes.states) this.#log(after.log).state = after;
    for (const row of writes.rows) this.#write(row, nowMs);
    for (const { log, start } of writes.reopened) this.#log(log).start = start;
    for (const { log, base } of writes.truncated) this.#giveUp(log, base);
    for (const entry of writes.entries) {
      const log = this.#log(entry.log);
      log.entries.set(entry.seq, entry);
      log.byKey.set(entryKey(entry.author, entry.clientEntryId), entry.seq);
    }
    for (const { log, seq, flags, body, bodyHash } of writes.emptied) {
      const { entries } = this.#log(log);
      const entry = entries.get(seq);
      if (entry && bodyHash) entries.set(seq, { ...entry, flags, body, bodyHash });
    }
    for (const row of writes.userLogs) this.logsOf(row.user).set(row.log, row);
    for (const { pair, log } of writes.pairs) this.pairs.set(pairKey(pair), log);
    for (const { stream, dst, shift, next } of writes.readdressed) {
      for (const row of this.intakeOf(stream)) this.intake.set(intakeKey(row), { ...row, dst, n: row.n + shift });
      if (shift > 0) this.nextIntake.set(streamKey(stream), next);
    }
    for (const row of writes.intake) {
      this.intake.set(intakeKey(row), row);
      this.openIntake.set(row.author, (this.openIntake.get(row.author) ?? 0) + 1);
      this.nextIntake.set(streamKey(row.stream), Math.max(this.nextIntake.get(streamKey(row.stream)) ?? 1, row.n + 1));
    }
    for (const closed of writes.closed) this.#close(closed);
    for (const { key, n } of writes.decided) this.decided.set(`${streamKey(key.stream)}:${key.cell}:${key.generation}`, n);
    // Without the entries, which are only there while the row is in its writer's memory.
    for (const { id, dst, class: cls, lane, ranges, envelopes } of writes.outbox)
      this.outboxOf(dst).set(id, { id, dst, class: cls, lane, ranges, envelopes });
    for (const row of writes.behind) this.noteBehind(row);
    for (const upTo of writes.caughtUp) this.forgetBehind(upTo);
  }

  #create(stored: StoredLog): void {
    this.logs.set(stored.row.log, stored);
    this.#index(stored);
  }

  #write(row: LogRow, nowMs: number): void {
    const stored = this.#log(row.log);
    stored.row = { ...row };
    stored.changedMs = nowMs;
    this.#index(stored);
  }

  #index(stored: StoredLog): void {
    const { log, status } = stored.row;
    if (status === 'intake' || status === 'stopped') this.unsettled.set(log, stored);
    else this.unsettled.delete(log);
  }

  /** After every row was replaced. */
  indexAll(): void {
    this.unsettled.clear();
    for (const stored of this.logs.values()) this.#index(stored);
  }

  /** As store/life-table.ts begins a new life: no seq until a new epoch begins, and what waits is counted anew. */
  raiseLife({ generation, beat }: { readonly generation: number; readonly beat: number }): void {
    if (this.generation >= generation) return;
    Object.assign(this, { generation, beat: Math.max(beat, this.beat) + 1 });
    this.regained.clear();
    for (const { row } of this.logs.values())
      if (epochParts(row.epoch).cell === this.number && (row.status === 'open' || row.status === 'intake')) row.status = 'stopped';
    this.indexAll();
    const waiting = [...this.intake.values()].sort((a, b) => a.n - b.n);
    this.nextIntake.clear();
    for (const row of waiting) {
      const n = this.nextIntake.get(streamKey(row.stream)) ?? 1;
      this.intake.set(intakeKey(row), { ...row, n });
      this.nextIntake.set(streamKey(row.stream), n + 1);
    }
  }

  /** A fork of it was seen. */
  freeze(log: bigint): void {
    const stored = this.#log(log);
    stored.row.status = 'frozen';
    this.#index(stored);
  }

  logsOf(user: bigint): Map<bigint, UserLogRow> {
    const known = this.userLogs.get(user) ?? new Map<bigint, UserLogRow>();
    this.userLogs.set(user, known);
    return known;
  }

  outboxOf(dst: number): Map<bigint, OutboxRow> {
    const known = this.outbox.get(dst) ?? new Map<bigint, OutboxRow>();
    this.outbox.set(dst, known);
    return known;
  }

  /** Marks to be told: those of users who left wait until they are back. */
  waitingMarks(): { readonly dst: number; readonly mark: Mark }[] {
    return [...this.marksOut.values()].filter(({ mark: { log, user } }) => this.logs.get(log)?.state.members.has(user) === true);
  }

  /** Makes a user's self log. */
  addSelfLog(user: bigint, epoch: bigint): void {
    const members = new Map([[user, { home: this.number, from: 1 }]]);
    const about = { kind: 'self' as const, epoch, version: 1, title: '', membersMax: 2, creator: user, low: user, high: 0n };
    this.logs.set(user, {
      row: { log: user, epoch, head: 0, ts: 0, ord: 0, hash: chainStart, version: 1, status: 'open' },
      state: { log: user, ...about, epochs: [{ epoch, base: 0 }], members, cells: new Map() },
      start: 0,
      changedMs: 0,
      entries: new Map(),
      byKey: new Map(),
    });
    this.logsOf(user).set(user, { user, log: user, from: 1, until: 0 });
  }

  noteBehind(row: BehindRow): void {
    const { src } = row;
    const noted = this.behind.get(row.log);
    this.behind.set(row.log, noted && isBefore(row, noted) ? { ...noted, src } : row);
  }

  forgetBehind({ log, epoch, head }: CaughtUp): void {
    const noted = this.behind.get(log);
    if (noted && !isBefore({ ...noted, epoch, known: head }, noted)) this.behind.delete(log);
  }

  /** Entries from <= seq <= to, ascending. */
  range(log: bigint, from: number, to: number, limit: number): Entry[] {
    const stored = this.logs.get(log);
    if (!stored) return [];
    const found: Entry[] = [];
    for (let seq = from; seq <= Math.min(to, stored.row.head) && found.length < limit; seq++) {
      const entry = stored.entries.get(seq);
      if (entry) found.push(entry);
    }
    return found;
  }

  stateEntries(log: bigint, upTo: number): Entry[] {
    return [...(this.logs.get(log)?.entries.values() ?? [])].filter((e) => isState(e.kind) && e.seq <= upTo).sort((a, b) => a.seq - b.seq);
  }

  /** Own people's open appends of one stream, in their order. */
  intakeOf(stream: IntakeRow['stream']): IntakeRow[] {
    return [...this.intake.values()].filter((row) => streamKey(row.stream) === streamKey(stream)).sort((a, b) => a.n - b.n);
  }

  decidedOf(stream: IntakeRow['stream']): { key: DecidedKey; n: number }[] {
    return [...this.decided].flatMap(([text, n]) => {
      const [a, b, cell, generation] = text.split(':');
      const key = { stream: { a: BigInt(a ?? 0), b: BigInt(b ?? 0) }, cell: Number(cell), generation: Number(generation) };
      return streamKey(key.stream) === streamKey(stream) ? [{ key, n }] : [];
    });
  }

  above(log: bigint, seq: number): Entry[] {
    return [...(this.logs.get(log)?.entries.values() ?? [])].filter((e) => e.seq > seq).sort((a, b) => a.seq - b.seq);
  }

  #giveUp(log: bigint, base: number): void {
    const stored = this.#log(log);
    for (const entry of this.above(log, base)) {
      this.orphans.push(entry);
      stored.entries.delete(entry.seq);
      stored.byKey.delete(entryKey(entry.author, entry.clientEntryId));
    }
  }

  #close(closed: Writes['closed'][number]): void {
    if (!this.intake.delete(intakeKey(closed))) return;
    const open = (this.openIntake.get(closed.author) ?? 1) - 1;
    if (open > 0) this.openIntake.set(closed.author, open);
    else this.openIntake.delete(closed.author);
  }

  #log(log: bigint): StoredLog {
    const stored = this.logs.get(log);
    if (!stored) throw new Error(`no log ${log} in cell ${this.number}`);
    return stored;
  }

  #checkUnique(writes: Writes): void {
    for (const { row } of writes.created) if (this.logs.has(row.log)) throw new UniqueViolation(`log ${row.log}`);
    for (const { pair } of writes.pairs) if (this.pairs.has(pairKey(pair))) throw new UniqueViolation(`pair ${pairKey(pair)}`);
    this.#checkEntries(writes);
    for (const row of writes.intake) {
      if (this.intake.has(intakeKey(row))) throw new UniqueViolation(`intake ${intakeKey(row)}`);
    }
    for (const { before, after } of writes.states) {
      const stored = this.logs.get(after.log);
      const { joined } = membershipChange(before, after);
      if (joined.some((user) => stored?.state.members.has(user))) throw new UniqueViolation(`member of ${after.log}`);
    }
    for (const row of writes.outbox) if (this.outboxOf(row.dst).has(row.id)) throw new UniqueViolation(`outbox ${row.id}`);
  }

  #checkEntries({ entries, truncated }: Writes): void {
    const keys = new Set<string>();
    for (const { log, seq, author, clientEntryId } of entries) {
      const stored = this.logs.get(log);
      const key = entryKey(author, clientEntryId);
      const cut = truncated.find((each) => each.log === log)?.base ?? Number.POSITIVE_INFINITY;
      const twice = (seq <= cut && stored?.entries.has(seq)) || keys.has(`${log}/${seq}`);
      const isKept = stored?.byKey.has(key) === true && (stored.byKey.get(key) ?? 0) <= cut;
      const known = this.uniqueEntries && (isKept || keys.has(`${log}/${key}`));
      if (twice || known) throw new UniqueViolation(`entry ${log}/${seq} ${key}`);
      keys.add(`${log}/${seq}`).add(`${log}/${key}`);
    }
  }
}
