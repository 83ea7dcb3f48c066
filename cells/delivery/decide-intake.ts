// Pending appends of other cells at the owner (R10, R11), and the owner's refusals at home (R12).

import { faults } from '@weft/proto/faults.ts';
import { Envelope } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { birthCell } from '@weft/proto/ids.ts';
import { appendHere, createHere, writeSelfEntry } from './decide-append.ts';
import { givesSeqs } from './decide-owner.ts';
import { type Entry, kinds } from './entry.ts';
import { ownedUpTo, wasHandedOver } from './epochs.ts';
import { isWithin, type LogState, ownerOf, type Stream, streamKey, streamOf, streamOfPair } from './log-state.ts';
import type { IntakeOperation, Operation, Outcome, RefusedOperation } from './operations.ts';
import type { LogRow } from './ports.ts';
import { refusalId, refusedBody } from './self-entries.ts';
import type { WorkingSet } from './working-set.ts';

/** `overtaken`: see below. */
export function decideIntake(operation: IntakeOperation, work: WorkingSet, overtaken: ReadonlySet<IntakeOperation>): Outcome {
  if (work.context.homeOf(operation.author) !== operation.src) return { type: 'rejected', why: 'foreign-author' };
  const log = 'log' in operation.target ? operation.target.log : work.pairLog(operation.target.pair);
  const state = log === undefined ? undefined : work.state(log);
  const notNow = state && whyNotNow(operation, work, state);
  if (notNow) return notNow;
  const stream = streamFor(operation, work, state);
  if (!stream) return decideForgotten(operation, work);
  if (streamKey(stream) !== streamKey(operation.stream)) return { type: 'rejected', why: 'not-owner' };
  // Until the tails are back nothing is decided (R25): it comes again.
  if (log !== undefined && !givesSeqs(work.row(log) as LogRow, work.context)) return { type: 'early' };
  const key = { stream, cell: operation.src, generation: operation.generation };
  const decided = Math.max(work.decided(key), operation.lowestOpen - 1);
  if (operation.n <= decided) return answerAgain(operation, work, log);
  if (operation.n > decided + 1) return { type: 'early' };
  const outcome = decideFresh(operation, work, { log, isOvertaken: overtaken.has(operation) });
  if (outcome.type === 'fault') {
    // A fault that may pass decides nothing: the number stays open and comes again. So does one whose refusal cannot be kept.
    if (faults[outcome.code].retry !== 'never' || !work.context.hasOutboxRoom(operation.src)) return { type: 'early' };
    refuse(operation, work, { log, code: outcome.code, text: outcome.text ?? '' });
  }
  if (outcome.type === 'accepted') answer(operation, work, outcome);
  work.setDecided(key, operation.n);
  return { type: 'decided' };
}

/**
 * Operations behind which the same cell sends what their authors wrote later, and that has its place in the log already: a stream is
 * decided in its order, so the owner before a takeover has decided them, and refused them. To take them now would put them behind (R8).
 */
export function overtakenIn(operations: readonly Operation[], work: WorkingSet): ReadonlySet<IntakeOperation> {
  const intake = operations.filter((each) => each.type === 'intake');
  const overtaken = new Set<IntakeOperation>();
  if (intake.length < 2) return overtaken;
  const placed = intake.filter(({ target, author, clientEntryId }) => {
    const log = 'log' in target ? target.log : work.pairLog(target.pair);
    return log !== undefined && work.known({ log, author, clientEntryId }) !== undefined;
  });
  for (const later of placed) for (const each of intake) if (isBefore(each, later)) overtaken.add(each);
  return overtaken;
}

const isBefore = (one: IntakeOperation, later: IntakeOperation): boolean =>
  one.author === later.author &&
  one.n < later.n &&
  one.clientEntryId < later.clientEntryId &&
  one.src === later.src &&
  streamKey(one.stream) === streamKey(later.stream);

/** Another cell decides, or this one and the sender know different epochs. */
function whyNotNow(operation: IntakeOperation, work: WorkingSet, state: LogState): Outcome | undefined {
  if (ownerOf(state) !== work.context.cell) return tellMoved(operation, work, state);
  if (isParted(operation, state)) {
    work.tellStale(operation.src, state);
    return { type: 'stale' };
  }
  // Of an epoch this cell has not heard of: what was given meanwhile is on its way, and comes before it.
  return (operation.epoch ?? 0n) > state.epoch ? { type: 'early' } : undefined;
}

/**
 * Its sender follows an epoch that was given up, or that may have gone further than where the next one begins. What it holds of that
 * is offered here first, and keeps its place before what was sent after it (R24): the sender learns of the epoch in force, and
 * numbers anew.
 */
const isParted = ({ epoch = 0n }: IntakeOperation, { epoch: inForce, epochs }: LogState): boolean =>
  epoch !== 0n && epoch < inForce && !wasHandedOver(epochs, epoch);

/** A log of this cell that a restore lost, and whose beginning nobody else holds: final once everybody has given back what there is. */
function decideForgotten(operation: IntakeOperation, work: WorkingSet): Outcome {
  const isOurs = 'log' in operation.target && birthCell(operation.target.log) === work.context.cell;
  if (!isOurs) return { type: 'rejected', why: 'not-owner' };
  if (!work.context.isWhole() || !work.context.hasOutboxRoom(operation.src)) return { type: 'early' };
  refuse(operation, work, { log: operation.stream.a, code: 'unknown_log', text: faults.unknown_log.text });
  return { type: 'decided' };
}

/** Another cell decides: the sender addresses it anew, nothing is forwarded (R11). */
function tellMoved(operation: IntakeOperation, work: WorkingSet, state: LogState): Outcome {
  if (operation.src !== work.context.cell) work.tellMoved(operation.src, state);
  return { type: 'moved' };
}

/** The stream the numbers belong to; undefined when this cell does not decide for it. */
function streamFor(operation: IntakeOperation, work: WorkingSet, state: LogState | undefined): Stream | undefined {
  if ('pair' in operation.target) {
    const { pair } = operation.target;
    if (operation.author !== pair.low && operation.author !== pair.high) return undefined;
    if (!state) return work.context.birthplace(pair) === work.context.cell ? streamOfPair(pair) : undefined;
  }
  return state && streamOf(state);
}

function decideFresh(
  operation: IntakeOperation,
  work: WorkingSet,
  { log, isOvertaken }: { readonly log: bigint | undefined; readonly isOvertaken: boolean },
): Outcome {
  if (operation.poisoned) return { type: 'fault', code: 'bad_request', text: 'it cannot be handled' };
  if (operation.kind === kinds.created) return { type: 'fault', code: 'bad_request' };
  if (log === undefined) return createHere(operation, work);
  const state = work.state(log);
  const row = work.row(log);
  if (!state || !row) return { type: 'fault', code: 'unknown_log' };
  const known = work.known({ log, author: operation.author, clientEntryId: operation.clientEntryId });
  if (known) return { type: 'accepted', entry: known, fresh: false };
  if (!state.members.has(operation.author)) return { type: 'fault', code: 'not_a_member' };
  if (isOvertaken) return { type: 'fault', code: 'not_allowed', text: 'refused before: what was sent after it has its place' };
  if (row.status === 'frozen') return { type: 'fault', code: 'log_frozen' };
  return appendHere(operation, work, row, state);
}

/** A number decided before: the stored entry is the answer, else it was refused. */
function answerAgain(operation: IntakeOperation, work: WorkingSet, log: bigint | undefined): Outcome {
  const known = log === undefined ? undefined : work.known({ log, author: operation.author, clientEntryId: operation.clientEntryId });
  if (known) answer(operation, work, { entry: known, fresh: false });
  else if (work.context.hasOutboxRoom(operation.src)) refuse(operation, work, { log, code: 'not_allowed', text: 'refused before' });
  return { type: 'decided' };
}

/** The entry itself is the answer. A fresh one travels to every cell of the log anyway. */
function answer(operation: IntakeOperation, work: WorkingSet, { entry, fresh }: { entry: Entry; fresh: boolean }): void {
  // Its own people's intake of before it owned the log.
  if (operation.src === work.context.cell) {
    const { stream, author, clientEntryId } = operation;
    return work.close({ stream, author, clientEntryId, refused: false });
  }
  const { log, seq } = entry;
  const travels = fresh && isWithin(work.state(log)?.cells.get(operation.src), seq);
  if (!travels) work.resend.push({ dst: operation.src, log, seq });
}

function refuse(operation: IntakeOperation, work: WorkingSet, why: { log: bigint | undefined; code: string; text: string }): void {
  const { log, code, text } = why;
  if (operation.src === work.context.cell) return closeRefused({ ...operation, code, text }, work);
  // The stream tells the sender which of its numbers is meant, however the append was addressed here.
  const { a, b } = operation.stream;
  const pair = b === 0n ? { low: 0n, high: 0n } : { low: a, high: b };
  const payload = Envelope.encode({
    notice: {
      $case: 'refused',
      value: {
        log: log ?? 0n,
        low: pair.low,
        high: pair.high,
        n: BigInt(operation.n),
        author: operation.author,
        clientEntryId: operation.clientEntryId,
        code,
        text,
        generation: BigInt(operation.generation),
      },
    },
  }).finish();
  work.envelopes.push({ dst: operation.src, payload });
}

/** At the author's home: the intake row goes, and the self log tells every device of the author. */
export function decideRefused(operation: RefusedOperation, work: WorkingSet): Outcome {
  if (work.context.homeOf(operation.author) !== work.context.cell) return { type: 'rejected', why: 'foreign-author' };
  const { author, stream } = operation;
  // Numbered anew since: what became of its number before says nothing of the one it has now.
  if (isOfBefore(operation, work) || work.facts.waiting(author, operation.clientEntryId, stream) !== operation.n)
    return { type: 'decided' };
  if (decidesFor(operation, work) !== operation.src) {
    // The word of an ownership that is over: the new owner answers the same, or decides anew.
    return wasOwner(operation, work) ? { type: 'decided' } : { type: 'rejected', why: 'not-owner' };
  }
  closeRefused(operation, work);
  return { type: 'decided' };
}

/** It answers a number of an earlier life of this store. */
const isOfBefore = ({ generation = 0 }: RefusedOperation, { context }: WorkingSet): boolean =>
  generation !== 0 && generation !== context.generation;

type RefusedAppend = Pick<RefusedOperation, 'author' | 'stream' | 'target' | 'clientEntryId' | 'code' | 'text'>;

function closeRefused(operation: RefusedAppend, work: WorkingSet): void {
  const { author, stream, target } = operation;
  work.close({ stream, author, clientEntryId: operation.clientEntryId, refused: true });
  const clientEntryId = refusalId(target, operation.clientEntryId);
  if (work.known({ log: author, author, clientEntryId })) return;
  const pair = 'pair' in operation.target ? operation.target.pair : undefined;
  const peer = pair ? (pair.low === operation.author ? pair.high : pair.low) : 0n;
  const body = refusedBody({
    log: 'log' in operation.target ? operation.target.log : 0n,
    clientEntryId: operation.clientEntryId,
    code: operation.code,
    text: operation.text,
    peer,
  });
  writeSelfEntry(work, author, { kind: kinds.appendRefused, clientEntryId, body });
}

function wasOwner({ target, src }: RefusedOperation, work: WorkingSet): boolean {
  const state = 'log' in target ? work.state(target.log) : undefined;
  return state !== undefined && ownedUpTo(state.epochs, src) !== undefined;
}

/** The cell whose word on this append is final: the log's owner, or the birthplace of a conversation that is not open. */
function decidesFor({ target, stream }: RefusedOperation, work: WorkingSet): number | undefined {
  const state = 'log' in target ? work.state(target.log) : undefined;
  if (state) return streamKey(streamOf(state)) === streamKey(stream) ? ownerOf(state) : undefined;
  return stream.b === 0n ? undefined : work.context.birthplace({ low: stream.a, high: stream.b });
}
