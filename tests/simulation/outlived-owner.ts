// Owners whose time is over are not noticed: what guards the epochs is taken off the operations on their way into a lane.
import { ownerOf } from '@weft/cells/delivery/log-state.ts';
import type { Operation } from '@weft/cells/delivery/operations.ts';
import { laterEpoch } from '@weft/proto/positions.ts';

/** Entries of an epoch that ended pass for such of the newest one that any cell has heard of. */
export function asOfTheNewestEpoch(): (operation: Operation) => Operation {
  const newest = new Map<bigint, bigint>();
  return (operation) => {
    const [first] = operation.type === 'apply' ? operation.entries : [];
    if (operation.type !== 'apply' || !first) return operation;
    const known = operation.entries.reduce((most, { epoch }) => laterEpoch(most, epoch), newest.get(operation.log) ?? 0n);
    newest.set(operation.log, known);
    const isFrame = !operation.epochs && !operation.tail;
    if (!isFrame || first.epoch === known || operation.src !== ownerOf(first)) return operation;
    return { ...operation, src: ownerOf({ epoch: known }), entries: operation.entries.map((entry) => ({ ...entry, epoch: known })) };
  };
}

export function withoutEpochs(operation: Operation): Operation {
  if (operation.type !== 'apply' || !operation.epochs) return operation;
  const { epochs: _, ...rest } = operation;
  return rest;
}
