// Delivered and seen marks (R22): merged by maximum at the user's home, told to own devices at once and to the log's
// other cells at most once a second, while the log is small enough.

import { WeftError } from '@weft/proto/faults.ts';
import type { MarkKind, MarkMoved } from '@weft/proto/gen/weft/client/v1/client.ts';
import { comparePositions, type EpochStart, type Position } from '@weft/proto/positions.ts';
import { clampedSeq } from './epochs.ts';
import type { LogState } from './log-state.ts';

/** A user's position in a log, both kinds. */
export interface Mark {
  readonly log: bigint;
  readonly user: bigint;
  readonly deliveredEpoch: bigint;
  readonly delivered: number;
  readonly seenEpoch: bigint;
  readonly seen: number;
}

/** A mark and the cells it is to be told to. */
export interface MarkToTell {
  readonly mark: Mark;
  readonly dsts: readonly number[];
}

/** The furthest of each log and user, in the order of both: whoever stores some of them locks them in the same order. */
export function furthestOfEach(marks: readonly MarkToTell[]): MarkToTell[] {
  const furthest = new Map<string, MarkToTell>();
  for (const each of marks) {
    const known = furthest.get(keyOf(each.mark));
    furthest.set(keyOf(each.mark), known ? { ...each, mark: further(known.mark, each.mark) } : each);
  }
  return [...furthest.values()].sort((a, b) => Number(a.mark.log - b.mark.log) || Number(a.mark.user - b.mark.user));
}

export const keyOf = ({ log, user }: Pick<Mark, 'log' | 'user'>): string => `${log}:${user}`;

/** Each kind by its maximum. */
function further(one: Mark, other: Mark): Mark {
  const delivered = isBehind({ epoch: one.deliveredEpoch, seq: one.delivered }, { epoch: other.deliveredEpoch, seq: other.delivered })
    ? other
    : one;
  const seen = isBehind({ epoch: one.seenEpoch, seq: one.seen }, { epoch: other.seenEpoch, seq: other.seen }) ? other : one;
  return { ...one, deliveredEpoch: delivered.deliveredEpoch, delivered: delivered.delivered, seenEpoch: seen.seenEpoch, seen: seen.seen };
}

const isBehind = (one: Position, other: Position): boolean => comparePositions(one, other) < 0;

/** What is asked: one kind moves; the other stays where it is. What was seen was delivered. */
export function markOf(
  asked: { log: bigint; user: bigint; kind: MarkKind; epoch: bigint; seq: number },
  head: { epoch: bigint; seq: number },
): Mark {
  if (asked.kind !== 'MARK_KIND_DELIVERED' && asked.kind !== 'MARK_KIND_SEEN')
    throw new WeftError('bad_request', 'kind must be delivered or seen');
  // A mark never passes the head.
  const beyond = asked.epoch > head.epoch || (asked.epoch === head.epoch && asked.seq > head.seq);
  const epoch = beyond ? head.epoch : asked.epoch;
  const seq = beyond ? head.seq : asked.seq;
  const isSeen = asked.kind === 'MARK_KIND_SEEN';
  return {
    log: asked.log,
    user: asked.user,
    deliveredEpoch: epoch,
    delivered: seq,
    seenEpoch: isSeen ? epoch : 0n,
    seen: isSeen ? seq : 0,
  };
}

/**
 * Where a mark stands, by the epochs known now: where a newer one gave up what it was set on, on the last entry that is left
 * (R22). For those who look only: what is stored and told to cells is the mark as it was set, or what came of marks and epochs
 * that a cell hears of in another order than its neighbour would not be the same in both.
 */
export function clampMark(mark: Mark, epochs: readonly EpochStart[]): Mark {
  const delivered = clampedSeq(epochs, { epoch: mark.deliveredEpoch, seq: mark.delivered });
  const seen = clampedSeq(epochs, { epoch: mark.seenEpoch, seq: mark.seen });
  return delivered === mark.delivered && seen === mark.seen ? mark : { ...mark, delivered, seen };
}

export function toMoved(mark: Mark): MarkMoved[] {
  const base = { log: mark.log, user: mark.user };
  const moved: MarkMoved[] = [];
  if (mark.delivered > 0) moved.push({ ...base, kind: 'MARK_KIND_DELIVERED', epoch: mark.deliveredEpoch, seq: BigInt(mark.delivered) });
  if (mark.seen > 0) moved.push({ ...base, kind: 'MARK_KIND_SEEN', epoch: mark.seenEpoch, seq: BigInt(mark.seen) });
  return moved;
}

/** Marks as they arrive from a cell, for members homed there only. */
export function fromMoved(moved: readonly MarkMoved[]): Mark[] {
  const marks = new Map<string, Mark>();
  for (const m of moved) {
    const key = `${m.log}:${m.user}`;
    const known = marks.get(key) ?? { log: m.log, user: m.user, deliveredEpoch: 0n, delivered: 0, seenEpoch: 0n, seen: 0 };
    marks.set(
      key,
      m.kind === 'MARK_KIND_SEEN'
        ? { ...known, seenEpoch: m.epoch, seen: Number(m.seq) }
        : { ...known, deliveredEpoch: m.epoch, delivered: Number(m.seq) },
    );
  }
  return [...marks.values()];
}

/** Other cells that are told of marks in this log. */
export function cellsToTell(state: LogState, cell: number, membersMax: number): number[] {
  if (state.members.size > membersMax || state.kind === 'self') return [];
  return [...new Set([...state.members.values()].map((m) => m.home))].filter((home) => home !== cell);
}
