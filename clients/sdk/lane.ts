// One queue of the outbox: what is undecided of a log, or of a peer.
import { limits } from '@weft/proto/limits.ts';
import type { Sent } from './sent.ts';

export interface Target {
  readonly $case: 'log' | 'peer';
  readonly value: bigint;
}

export interface Lane {
  readonly key: string;
  /** Undecided, in the order written. */
  items: Sent[];
  unanswered: number;
  /** What its appends name; the same for all that are unanswered, for a cell keeps the order of each name by itself. */
  target: Target | undefined;
  /** Of those that were accepted while others of the lane were undecided, the last written; 0n when there was none. */
  newestAccepted: bigint;
  faults: number;
  /** Not before this (monotonic ms). */
  heldUntilMs: number;
  /**
   * The first that was told to come again, and those that were not told so for its sake: the node decides nothing behind one of
   * them before it does, even if it is decided by then.
   */
  owed: Set<Sent>;
  /** What was undecided when the user came back to the log: it may have been decided before that, where it cannot be seen. */
  unseenTo: bigint;
  /** A `later` fault came: everything unanswered must be answered before the first goes again. */
  faulted: boolean;
}

export const newLane = (key: string): Lane => ({
  key,
  items: [],
  unanswered: 0,
  target: undefined,
  newestAccepted: 0n,
  faults: 0,
  heldUntilMs: 0,
  owed: new Set(),
  unseenTo: 0n,
  faulted: false,
});

/** In the order written. */
export function queuedOf(items: readonly Sent[]): readonly Sent[] {
  let first = items.length;
  while (first > 0 && items[first - 1]?.state === 'queued') first -= 1;
  // They are the end of the lane, for what is before them was sent before them; unless a node took a later one first.
  return first > 0 && items[0]?.state === 'queued' ? items.filter(({ state }) => state === 'queued') : items.slice(first);
}

/**
 * What was sent after it, when it is sent again: where that has its place, this one was decided before it, and refused by an answer
 * that never came. It must not be taken now, behind what was written after it (R8).
 */
export function followedBy({ items, newestAccepted }: Lane, sent: Sent): bigint[] {
  if (!sent.wasSent) return [];
  const ids = newestAccepted > sent.id ? [newestAccepted] : [];
  let at = items.indexOf(sent) + 1;
  for (let later = items[at]; at > 0 && later?.wasSent && ids.length < limits.followedByMax; later = items[++at]) ids.push(later.id);
  return ids;
}

export const laneOfLog = (log: bigint): string => `log:${log}`;
export const laneOfPeer = (peer: bigint): string => `peer:${peer}`;

export function targetOf(lane: string): Target {
  const [kind, id] = lane.split(':');
  return { $case: kind === 'peer' ? 'peer' : 'log', value: BigInt(id ?? '0') };
}
