// What a lane is asked to decide. An operation names what must be locked and looked up; deciding is decide.ts.
import type { FaultCode } from '@weft/proto/faults.ts';
import type { EpochStart } from '@weft/proto/positions.ts';
import type { Entry } from './entry.ts';
import type { LogState, Pair, Stream } from './log-state.ts';

/** A log by its id, or a direct conversation by its pair, open or not. */
export type Target = { readonly log: bigint } | { readonly pair: Pair };

/** A person's append at the home cell. Also how groups are created, direct conversations opened and members changed. */
export interface AppendOperation {
  readonly type: 'append';
  readonly target: Target;
  readonly author: bigint;
  /** Appends of one connection of this node to one log keep their order (R8); a request, which has none, is decided by itself. */
  readonly connection?: number;
  readonly clientEntryId: bigint;
  /** Of the same author and client: what was sent to the same target after it. Where one of these has its place, it was refused before. */
  readonly followedBy?: readonly bigint[];
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
  /** The log's epoch as the sender knows it; 0 or missing when it does not say. */
  readonly epoch?: bigint;
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
  /** All epochs of the log, as a pulled page tells them. */
  readonly epochs?: readonly EpochStart[];
  /** What is held above this the list gives up. */
  readonly cut?: number;
  /** The run that is left below the cut begins after this, where the one given up began above it. */
  readonly begins?: number;
  /** From a replica to the owner that lost it, or to the owner-to-be (R23, R25). */
  readonly tail?: boolean;
  /** The list of epochs of who gives a tail back. */
  readonly told?: readonly EpochStart[];
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
  /** Of this cell's store when it gave the number; 0 or missing when the owner does not say. */
  readonly generation?: number;
  readonly target: Target;
  readonly stream: Stream;
  readonly n: number;
  readonly author: bigint;
  readonly clientEntryId: bigint;
  readonly code: string;
  readonly text: string;
}

/** The owner gives the log away: its last entry says to whom (R23). */
export interface HandoverOperation {
  readonly type: 'handover';
  readonly log: bigint;
  readonly to: number;
  /** Generation of the new owner's store. */
  readonly toGeneration: number;
}

/** This cell begins an epoch at the head found: a takeover the directory signed, or after a restore (R23, R25). */
export interface BeginOperation {
  readonly type: 'begin';
  readonly log: bigint;
  /** Cells that keep the log: those with nobody in it, as far as it came back, are told that it goes on without them. */
  readonly keepers?: readonly number[];
}

/** An owner's log is settled once none of its own people's intake waits any more. */
export interface SettleOperation {
  readonly type: 'settle';
  readonly log: bigint;
}

/** A replica holds more than its owner, in the same epoch: the owner gives no seq until it has that back (R25). */
export interface StopOperation {
  readonly type: 'stop';
  readonly log: bigint;
  readonly epoch: bigint;
  /** What the replica holds. */
  readonly head: number;
}

export type OwnerOperation = HandoverOperation | BeginOperation | SettleOperation | StopOperation;

export type Operation = AppendOperation | IntakeOperation | ApplyOperation | RefusedOperation | OwnerOperation;

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
  /** Addressed to a cell that does not own the log: said back, and decides nothing (R11). */
  | { readonly type: 'moved' }
  /** Of an epoch that is over: said back, and nothing is stored (R16). */
  | { readonly type: 'stale' }
  /** Nothing to do, or done. */
  | { readonly type: 'settled' }
  /** The sender may not say this: counted and alarmed. */
  | { readonly type: 'rejected'; readonly why: 'foreign-author' | 'not-owner' | 'fork' | 'unproven' | 'unusable' };

export const bytesOf = (operation: Operation): number => {
  if (operation.type === 'apply') return operation.entries.reduce((sum, e) => sum + e.body.length + 64, 0);
  return 'body' in operation ? operation.body.length + 64 : 128;
};

/** How many entries the operation may write. */
export const weightOf = (operation: Operation): number => (operation.type === 'apply' ? operation.entries.length : 1);

/** An operation on its way, and who waits for its outcome. */
export interface Submission {
  readonly operation: Operation;
  /** Called once, after the commit. */
  readonly settle: (outcome: Outcome) => void;
  /** Socket of the author: it gets Accepted where others get the push. */
  readonly origin?: unknown;
  /** False when an earlier append of the same connection to the same log has to come again first (R8). */
  readonly mayRun?: () => boolean;
}
