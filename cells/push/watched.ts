// A log that somebody on this node watches: the last seq told to the watchers, and in which epoch.
import { Handover, type ServerFrame, Takeover } from '@weft/proto/gen/weft/client/v1/client.ts';
import { type Digest, toggleHead } from '@weft/proto/heads-digest.ts';
import type { EpochStart } from '@weft/proto/positions.ts';
import { type Entry, kinds } from '../delivery/entry.ts';
import type { FollowingEpoch } from '../delivery/epochs.ts';
import type { Run } from '../wire/frames.ts';
import type { Origins } from './origins.ts';
import type { SharedPush } from './shared-push.ts';

export type PushEvent = NonNullable<ServerFrame['event']>;

/** A connection, as the hub sees it. */
export interface Receiver {
  push(push: SharedPush): void;
  tell(event: PushEvent): void;
}

/** A user with at least one socket on this node. */
export interface OnlineUser {
  readonly user: bigint;
  readonly digest: Digest;
  readonly receivers: Set<Receiver>;
  readonly logs: Set<Watched>;
}

/** Entries of one log in order, who waits for them, and what else was committed with them. */
export interface Piece {
  readonly entries: readonly Entry[];
  readonly origins?: Origins | undefined;
  readonly runs?: readonly Run[];
}

export interface Watched {
  readonly log: bigint;
  epoch: bigint;
  head: number;
  /** Where newer epochs began since this log is watched: an older entry above such a base was given up. */
  begins: readonly EpochStart[];
  /** Who watches, and the first seq each may see. */
  readonly users: Map<OnlineUser, number>;
  held: Piece[];
  filling: boolean;
  /** Asked to fill while it was filling: what was read may be too old. */
  fillAgain: boolean;
  /** Something came of an epoch whose beginning was not told here: it is read before anything more is told. */
  isUnsure: boolean;
}

/** Epochs of one log whose beginnings a node remembers for its watchers. */
const beginsMax = 8;

export const isGivenUp = ({ begins }: Watched, entry: Entry): boolean =>
  begins.length > 0 && begins.some(({ epoch, base }) => epoch > entry.epoch && entry.seq > base);

/** Whether these entries, which continue the head, tell themselves where each newer epoch of theirs begins. */
export function tellsBegins(watched: Watched, entries: readonly Entry[]): boolean {
  let epoch = watched.epoch === 0n ? (entries[0]?.epoch ?? 0n) : watched.epoch;
  return entries.every((entry, i) => {
    if (entry.epoch <= epoch) return true;
    const isNext = follows(entry, entries[i - 1], epoch);
    epoch = entry.epoch;
    return isNext;
  });
}

/** Whether the epoch that begins with this entry is the one after `epoch`: only its first entry, or the one before it, says so. */
function follows(entry: Entry, before: Entry | undefined, epoch: bigint): boolean {
  if (entry.kind === kinds.takeover) return Takeover.decode(entry.body).after === epoch;
  return before?.kind === kinds.handover && Handover.decode(before.body).epoch === entry.epoch;
}

/** The digests of all who watch follow the head. */
export function shiftHead(watched: Watched, epoch: bigint, head: number): void {
  const moved: Digest = { hi: 0, lo: 0 };
  toggleHead(moved, watched.log, watched.epoch, watched.head);
  toggleHead(moved, watched.log, epoch, head);
  watched.epoch = epoch;
  watched.head = head;
  for (const online of watched.users.keys()) {
    online.digest.hi = (online.digest.hi ^ moved.hi) >>> 0;
    online.digest.lo = (online.digest.lo ^ moved.lo) >>> 0;
  }
}

/** Takes newer epochs; what was told above the lowest of their bases was given up. Answers what is news, and what was held. */
export function beginEpochs(watched: Watched, starts: readonly FollowingEpoch[]): { newer: readonly FollowingEpoch[]; dropped: Piece[] } {
  const newer = starts.filter((start) => start.epoch > watched.epoch);
  const newest = newer.at(-1);
  if (!newest) return { newer, dropped: [] };
  const parted = Math.min(...newer.map(({ base }) => base));
  const head = Math.min(watched.head, parted);
  const dropped = head < watched.head ? watched.held.splice(0) : [];
  shiftHead(watched, newest.epoch, head);
  // Where the lists parted is told of the newest epoch as well; it begins where was told last.
  const begins = newer.filter(({ epoch }, i) => newer[i + 1]?.epoch !== epoch);
  // An epoch that began where these parted from it was given up whole: entries of older ones stand in its place.
  watched.begins = [...watched.begins.filter(({ base }) => base < parted), ...begins].slice(-beginsMax);
  return { newer, dropped };
}

export function tellBegins(watched: Watched, newer: readonly FollowingEpoch[]): void {
  const { log } = watched;
  for (const { epoch, base, after } of newer)
    for (const online of watched.users.keys())
      for (const receiver of online.receivers) receiver.tell({ $case: 'truncated', value: { log, epoch, base: BigInt(base), after } });
}
