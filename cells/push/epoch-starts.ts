// Newer epochs of logs on their way to the sockets: here, and at the other nodes.
import type { Truncated } from '@weft/proto/gen/weft/client/v1/client.ts';
import { type EpochStart, epochAt } from '@weft/proto/positions.ts';
import type { FollowingEpoch } from '../delivery/epochs.ts';
import type { Writes } from '../delivery/ports.ts';

/** Of what a transaction gave up: to be told before its entries. */
export const givenUp = (writes: Writes): Truncated[] =>
  startsOf(writes.truncated.map(({ log, base, epochs }) => ({ log, epochs, cut: base })));

/** Of the lists a transaction changed: to be told after its entries, which tell most of it themselves. */
export const begun = (writes: Writes): Truncated[] => startsOf(writes.epochs.filter(({ epochs }) => epochs.length > 1));

/** The epochs of each log after its first; where two lists parted below them, that is the first one's base to begin with. */
function startsOf(lists: readonly { log: bigint; epochs: readonly EpochStart[]; cut?: number }[]): Truncated[] {
  return lists.flatMap(({ log, epochs, cut }) => {
    const starts = epochs.filter(({ base }) => cut === undefined || base >= cut);
    const first = starts[0];
    const parted = cut !== undefined && first && first.base > cut ? [{ epoch: first.epoch, base: cut }] : [];
    // Who follows an epoch that is later than the first of these, and in no list any more, takes notice of the newest only.
    const newest = cut === undefined || starts.length < 2 ? [] : [{ epoch: starts.at(-1)?.epoch ?? 0n, base: cut }];
    return [...parted, ...starts.slice(0, -1), ...newest, ...starts.slice(-1)].map(({ epoch, base }) => ({
      log,
      epoch,
      base: BigInt(base),
      after: epochAt(epochs, base),
    }));
  });
}

/** By log, oldest first. */
export function startsByLog(told: readonly Truncated[]): Map<bigint, FollowingEpoch[]> {
  const logs = new Map<bigint, FollowingEpoch[]>();
  for (const { log, epoch, base, after } of told) logs.set(log, [...(logs.get(log) ?? []), { epoch, base: Number(base), after }]);
  return logs;
}
