// Who owns a log (R2, R23, R25): giving it away, beginning an epoch, and the way from there to giving seqs to everybody.
import { Handover, Takeover } from '@weft/proto/gen/weft/client/v1/client.ts';
import { epochParts } from '@weft/proto/positions.ts';
import { causedEntryId, type Entry, isContent, kinds } from './entry.ts';
import { nextEpoch, nextOwnEpoch } from './epochs.ts';
import { type LogState, ownerOf, stateAfter, streamOf } from './log-state.ts';
import type { BeginOperation, HandoverOperation, Outcome, OwnerOperation, SettleOperation, StopOperation } from './operations.ts';
import type { LogRow } from './ports.ts';
import type { DecideContext, WorkingSet } from './working-set.ts';

export function decideOwner(operation: OwnerOperation, work: WorkingSet): Outcome {
  const row = work.row(operation.log);
  const state = work.state(operation.log);
  if (!row || !state) return { type: 'fault', code: 'unknown_log' };
  switch (operation.type) {
    case 'handover':
      return decideHandover(operation, work, row, state);
    case 'begin':
      return decideBegin(operation, work, row, state);
    case 'settle':
      return decideSettle(operation, work, row, state);
    case 'stop':
      return decideStop(operation, work, row, state);
  }
}

/** Whether this cell gives this log its seqs now: it owns the epoch, and its store is the one the epoch began in. */
export function givesSeqs(row: LogRow, { cell, generation }: DecideContext): boolean {
  const owner = epochParts(row.epoch);
  return owner.cell === cell && owner.generation === generation && row.status !== 'stopped';
}

/** The last entry of this ownership; all that was decided goes along, so that nothing is decided twice. */
function decideHandover(operation: HandoverOperation, work: WorkingSet, row: LogRow, state: LogState): Outcome {
  const { to, toGeneration } = operation;
  const { cell } = work.context;
  if (ownerOf(state) === to) return { type: 'settled' };
  if (ownerOf(state) !== cell) return { type: 'fault', code: 'stale_epoch', text: `cell ${ownerOf(state)} owns it` };
  if (!givesSeqs(row, work.context) || row.status !== 'open') return { type: 'fault', code: 'busy', afterMs: 1_000 };
  // By the directory's word it is another's to give, which may not have come as an entry yet.
  const signed = work.context.takeover(operation.log);
  if (signed && signed.epoch > row.epoch) return { type: 'fault', code: 'stale_epoch', text: `cell ${signed.owner} takes it over` };
  const interval = state.cells.get(to);
  const keepsAll = interval !== undefined && interval.from === 1 && interval.until === 0;
  if (!keepsAll || state.kind === 'self') return { type: 'fault', code: 'not_allowed', text: 'that cell does not keep all of the log' };
  const epoch = nextEpoch(row.epoch, to, toGeneration);
  const decided = work
    .allDecided(streamOf(state))
    .map(({ key, n }) => ({ cell: key.cell, generation: BigInt(key.generation), n: BigInt(n) }));
  const body = Handover.encode({ epoch, decided }).finish();
  const entry = cellEntry(work, row, { epoch: row.epoch, kind: kinds.handover, body });
  const after = stateAfter(state, entry);
  if (!after) return { type: 'fault', code: 'internal' };
  work.push(entry);
  work.changeState(after);
  return { type: 'accepted', entry, fresh: true };
}

/** Everything that could be had was pulled: what is found is what there is. */
function decideBegin(operation: BeginOperation, work: WorkingSet, row: LogRow, state: LogState): Outcome {
  const { cell, generation, takeover } = work.context;
  if (row.status === 'frozen') return { type: 'fault', code: 'log_frozen' };
  const signed = takeover(operation.log);
  if (signed && signed.epoch > row.epoch) {
    if (signed.owner !== cell) return { type: 'fault', code: 'stale_epoch' };
    // Of an epoch signed for a life of the store that was lost nobody holds anything: else it would be here by now.
    const isThisLife = epochParts(signed.epoch).generation === generation;
    beginEpoch(work, row, state, isThisLife ? signed.epoch : nextOwnEpoch(signed.epoch, generation));
  } else if (ownerOf(state) === cell && row.status === 'stopped') beginEpoch(work, row, state, nextOwnEpoch(row.epoch, generation));
  else return { type: 'settled' };
  const after = work.state(operation.log) as LogState;
  for (const keeper of operation.keepers ?? []) if (after.cells.get(keeper)?.until !== 0) work.tellStale(keeper, after);
  return { type: 'applied', head: row.head, behind: false };
}

/** Own people's intake that waits is decided before what they send from now on. */
export function beginEpoch(work: WorkingSet, row: LogRow, state: LogState, epoch: bigint): void {
  const entry = cellEntry(work, row, { epoch, kind: kinds.takeover, body: Takeover.encode({ after: row.epoch }).finish() });
  const after = stateAfter(state, entry) as LogState;
  work.push(entry);
  row.status = state.kind === 'self' ? 'open' : 'intake';
  work.changeState(after);
  if (state.kind !== 'self') work.readdress(streamOf(state), work.context.cell, []);
}

function decideSettle({ log }: SettleOperation, work: WorkingSet, row: LogRow, state: LogState): Outcome {
  if (row.status !== 'intake' || !givesSeqs(row, work.context)) return { type: 'settled' };
  if (work.hasOpenIntake(streamOf(state)) && !decideWaiting(work, row, state)) return { type: 'early' };
  row.status = 'open';
  work.touch(log);
  return { type: 'settled' };
}

/**
 * What waits is decided here, once it is little: else people who go on talking would keep the log from ever being settled.
 * False where it is too much, or something needs more than its place; then it goes the way of all intake first.
 */
function decideWaiting(work: WorkingSet, row: LogRow, state: LogState): boolean {
  const stream = streamOf(state);
  const waiting = work.facts.ownIntake(stream);
  const { cell, generation } = work.context;
  // What the owner before has decided, and is no entry, it refused: its answer is on its way (R10).
  const decided = work.decidedSoFar({ stream, cell, generation });
  const isPlain = waiting.every(({ n, author, kind }) => n > decided && isContent(kind) && state.members.has(author));
  if (work.hasDecided(stream) || waiting.length > settledAtOnceMax || !isPlain) return false;
  for (const { author, clientEntryId, kind, body } of waiting) {
    work.push({
      log: row.log,
      epoch: row.epoch,
      seq: row.head + 1,
      ts: Math.max(work.context.nowMs, row.ts),
      author,
      clientEntryId,
      ord: row.ord + 1,
      kind,
      flags: 0,
      body,
      prev: row.hash,
    });
    work.close({ stream, author, clientEntryId, refused: false });
  }
  const last = waiting.at(-1);
  if (last) work.setDecided({ stream, cell, generation }, last.n);
  return true;
}

/** A frame's worth: what one transaction takes anyway. */
export const settledAtOnceMax = 256;

function decideStop({ log, epoch, head }: StopOperation, work: WorkingSet, row: LogRow, state: LogState): Outcome {
  const isAhead = epoch === row.epoch && head > row.head;
  if (!isAhead || ownerOf(state) !== work.context.cell || row.status === 'frozen') return { type: 'settled' };
  row.status = 'stopped';
  work.touch(log);
  return { type: 'settled' };
}

/** An entry that no person wrote. */
const cellEntry = (work: WorkingSet, row: LogRow, what: { epoch: bigint; kind: number; body: Uint8Array }): Entry => ({
  log: row.log,
  seq: row.head + 1,
  ts: Math.max(work.context.nowMs, row.ts),
  author: 0n,
  clientEntryId: causedEntryId(row.log, row.head + 1),
  ord: row.ord,
  flags: 0,
  prev: row.hash,
  ...what,
});
