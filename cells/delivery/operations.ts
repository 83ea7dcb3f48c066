// What a lane is asked to decide. An operation names what must be locked and looked up; deciding is decide.ts.
import type { FaultCode } from '@weft/proto/faults.ts';
import type { Entry } from './entry.ts';
import type { LogState, Pair, Stream } from './log-state.ts';

/** A log by its id, or a direct conversation by its pair, open or not. */
export type Target = { readonly log: bigint } | { readonly pair: Pair };

/** A person's append at the home cell. Also how groups are created, direct conversations opened and members changed. */
export interface AppendOperation {
  readonly type: 'append';
  readonly target: Target;
  readonly author: bigint;
  /** Appends of one session to one log keep their order (R8). */
  readonly session: bigint;
  readonly clientEntryId: bigint;
  readonly kind: number;
  readonly body: Uint8Array;
  /** Id for the log, should this append be what creates it; the lane sets it. */
  readonly freshLog?: bigint;
}

/** A pending append that another cell sent to the owner (R10). */
export interface IntakeOperation {
  readonly type: 'intake';
  readonly src: number;
  readonly generation: number;
  readonly target: Target;
  /** What the numbers belong to, as the sender says; checked against the log. */
  readonly stream: Stream;
  readonly n: number;
  readonly lowestOpen: number;
  readonly author: bigint;
  readonly clientEntryId: bigint;
  readonly kind: number;
  readonly body: Uint8Array;
  readonly freshLog?: bigint;
  /** Deciding it failed again and again: it is refused (R27). */
  readonly poisoned?: boolean;
}

/** What came with a pulled snapshot: the state just before the first entry. */
export interface Snapshot {
  readonly state: LogState;
  /** Seq, ts, ord and hash before the first entry of the run. */
  readonly start: number;
  readonly ts: number;
  readonly ord: number;
  readonly hash: Uint8Array;
  readonly floor: number;
}

/** A run of one log's entries from its owner: a frame's or a pulled page's (R16). */
export interface ApplyOperation {
  readonly type: 'apply';
  readonly src: number;
  readonly log: bigint;
  readonly entries: readonly Entry[];
  readonly snapshot?: Snapshot;
  /** Own people who were members when the run broke off: the snapshot may show that they left. */
  readonly leaving?: readonly bigint[];
  /** One entry of a run that failed again and again. */
  readonly alone?: boolean;
  /** It failed alone as well: content is stored as unreadable, a state entry freezes the log (R27). */
  readonly poisoned?: boolean;
}

/** The owner's final refusal of one of our users' appends (R12). */
export interface RefusedOperation {
  readonly type: 'refused';
  readonly src: number;
  readonly target: Target;
  readonly stream: Stream;
  readonly n: number;
  readonly author: bigint;
  readonly clientEntryId: bigint;
  readonly code: string;
  readonly text: string;
}

export type Operation = AppendOperation | IntakeOperation | ApplyOperation | RefusedOperation;

export type Outcome =
  /** The append has this position; `fresh` is false for a retry. */
  | { readonly type: 'accepted'; readonly entry: Entry; readonly fresh: boolean }
  /** Stored here, the owner decides. `log` is 0 while a direct conversation is not open. */
  | { readonly type: 'pending'; readonly log: bigint }
  | { readonly type: 'fault'; readonly code: FaultCode; readonly text?: string; readonly afterMs?: number }
  /** Intake: the number was decided now or before. */
  | { readonly type: 'decided' }
  /** Intake whose turn has not come, or a run beyond the head: keep it 300 ms, then forget. */
  | { readonly type: 'early' }
  /** A run was stored as far as it continues the log. */
  | { readonly type: 'applied'; readonly head: number; readonly behind: boolean }
  /** The sender may not say this: counted and alarmed. */
  | { readonly type: 'rejected'; readonly why: 'foreign-author' | 'not-owner' | 'fork' | 'stale' | 'unusable' };

export const bytesOf = (operation: Operation): number => {
  if (operation.type === 'apply') return operation.entries.reduce((sum, e) => sum + e.body.length + 64, 0);
  return operation.type === 'refused' ? 128 : operation.body.length + 64;
};

/** How many entries the operation may write. */
export const weightOf = (operation: Operation): number => (operation.type === 'apply' ? operation.entries.length : 1);
