// One transaction's view of the facts while it decides: rows move on as operations are decided one after another, and
// what has to be written collects here. Private to one decision, so mutating it keeps the decision a pure function.
import type { EpochStart } from '@weft/proto/positions.ts';
import { checkPointEvery } from './chain-of.ts';
import type { DecideContext } from './decide-context.ts';
import { emptied } from './emptying.ts';
import { type Entry, kinds } from './entry.ts';
import { changedEpochs } from './epochs.ts';
import { framesOf } from './frames-of.ts';
import { type LogState, membershipChange, ownerOf, type Pair, pairKey, type Stream, streamKey } from './log-state.ts';
import { movedNotice, staleNotice } from './notices.ts';
import type { Snapshot } from './operations.ts';
import {
  type AppendKey,
  type BehindRow,
  type CaughtUp,
  type CheckPoint,
  type ClosedIntake,
  type DecidedKey,
  type Facts,
  type IntakeRow,
  type LogRow,
  RunAgain,
  type UserLogRow,
  type Writes,
} from './ports.ts';

export type { DecideContext } from './decide-context.ts';

/** Where a replica begins: what the header of its first entry continues from. */
type RunStart = Pick<Snapshot, 'start' | 'ts' | 'ord' | 'hash'>;

export class WorkingSet {
  readonly facts: Facts;
  readonly context: DecideContext;
  readonly entries: Entry[] = [];
  readonly envelopes: { dst: number; payload: Uint8Array }[] = [];
  readonly behind: BehindRow[] = [];
  /** Answers to send again: entries stored before. */
  readonly resend: { dst: number; log: bigint; seq: number }[] = [];
  readonly #rows = new Map<bigint, LogRow>();
  readonly #states = new Map<bigint, LogState>();
  readonly #created = new Map<bigint, { row: LogRow; state: LogState; start: number }>();
  readonly #touched = new Set<bigint>();
  /** Entries of this transaction by log and client entry id. */
  readonly #fresh = new Map<bigint, Map<bigint, Entry>>();
  readonly #userLogs: UserLogRow[] = [];
  readonly #pairs = new Map<string, { pair: Pair; log: bigint }>();
  readonly #intake: IntakeRow[] = [];
  readonly #nextIntake = new Map<string, number>();
  readonly #decided = new Map<string, { key: DecidedKey; n: number }>();
  readonly #closed: ClosedIntake[] = [];
  readonly #reopened: { log: bigint; start: number }[] = [];
  readonly #caughtUp = new Map<bigint, CaughtUp>();
  readonly #truncated = new Map<bigint, { base: number; before: readonly EpochStart[]; epochs: readonly EpochStart[] }>();
  readonly #readdressed: Writes['readdressed'][number][] = [];
  readonly #noticed = new Set<string>();
  readonly #checkPoints: CheckPoint[] = [];
  readonly #emptied = new Map<string, Entry>();

  constructor(facts: Facts, context: DecideContext) {
    this.facts = facts;
    this.context = context;
  }

  row(log: bigint): LogRow | undefined {
    const mine = this.#rows.get(log);
    if (mine) return mine;
    const found = this.facts.rows.get(log);
    if (!found) return undefined;
    const copy = { ...found };
    this.#rows.set(log, copy);
    return copy;
  }

  state(log: bigint): LogState | undefined {
    return this.#states.get(log) ?? this.facts.states.get(log);
  }

  touch(log: bigint): void {
    this.#touched.add(log);
  }

  known(key: AppendKey): Entry | undefined {
    const fresh = this.#fresh.get(key.log)?.get(key.clientEntryId);
    if (!fresh) return this.#stored(key);
    if (fresh.author === key.author) return fresh;
    // Two authors chose the same id.
    const own = this.entries.find((e) => e.log === key.log && e.author === key.author && e.clientEntryId === key.clientEntryId);
    return own ?? this.#stored(key);
  }

  #stored(key: AppendKey): Entry | undefined {
    return this.#unlessGivenUp(this.facts.known(key));
  }

  /** What was stored at this place before this transaction, by its header. */
  storedAt(log: bigint, seq: number): Entry | undefined {
    return this.#unlessGivenUp(this.facts.stored(log, seq));
  }

  /** What this transaction gave up is not known any more: another entry may stand at its place by now. */
  #unlessGivenUp(stored: Entry | undefined): Entry | undefined {
    const cut = stored && this.#truncated.get(stored.log);
    return cut && stored.seq > cut.base ? undefined : stored;
  }

  create(row: LogRow, state: LogState, start: number): void {
    this.#rows.set(row.log, row);
    this.#states.set(row.log, state);
    this.#created.set(row.log, { row, state, start });
    if (start > 0) this.#checkPoints.push({ log: row.log, seq: start, hash: row.hash });
  }

  addPair(pair: Pair, log: bigint): void {
    this.#pairs.set(pairKey(pair), { pair, log });
  }

  /** The pair's log, if this transaction opened it. One that another transaction opened meanwhile is not locked: start over. */
  pairLog(pair: Pair): bigint | undefined {
    const mine = this.#pairs.get(pairKey(pair));
    if (mine) return mine.log;
    if (this.facts.pairLog(pair) !== undefined) throw new RunAgain('the conversation was opened meanwhile');
    return undefined;
  }

  /** Adds an entry to the end of its log's run. The caller has made its seq the row's head + 1 and its prev the row's hash. */
  push(entry: Entry): void {
    const row = this.row(entry.log) as LogRow;
    row.head = entry.seq;
    row.ts = entry.ts;
    row.ord = entry.ord;
    row.hash = this.context.chain.next(entry, row.hash);
    if (entry.seq % checkPointEvery === 0) this.#checkPoints.push({ log: entry.log, seq: entry.seq, hash: row.hash });
    this.#touched.add(entry.log);
    this.#keep(entry);
  }

  #keep(entry: Entry): void {
    this.entries.push(entry);
    const fresh = this.#fresh.get(entry.log);
    if (fresh) fresh.set(entry.clientEntryId, entry);
    else this.#fresh.set(entry.log, new Map([[entry.clientEntryId, entry]]));
  }

  /** Keeps an entry of before the run began anew: not shown, but its author may ask what became of it (R12). */
  keepBelow(entry: Entry): void {
    if (!this.#fresh.get(entry.log)?.has(entry.clientEntryId)) this.#keep(entry);
  }

  /** The entry as it is now, with its body. */
  target(log: bigint, seq: number): Entry | undefined {
    const left = this.#emptied.get(`${log}:${seq}`);
    return left ?? this.entries.find((entry) => entry.log === log && entry.seq === seq) ?? this.facts.target(log, seq);
  }

  /** Takes the body of an entry. One of this very transaction is stored and told whole before. */
  empty(target: Entry): void {
    this.#emptied.set(`${target.log}:${target.seq}`, emptied(target, this.context.chain.body(target.body)));
  }

  changeState(after: LogState): void {
    const row = this.row(after.log) as LogRow;
    row.version = after.version;
    row.epoch = after.epoch;
    this.#states.set(after.log, after);
    const created = this.#created.get(after.log);
    if (created) this.#created.set(after.log, { ...created, state: after });
    this.#touched.add(after.log);
  }

  /** The replica goes on after a gap that is not its cell's to know. */
  reopen(after: LogState, from: RunStart): void {
    const row = this.row(after.log) as LogRow;
    row.head = from.start;
    row.ts = from.ts;
    row.ord = from.ord;
    row.hash = from.hash;
    this.#checkPoints.push({ log: after.log, seq: from.start, hash: from.hash });
    this.#reopened.push({ log: after.log, start: from.start });
    this.changeState(after);
  }

  /** Whether this transaction has written to the log. */
  hasWritten = (log: bigint): boolean => this.#fresh.has(log);

  /** What lies above `cut` was given up; the state is the new owner's. Where that begins later, or the run that is left did, so does the run. */
  truncate(after: LogState, to: RunStart, { cut, begins }: { readonly cut: number; readonly begins?: number | undefined }): void {
    const row = this.row(after.log) as LogRow;
    row.head = to.start;
    row.ts = to.ts;
    row.ord = to.ord;
    row.hash = to.hash;
    this.#checkPoints.push({ log: after.log, seq: to.start, hash: to.hash });
    const start = to.start > cut ? to.start : begins;
    if (start !== undefined) this.#reopened.push({ log: after.log, start });
    this.#truncated.set(after.log, { base: cut, before: this.state(after.log)?.epochs ?? [], epochs: after.epochs });
    this.changeState(after);
  }

  /** Open intake of the stream goes to `dst`, behind `offered`, which was sent before it. */
  readdress(stream: Stream, dst: number, offered: readonly Omit<IntakeRow, 'n'>[]): void {
    const key = streamKey(stream);
    const mine = this.#intake.filter((row) => streamKey(row.stream) === key);
    const next = this.#nextIntake.get(key) ?? this.facts.nextIntake(stream);
    const open = next - (this.facts.lowestIntake(stream) ?? mine[0]?.n ?? next);
    const shift = offered.length === 0 ? 0 : open + offered.length;
    for (const row of mine) this.#intake[this.#intake.indexOf(row)] = { ...row, dst, n: row.n + shift };
    for (const row of offered) this.takeIntakeNumber(row);
    if (shift > 0) this.#nextIntake.set(key, next + shift);
    this.#readdressed.push({ stream, dst, shift, next: next + shift });
  }

  /** Says who owns the log, once to each cell. */
  tellMoved(dst: number, state: LogState): void {
    const { log: subject, epoch } = state;
    this.#notice(dst, movedNotice({ subject, cell: ownerOf(state), epoch }));
  }

  tellStale(dst: number, state: LogState): void {
    this.#notice(dst, staleNotice({ log: state.log, owner: ownerOf(state), epoch: state.epoch }));
  }

  #notice(dst: number, payload: Uint8Array): void {
    const key = `${dst}:${Buffer.from(payload).toString('base64')}`;
    if (this.#noticed.has(key)) return;
    this.#noticed.add(key);
    this.envelopes.push({ dst, payload });
  }

  addUserLog(row: UserLogRow): void {
    this.#userLogs.push(row);
  }

  /** The next intake number of a stream, counted on within this transaction. */
  takeIntakeNumber(row: Omit<IntakeRow, 'n'>): number {
    const key = streamKey(row.stream);
    const n = this.#nextIntake.get(key) ?? this.facts.nextIntake(row.stream);
    this.#nextIntake.set(key, n + 1);
    this.#intake.push({ ...row, n });
    return n;
  }

  isWaiting(author: bigint, clientEntryId: bigint, stream: Stream): boolean {
    const key = streamKey(stream);
    const mine = this.#intake.some((r) => r.author === author && r.clientEntryId === clientEntryId && streamKey(r.stream) === key);
    return mine || this.facts.waiting(author, clientEntryId, stream) !== undefined;
  }

  openIntake(author: bigint): number {
    return this.facts.openIntake(author) + this.#intake.filter((r) => r.author === author).length;
  }

  decided(key: DecidedKey): number {
    return this.#decided.get(decidedKey(key))?.n ?? this.facts.decided(key);
  }

  /** Everything decided of a stream, in this transaction or before. */
  allDecided(stream: Stream): { key: DecidedKey; n: number }[] {
    const all = new Map(this.facts.decidedOf(stream).map((each) => [decidedKey(each.key), each]));
    for (const [key, each] of this.#decided) if (streamKey(each.key.stream) === streamKey(stream)) all.set(key, each);
    return [...all.values()];
  }

  decidedSoFar(key: DecidedKey): number {
    return this.allDecided(key.stream).find((each) => decidedKey(each.key) === decidedKey(key))?.n ?? 0;
  }

  /** Whether this transaction has decided, or stored, intake of the stream. */
  hasDecided(stream: Stream): boolean {
    const key = streamKey(stream);
    return (
      this.#intake.some((row) => streamKey(row.stream) === key) ||
      [...this.#decided.values()].some((each) => streamKey(each.key.stream) === key)
    );
  }

  /** Whether own people's appends of this stream wait, but for what this transaction closed. */
  hasOpenIntake(stream: Stream): boolean {
    const key = streamKey(stream);
    return this.facts.lowestIntake(stream) !== undefined || this.#intake.some((row) => streamKey(row.stream) === key);
  }

  setDecided(key: DecidedKey, n: number): void {
    this.#decided.set(decidedKey(key), { key, n });
  }

  close(closed: ClosedIntake): void {
    this.#closed.push(closed);
  }

  caughtUp = (upTo: CaughtUp): void => void this.#caughtUp.set(upTo.log, upTo);

  /** All that was collected, with one outbox row per destination and frame. */
  writes(lane: number): Writes {
    const created = [...this.#created.values()];
    const rows = [...this.#touched].filter((log) => !this.#created.has(log)).map((log) => this.#rows.get(log) as LogRow);
    const states = [...this.#states.values()]
      .filter((after) => !this.#created.has(after.log))
      .map((after) => ({ before: this.facts.states.get(after.log) as LogState, after }));
    return {
      entries: this.entries,
      checkPoints: this.#checkPoints,
      emptied: [...this.#emptied.values()],
      rows,
      created,
      states,
      reopened: this.#reopened,
      epochs: changedEpochs([...this.#states.values()], (log) => (this.#created.has(log) ? undefined : this.facts.states.get(log))),
      truncated: [...this.#truncated].map(([log, cut]) => ({ log, ...cut })),
      readdressed: this.#readdressed,
      userLogs: this.#userLogs,
      pairs: [...this.#pairs.values()],
      intake: this.#intake,
      intakeEpochs: new Map(this.#intake.map(({ log }) => [log, this.state(log)?.epoch ?? 0n])),
      closed: this.#closed,
      decided: [...this.#decided.values()],
      outbox: framesOf(this, lane),
      behind: this.behind,
      caughtUp: [...this.#caughtUp.values()],
    };
  }

  /** Joins and departures of this cell's own people at `seq`: rows of their logs and entries of their self logs. */
  recordMembership(
    before: LogState | undefined,
    after: LogState,
    seq: number,
    selfEntry: (user: bigint, kind: number, from: number) => void,
  ): void {
    const { joined, left } = membershipChange(before, after);
    for (const user of joined) {
      if (after.members.get(user)?.home !== this.context.cell || !this.row(user)) continue;
      const from = after.members.get(user)?.from ?? seq;
      this.addUserLog({ user, log: after.log, from, until: 0 });
      selfEntry(user, kinds.logJoined, from);
    }
    for (const user of left) {
      const { home, from = 1 } = before?.members.get(user) ?? {};
      if (home !== this.context.cell || !this.row(user)) continue;
      // A membership that was given up whole ends where it began: below that an older one ended.
      const until = Math.max(seq, from);
      this.addUserLog({ user, log: after.log, from, until });
      selfEntry(user, kinds.logLeft, until);
    }
  }
}

const decidedKey = ({ stream, cell, generation }: DecidedKey): string => `${streamKey(stream)}:${cell}:${generation}`;
