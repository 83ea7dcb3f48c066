// What the delivery code needs of the world. It does no I/O of its own: PostgreSQL and NATS stand behind these in
// production, an in-memory pair under a seeded scheduler in the simulation test.

import type { EpochStart } from '@weft/proto/positions.ts';
import type { FrameClass } from '@weft/proto/subjects.ts';
import type { Entry } from './entry.ts';
import type { LogState, Pair, Stream } from './log-state.ts';

/** A log's locked row: all that changes with each entry. */
export interface LogRow {
  readonly log: bigint;
  /** Current epoch; its owner is in it. */
  epoch: bigint;
  head: number;
  ts: number;
  ord: number;
  /** Hash of the head: what the next entry's prev is. */
  hash: Uint8Array;
  /** Version of the state that belongs to this row. */
  version: number;
  status: LogStatus;
}

/**
 * `opening`: known by name only, being pulled. `frozen`: a state entry could not be applied, or a fork was seen. Of logs
 * owned here: `intake`: own people's appends queue behind their open intake, until that is decided. `stopped`: no seq is
 * given until the tails were pulled back and a new epoch has begun (R25).
 */
export type LogStatus = 'open' | 'opening' | 'frozen' | 'intake' | 'stopped';

/** What a write transaction locks and looks up before it decides. */
export interface WriteKeys {
  /** Locked in id order in one statement. Unknown ones are simply absent from the facts. */
  readonly logs: readonly bigint[];
  /** Ids that may be stored already. */
  readonly known: readonly AppendKey[];
  /** Own people's appends that another owner of their log may have refused (`refusalsToFind`). */
  readonly refusals: readonly AppendKey[];
  /** Direct conversations and groups that were not open a moment ago. Looked up after `decided`. */
  readonly pairs: readonly Pair[];
  /** Who may need an intake number, should the log turn out to be owned elsewhere. */
  readonly intakes: readonly { readonly stream?: Stream; readonly log: bigint; readonly author: bigint; readonly clientEntryId: bigint }[];
  readonly decided: readonly DecidedKey[];
  /** Logs whose owner may change, or may have to be settled: their streams are locked and all that was decided of them is read. */
  readonly moves: readonly bigint[];
  /** Logs owned here whose own people's open intake may be decided at once. */
  readonly settles: readonly bigint[];
  /** Logs that may give up what they hold above this seq. */
  readonly cuts: readonly { readonly log: bigint; readonly above: number }[];
  /** Entries whose bodies an edit or a deletion takes. */
  readonly targets: readonly { readonly log: bigint; readonly seq: number }[];
  /** Runs to compare with what is stored, where they overlap the head. */
  readonly runs: readonly { readonly log: bigint; readonly from: number; readonly to: number }[];
  /** Longest wait for a lock, if shorter than the store's own; then RunAgain. Milliseconds. */
  readonly lockMsMax?: number;
}

export interface AppendKey {
  readonly log: bigint;
  readonly author: bigint;
  readonly clientEntryId: bigint;
}

export interface DecidedKey {
  readonly stream: Stream;
  readonly cell: number;
  readonly generation: number;
}

/** What the store found, under the locks. */
export interface Facts {
  readonly rows: ReadonlyMap<bigint, LogRow>;
  readonly states: ReadonlyMap<bigint, LogState>;
  known(key: AppendKey): Entry | undefined;
  /** Stored entry of a run that overlaps the head. */
  stored(log: bigint, seq: number): Entry | undefined;
  /** A stored entry that is to be emptied, with its body. */
  target(log: bigint, seq: number): Entry | undefined;
  /** Log of a pair that was opened since it was last looked for; it is not locked. */
  pairLog(pair: Pair): bigint | undefined;
  /** Next free intake number of a stream. */
  nextIntake(stream: Stream): number;
  /** Its number, where this append waits as intake of that stream. */
  waiting(author: bigint, clientEntryId: bigint, stream: Stream): number | undefined;
  /** Undecided appends of this author. */
  openIntake(author: bigint): number;
  decided(key: DecidedKey): number;
  /** Everything decided of a stream; of logs in `moves` only. */
  decidedOf(stream: Stream): readonly { readonly key: DecidedKey; readonly n: number }[];
  /** Lowest open intake number of a stream; undefined when nothing waits. Of logs in `moves` only. */
  lowestIntake(stream: Stream): number | undefined;
  /** Open intake of this cell's own people, in its order, at most one more than a settling takes; of logs in `settles` only. */
  ownIntake(stream: Stream): readonly IntakeRow[];
  /** What is held above the seq that `cuts` names, with bodies. */
  above(log: bigint): readonly Entry[];
}

export interface IntakeRow {
  readonly stream: Stream;
  readonly n: number;
  /** 0 while the direct conversation is not open. */
  readonly log: bigint;
  readonly dst: number;
  readonly author: bigint;
  readonly clientEntryId: bigint;
  readonly kind: number;
  readonly body: Uint8Array;
  readonly createdMs: number;
}

/** The chain at one entry. */
export interface CheckPoint {
  readonly log: bigint;
  readonly seq: number;
  readonly hash: Uint8Array;
}

export interface ClosedIntake {
  readonly stream: Stream;
  readonly author: bigint;
  readonly clientEntryId: bigint;
  /** The owner has refused it; else it came back as an entry. */
  readonly refused: boolean;
}

export interface UserLogRow {
  readonly user: bigint;
  readonly log: bigint;
  readonly from: number;
  /** 0 while the user is a member. */
  readonly until: number;
}

/** Everything one transaction writes. */
export interface Writes {
  readonly entries: readonly Entry[];
  /** Hashes kept, so that a page can be proved from the nearest one below it. */
  readonly checkPoints: readonly CheckPoint[];
  /** Stored entries whose bodies go; their hashes stay. */
  readonly emptied: readonly Entry[];
  /** Rows whose head, version or status changed; `created` ones are inserted. */
  readonly rows: readonly LogRow[];
  readonly created: readonly { readonly row: LogRow; readonly state: LogState; readonly start: number }[];
  /** Logs whose list of epochs changed. */
  readonly epochs: readonly { readonly log: bigint; readonly epochs: readonly EpochStart[] }[];
  /** What these hold above `base` was given up by a newer epoch: kept apart, shown to nobody (R24). */
  readonly truncated: readonly {
    readonly log: bigint;
    readonly base: number;
    /** The list before and the one now. */
    readonly before: readonly EpochStart[];
    readonly epochs: readonly EpochStart[];
  }[];
  /** Open intake of these streams goes to another owner; `shift`: behind what is offered again before it. */
  readonly readdressed: readonly { readonly stream: Stream; readonly dst: number; readonly shift: number; readonly next: number }[];
  /** New states of existing logs. */
  readonly states: readonly { readonly before: LogState; readonly after: LogState }[];
  /** Replicas that begin anew after `start`, because this cell was out of the log meanwhile (R18). */
  readonly reopened: readonly { readonly log: bigint; readonly start: number }[];
  readonly userLogs: readonly UserLogRow[];
  readonly pairs: readonly { readonly pair: Pair; readonly log: bigint }[];
  readonly intake: readonly IntakeRow[];
  /** The epochs of the logs of `intake`, where these are known. */
  readonly intakeEpochs: ReadonlyMap<bigint, bigint>;
  /** Own users' appends the owner has decided: their intake rows go. */
  readonly closed: readonly ClosedIntake[];
  readonly decided: readonly { readonly key: DecidedKey; readonly n: number }[];
  readonly outbox: readonly OutboxRow[];
  readonly behind: readonly BehindRow[];
  /** Logs whose run may have reached what was known to be missing. */
  readonly caughtUp: readonly CaughtUp[];
}

/** One frame to send: ranges of logs (never bodies), or envelopes. */
export interface OutboxRow {
  readonly id: bigint;
  readonly dst: number;
  readonly class: FrameClass;
  readonly lane: number;
  readonly ranges: readonly LogRange[];
  readonly envelopes: readonly Uint8Array[];
  /** Places in logs that this frame brings the destination for the first time; what is sent again counts none. */
  readonly due?: number;
  /** What the ranges name, while it is in memory. Not stored. */
  readonly entries?: readonly Entry[];
}

export interface LogRange {
  readonly log: bigint;
  readonly first: number;
  readonly last: number;
}

/** The transaction may have committed or not; running it again from its first statement tells. */
export class RunAgain extends Error {
  override readonly name: string = 'RunAgain';
}

/** The same, of a transaction whose commit was under way: what it committed, if it did, nobody has been told. */
export class MaybeCommitted extends RunAgain {
  override readonly name = 'MaybeCommitted';
}

/** A unique key was taken meanwhile. The next look-up finds it; a batch that meets this every time has a culprit. */
export class KeyTaken extends RunAgain {
  override readonly name = 'KeyTaken';
}

/** Intake that waits, with the lowest open number of its stream and the epoch in which both are numbered: 0 where the log is not known here. */
export interface OpenIntake {
  readonly row: IntakeRow;
  readonly lowestOpen: number;
  readonly epoch: bigint;
}

export interface LogStore {
  /**
   * One write transaction (R4): locks the lane and the logs, looks up, lets `decide` choose, writes, commits; resolves
   * after the commit. Throws RunAgain after a serialisation failure, a deadlock, a unique violation or a lost connection:
   * the caller then does the whole of it again, and the look-up finds what had been committed after all (R5).
   */
  write<T extends { readonly writes: Writes }>(lane: number, keys: WriteKeys, decide: (facts: Facts) => T): Promise<T>;
  /** The open direct conversations of these pairs. */
  findPairs(pairs: readonly Pair[]): Promise<Map<string, bigint>>;
  /** Entries from <= seq <= to in order, at most `limit` and `bytesMax`. */
  readRange(log: bigint, from: number, to: number, limit: number): Promise<Entry[]>;
  /** All entries of these ranges, one range after the other; what is gone of them is left out. */
  readRanges(ranges: readonly LogRange[]): Promise<Entry[]>;
  readRow(log: bigint): Promise<{ row: LogRow; state: LogState; start: number } | undefined>;
  /** Unacknowledged frames of a destination made before `beforeMs`, oldest first. */
  unacknowledged(dst: number, beforeMs: number, limit: number): Promise<OutboxRow[]>;
  /** Deletes acknowledged frames. */
  acknowledged(dst: number, ids: readonly bigint[]): Promise<void>;
  /** Open intake for a destination, oldest first. */
  openIntake(dst: number, beforeMs: number, limit: number): Promise<OpenIntake[]>;
  /** Logs that are behind what is known to exist. */
  behind(limit: number): Promise<BehindRow[]>;
  noteBehind(rows: readonly BehindRow[]): Promise<void>;
  /** Logs owned here that give no seq yet, or not to everybody. */
  unsettled(limit: number): Promise<{ log: bigint; status: LogStatus }[]>;
  /** The owner says that there is nothing to be had for this cell. What was noted since the row was read stays. */
  forgetBehind(row: BehindRow): Promise<void>;
}

/** A log of which `src` told the entry at `known` of `epoch`, and which is not held up to there; 0 and 0 where only the source is known. */
export interface BehindRow {
  readonly log: bigint;
  readonly epoch: bigint;
  readonly known: number;
  readonly src: number;
}

/** All that epochs before this one gave is held, and of this one what it gave up to `head`. */
export interface CaughtUp {
  readonly log: bigint;
  readonly epoch: bigint;
  readonly head: number;
}

export type PublishResult = 'stored' | 'duplicate' | 'no-responders' | 'refused' | 'timeout';

/** The way to other cells. Cells are named by number; what it sends is sealed, what it hands out was opened. */
export interface Link {
  publish(frame: { dst: number; class: FrameClass; lane: number; id: bigint; attempt: number; bytes: Uint8Array }): Promise<PublishResult>;
  /** The end-to-end acknowledgement (FrameAcks); may be lost (R15). */
  acknowledge(dst: number, bytes: Uint8Array): void;
  /** Throws WeftError peer_away when nobody answers in time. */
  request(dst: number, method: string, bytes: Uint8Array): Promise<Uint8Array>;
  signal(dst: number, what: string, bytes: Uint8Array): void;
}
