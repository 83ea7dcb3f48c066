// One recorded history: what every device did and saw, with times, and every cell's logs at the end. It knows nothing of
// the implementation; recorders make it, the checker judges it.

/** An entry as somebody showed, fetched or stored it. */
export interface SeenEntry {
  readonly log: bigint;
  readonly epoch: bigint;
  readonly seq: number;
  readonly author: bigint;
  readonly clientEntryId: bigint;
  /** What people wrote (true), or state such as members (false), which the cell writes itself. */
  readonly content: boolean;
  /** The body in any form in which equal bodies are equal texts. */
  readonly body: string;
}

interface Seen {
  /** Milliseconds of one monotonic clock for the whole history. */
  readonly at: number;
  readonly device: string;
}

export type HistoryEvent = Seen &
  (
    | { readonly what: 'connected' }
    | { readonly what: 'disconnected' }
    /** Each attempt is one event; `log` or `peer` is what the append named. `after`: seq of what it replies to. */
    | {
        readonly what: 'sent';
        readonly log?: bigint;
        readonly peer?: bigint;
        readonly clientEntryId: bigint;
        readonly body: string;
        readonly after?: number;
        /** The log that `after` is a seq of, where the append names a peer: the two may get another log before it is decided. */
        readonly afterLog?: bigint;
        /** It was refused, and accepted when a restored cell had it decided anew: behind what was sent after it, perhaps. */
        readonly decidedAnew?: boolean;
      }
    | { readonly what: 'accepted'; readonly log: bigint; readonly epoch: bigint; readonly seq: number; readonly clientEntryId: bigint }
    /** Stored by the home cell; it will be decided. */
    | { readonly what: 'pending'; readonly clientEntryId: bigint }
    /** Final: `Refused`, or a fault that says never. */
    | { readonly what: 'refused'; readonly clientEntryId: bigint; readonly code: string }
    /** The device holds the log from this seq on: everything from here must be shown. */
    | { readonly what: 'follows'; readonly log: bigint; readonly from: number }
    /** The user was removed; `until` is the last seq to be shown. */
    | { readonly what: 'left'; readonly log: bigint; readonly until: number }
    | { readonly what: 'shown'; readonly entry: SeenEntry }
    /** Something beyond the next seq came; the hole begins at `seq`. */
    | { readonly what: 'hole'; readonly log: bigint; readonly seq: number }
    /** The device told its user that something is missing (`recovered: false`). */
    | { readonly what: 'surfaced'; readonly log: bigint }
    /** The cell's word on where the log ends; `askedAt`: read for a question asked then, so pushes may have overtaken it. */
    | { readonly what: 'head'; readonly log: bigint; readonly epoch: bigint; readonly seq: number; readonly askedAt?: number }
    | { readonly what: 'truncated'; readonly log: bigint; readonly epoch: bigint; readonly base: number }
    /** A page asked for at `askedAt`: everything the reader may see of from … to. `to` is infinite when the page says it has the end. */
    | {
        readonly what: 'fetched';
        readonly askedAt: number;
        readonly log: bigint;
        readonly from: number;
        readonly to: number;
        readonly entries: readonly SeenEntry[];
      }
  );

export type EventOf<W extends HistoryEvent['what']> = Extract<HistoryEvent, { readonly what: W }>;

export interface DeviceRecord {
  readonly device: string;
  readonly user: bigint;
  readonly cell: string;
  /** It was connected and settled at the end, so nothing may be missing on it. */
  readonly settled: boolean;
}

/** One cell's copy of one log at the end, without order or uniqueness assumed. */
export interface LogDump {
  readonly cell: string;
  readonly log: bigint;
  /** The cell assigns the seqs of this log. */
  readonly owner: boolean;
  /** First seq this copy is meant to hold, and the last (infinite while it follows). */
  readonly start: number;
  readonly until: number;
  readonly entries: readonly SeenEntry[];
}

export interface History {
  readonly devices: readonly DeviceRecord[];
  /** Ordered by `at`; equal times in the order recorded. */
  readonly events: readonly HistoryEvent[];
  readonly dumps: readonly LogDump[];
  /** Milliseconds in which a hole on a healthy connection is repaired or surfaced. */
  readonly repairMsMax: number;
}

export type Invariant = 'I1' | 'I2' | 'I3' | 'I4' | 'I5' | 'I6' | 'I7' | 'I8' | 'I17';

export interface Violation {
  readonly invariant: Invariant;
  readonly text: string;
  /** The first entries that differ or are missing, as text. */
  readonly entries: readonly string[];
}

export const describeEntry = ({ log, epoch, seq, author, clientEntryId, body }: SeenEntry): string =>
  `log ${log} epoch ${epoch} seq ${seq} by ${author} id ${clientEntryId}: ${body.length > 60 ? `${body.slice(0, 60)}…` : body}`;
