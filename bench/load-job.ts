// What the bench tells its load process to do, and what comes back. Both sides are this room: plain JSON over IPC.

import type { LatencyTable } from './latency.ts';
import type { LoadUser } from './load-client.ts';

export interface Pair {
  readonly from: LoadUser;
  readonly to: LoadUser;
}

interface Timed {
  readonly warmUpMs: number;
  readonly measuredMs: number;
}

/** Durable direct messages: closed loop with a window per sender, or open loop at a rate over all. */
export interface PairsJob extends Timed {
  readonly kind: 'pairs';
  readonly pairs: readonly Pair[];
  readonly window?: number;
  readonly perSecond?: number;
}

export interface FanOutJob extends Timed {
  readonly kind: 'fan-out';
  readonly members: readonly LoadUser[];
  readonly senders: number;
  /** Messages of one sender that not every member has yet. */
  readonly window: number;
}

export interface IdleJob {
  readonly kind: 'idle';
  readonly users: readonly LoadUser[];
  readonly idleMs: number;
  /** How long everything holds still at each mark for the memory to be read. */
  readonly holdMs: number;
}

export interface ResumeJob {
  readonly kind: 'resume';
  readonly writers: readonly LoadUser[];
  readonly users: readonly LoadUser[];
}

export interface HistoryJob extends Timed {
  readonly kind: 'history';
  readonly writers: readonly LoadUser[];
  readonly readers: readonly LoadUser[];
  readonly messages: number;
  readonly pageEntries: number;
  /** Messages arriving each second while the readers read. */
  readonly perSecond: number;
}

/** Writes a number of messages and no more: for the size on disk. */
export interface FillJob {
  readonly kind: 'fill';
  readonly pairs: readonly Pair[];
  readonly messages: number;
  readonly window: number;
}

export type LoadJob = PairsJob | FanOutJob | IdleJob | ResumeJob | HistoryJob | FillJob;

export interface LoadResult {
  /** Deliveries, pages, connections or resumes in the measured time, whatever the job counts. */
  readonly done: number;
  readonly ms: number;
  readonly latency: LatencyTable;
  /** Accepted to the sender, by its own clock. */
  readonly accepted?: LatencyTable;
  /** Accepted messages that did not arrive in settleMsMax, and arrivals out of order. Both must be 0. */
  readonly missing: number;
  readonly disordered: number;
  /** Appends answered by a fault that says never. Must be 0. */
  readonly refused: number;
  /** Faults met, by code. Those that say later were cured by a retry. */
  readonly faults: Readonly<Record<string, number>>;
  /** CPU of the load process in the measured time, milliseconds. */
  readonly ownCpuMs: number;
}

/** From the load process: the measured time begins and ends, then the result or what went wrong. */
export type LoadMessage =
  | { readonly event: 'begin' }
  | { readonly event: 'end' }
  | { readonly event: 'result'; readonly result: LoadResult }
  | { readonly event: 'failed'; readonly error: string };

/** How a job tells when its measured time begins and ends. */
export interface Marks {
  begin(): void;
  end(): void;
}
