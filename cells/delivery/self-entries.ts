// Entries that a cell writes into its people's self logs: bodies, and the ids of refusals, which the same append makes again.
import { LogJoined, LogLeft, Refused } from '@weft/proto/gen/weft/client/v1/client.ts';
import { epochParts } from '@weft/proto/positions.ts';
import { kinds } from './entry.ts';
import type { LogState } from './log-state.ts';
import { mix64 } from './mix.ts';
import type { Target } from './operations.ts';
import type { AppendKey } from './ports.ts';

const protoKinds = { direct: 'LOG_KIND_DIRECT', group: 'LOG_KIND_GROUP', self: 'LOG_KIND_SELF' } as const;

export const protoKindOf = (kind: LogState['kind']): 'LOG_KIND_DIRECT' | 'LOG_KIND_GROUP' | 'LOG_KIND_SELF' => protoKinds[kind];

export function selfBody(kind: number, state: LogState, peer: bigint, seq: number): Uint8Array {
  if (kind === kinds.logLeft) return LogLeft.encode({ log: state.log, until: BigInt(seq) }).finish();
  return LogJoined.encode({ log: state.log, kind: protoKindOf(state.kind), peer, from: BigInt(seq) }).finish();
}

export const refusedBody = (refused: Refused): Uint8Array => Refused.encode(refused).finish();

/** Id, in its author's self log, of the entry that says that this append was refused: one for each log and append. */
export const refusalId = (target: Target, clientEntryId: bigint): bigint =>
  mix64(mix64(clientEntryId) ^ mix64('log' in target ? target.log : target.pair.low ^ mix64(target.pair.high))) >> 1n;

/** Whether own people's appends to this log were ever anybody else's to refuse: not where it began here and has stayed. */
export function hadOtherOwner(state: LogState, cell: number): boolean {
  const owner = epochParts(state.epoch);
  return owner.cell !== cell || owner.count > 1;
}

/**
 * Where the refusals of these appends are, if there are any: what their authors' self logs remember. Only the state under the
 * lock tells whose to refuse they were: a log that was handed on is another cell's, wherever it was born.
 */
export const refusalsToFind = (appends: readonly AppendKey[], states: ReadonlyMap<bigint, LogState>, cell: number): AppendKey[] =>
  appends.flatMap(({ log, author, clientEntryId }) => {
    const state = states.get(log);
    if (!state || !hadOtherOwner(state, cell)) return [];
    return [{ log: author, author, clientEntryId: refusalId({ log }, clientEntryId) }];
  });
