// What a replica believes about who owns a log (R16, R24). An epoch begins by the word of whoever may say so: the owner
// before (its handover entry, or its list), the owner itself after a restore, or the directory's signature. What is held
// above the point up to which two lists agree was given up: it becomes orphans, and those of this cell's own people are
// offered to the new owner as intake, before anything that was sent after them.
import { sameHash } from '@weft/proto/chain.ts';
import { Handover, Takeover } from '@weft/proto/gen/weft/client/v1/client.ts';
import { type EpochStart, epochParts, laterEpoch } from '@weft/proto/positions.ts';
import { selfEntryWriter } from './decide-append.ts';
import { type Entry, isContent, isEmptying, kinds } from './entry.ts';
import { agreedUpTo, isBySigned, ownedUpTo, partedAt } from './epochs.ts';
import { type LogState, ownerOf, streamOf } from './log-state.ts';
import type { ApplyOperation, Outcome, Snapshot } from './operations.ts';
import type { IntakeRow, LogRow } from './ports.ts';
import type { WorkingSet } from './working-set.ts';

/** The cell whose word on the log's ownership counts: the owner as known here, or who took over since, by the directory. */
export function speakerOf(epoch: bigint, signed: { readonly epoch: bigint; readonly owner: number } | undefined): number {
  return signed && signed.epoch > epoch ? signed.owner : ownerOf({ epoch });
}

/** Whether the list that came along proves that its sender speaks for the log. */
function isProven({ src, log, epochs }: ApplyOperation, row: LogRow, work: WorkingSet): boolean {
  const signed = work.context.takeover(log);
  if (speakerOf(row.epoch, signed) !== src) return false;
  return ownerOf(row) === src || (signed !== undefined && (epochs?.some(({ epoch }) => isBySigned(epoch, signed.epoch)) ?? false));
}

/** Whether the sender may tell entries of this log, and if not, why. Each entry's epoch is looked at by itself. */
export function maySend(operation: ApplyOperation, row: LogRow, work: WorkingSet): 'yes' | 'newer' | 'stale' | 'no' {
  const state = work.state(operation.log) as LogState;
  const { cell } = work.context;
  if (operation.tail) return mayGiveBack(operation, row, work) ? 'yes' : 'no';
  const newest = operation.entries.reduce((most, { epoch }) => laterEpoch(most, epoch), 0n);
  if (newest > row.epoch) {
    if (begins(operation, row, work)) return 'yes';
    if (ownerOf({ epoch: newest }) === operation.src) return isProven(operation, row, work) ? 'yes' : 'newer';
  }
  if (ownerOf(state) === operation.src && operation.src !== cell) return 'yes';
  if (operation.epochs && isProven(operation, row, work)) return 'yes';
  // A former owner's last frames may still be under way; what it gave after its time is not taken.
  const until = ownedUpTo(state.epochs, operation.src);
  if (until === undefined) return 'no';
  return operation.entries.every((entry) => entry.seq <= until) ? 'yes' : 'stale';
}

/** A tail pulled back: by the owner that lost it, or by who is to own the log. */
function mayGiveBack(operation: ApplyOperation, row: LogRow, work: WorkingSet): boolean {
  return (ownerOf(row) === work.context.cell && row.status === 'stopped') || leadsHere(row.epoch + 1n, operation, work);
}

const begins = (operation: ApplyOperation, row: LogRow, work: WorkingSet): boolean =>
  operation.entries.some((entry) => entry.kind === kinds.takeover && mayTakeOver(entry, operation, row, work));

/** Whether this first entry of an epoch continues the epoch known here, by the word of whoever may say so. */
export function mayTakeOver(entry: Entry, operation: ApplyOperation, row: LogRow, work: WorkingSet): boolean {
  if (entry.epoch <= row.epoch || entry.seq !== row.head + 1) return false;
  if (Takeover.decode(entry.body).after !== row.epoch) return false;
  const owner = epochParts(entry.epoch).cell;
  // A tail may go on in an epoch that this cell itself began after an earlier restore, and has forgotten.
  const teller = operation.tail ? work.context.cell : operation.src;
  const isOwn = owner === ownerOf(row) && owner === teller;
  const signed = work.context.takeover(operation.log);
  const isSigned = owner === teller && signed !== undefined && isBySigned(entry.epoch, signed.epoch);
  return (
    isOwn ||
    isSigned ||
    isListed(entry, operation, row, work) ||
    (leadsHere(entry.epoch, operation, work) && begunBy(entry, operation.told))
  );
}

/** A tail may go on through epochs of others, which this cell has forgotten, to one of its own: at `from`, or later. */
export function leadsHere(from: bigint, { log, tail, told }: ApplyOperation, work: WorkingSet): boolean {
  const { cell, takeover } = work.context;
  const signed = takeover(log);
  if (!tail || !told) return false;
  return told.some(({ epoch }) => epoch >= from && ownerOf({ epoch }) === cell) || (signed?.owner === cell && signed.epoch >= from);
}

const begunBy = (entry: Entry, epochs: readonly EpochStart[] | undefined): boolean =>
  epochs?.some(({ epoch, base }) => epoch === entry.epoch && base === entry.seq - 1) ?? false;

const isListed = (entry: Entry, operation: ApplyOperation, row: LogRow, work: WorkingSet): boolean =>
  isProven(operation, row, work) && begunBy(entry, operation.epochs);

/** Takes the list that came along, where it is a newer one. */
export const adopt = (operation: ApplyOperation, row: LogRow, work: WorkingSet): Outcome | undefined =>
  operation.tail ? adoptTold(operation, row, work) : adoptEpochs(operation, row, work);

/** A newer list. Where entries are held that it gives up, the state at that point must have come with it. */
function adoptEpochs(operation: ApplyOperation, row: LogRow, work: WorkingSet): Outcome | undefined {
  const { epochs, snapshot, log } = operation;
  const before = work.state(log);
  const newest = epochs?.at(-1);
  if (!epochs || !newest || !before || newest.epoch <= row.epoch || row.status === 'frozen') return undefined;
  if (!isProven(operation, row, work)) return { type: 'rejected', why: 'unproven' };
  const agreed = agreedUpTo(before.epochs, epochs);
  if (row.head <= agreed) {
    // Who owns it is known before the entries that tell it; but only who holds them owns.
    if (ownerOf(newest) !== work.context.cell) learnOwner({ ...before, epochs, epoch: newest.epoch }, row, work);
    return undefined;
  }
  // Less than that is cut where not all of it is kept here.
  const cut = Math.min(operation.cut ?? agreed, agreed);
  const known = heldEpochs(epochs, { cell: work.context.cell, head: cut });
  if ((known.at(-1) as EpochStart).epoch <= row.epoch) return { type: 'applied', head: row.head, behind: true };
  const states = snapshot ? [before, snapshot.state] : [before];
  if (operation.cut !== cut || !isLocked(states, work) || work.hasWritten(log)) return { type: 'applied', head: row.head, behind: true };
  giveUp({ before, snapshot: snapshot ?? withoutUs(before, cut, work), epochs: known, cut, begins: operation.begins }, row, work);
  if (ownerOf(row) !== work.context.cell) return undefined;
  // It is one of its own, of a life that was lost: what was given in it comes as tails.
  row.status = 'stopped';
  return { type: 'applied', head: row.head, behind: false };
}

/** Where a restored store holds what an earlier restore, or a takeover since, gave up, the tail begins below it. */
function adoptTold(operation: ApplyOperation, row: LogRow, work: WorkingSet): Outcome | undefined {
  const { told, cut, snapshot, log } = operation;
  const before = work.state(log);
  if (!told || cut === undefined || !snapshot || !before || row.status === 'frozen') return undefined;
  const first = operation.entries[0];
  const follows = first?.kind === kinds.takeover ? Takeover.decode(first.body).after : 0n;
  // It may follow one that began right there, and gave nothing that stands.
  const epochs = before.epochs.filter(({ epoch, base }, at) => at === 0 || base < cut || (base === cut && epoch === follows));
  const isAsTold = cut === partedAt({ epochs: before.epochs, head: row.head }, told) && leadsHere(row.epoch + 1n, operation, work);
  // The epoch of a log never falls: what is given up is given up for a newer one, which begins right there or in this run.
  const isNewer = operation.entries.some(({ epoch }) => epoch > row.epoch);
  const goesOn = first !== undefined && isNewer && continues(first, { epochs, at: snapshot }) && begunBy(first, told);
  if (!isAsTold || !goesOn || !isLocked([before, snapshot.state], work) || work.hasWritten(log))
    return { type: 'applied', head: row.head, behind: true };
  giveUp({ before, snapshot, epochs, cut, begins: undefined }, row, work);
  if (ownerOf(row) === work.context.cell) row.status = 'stopped';
  return undefined;
}

/** Whether this entry begins an epoch right after the last of these, at the snapshot's place. */
const continues = (entry: Entry, { epochs, at }: { readonly epochs: readonly EpochStart[]; readonly at: Snapshot }): boolean =>
  entry.kind === kinds.takeover &&
  entry.seq === at.start + 1 &&
  Takeover.decode(entry.body).after === epochs.at(-1)?.epoch &&
  entry.prev !== undefined &&
  sameHash(entry.prev, at.hash);

/** Whether all users of this cell whose membership may change are locked. */
const isLocked = (states: readonly LogState[], work: WorkingSet): boolean =>
  states.every(({ members }) => [...members].every(([user, { home }]) => home !== work.context.cell || work.row(user) !== undefined));

/** The list without what makes this cell the owner before it holds all that was given before (R23): its entries will tell. */
export function heldEpochs(epochs: readonly EpochStart[], { cell, head }: { cell: number; head: number }): readonly EpochStart[] {
  const last = epochs.findLastIndex((start) => ownerOf(start) !== cell || start.base <= head);
  return epochs.slice(0, Math.max(last, 0) + 1);
}

/** The log that goes on has nobody here: whoever joined did so in what was given up. */
function withoutUs(before: LogState, cut: number, work: WorkingSet): Snapshot {
  const members = new Map([...before.members].filter(([, { home }]) => home !== work.context.cell));
  const cells = new Map(before.cells).set(work.context.cell, { from: 1, until: cut });
  const row = work.row(before.log) as LogRow;
  return {
    state: { ...before, version: before.version + 1, members, cells },
    start: cut,
    ts: row.ts,
    ord: row.ord,
    hash: row.hash,
    floor: 0,
  };
}

function learnOwner(after: LogState, row: LogRow, work: WorkingSet): void {
  isAnothers(row);
  work.changeState(after);
  work.readdress(streamOf(after), ownerOf(after), []);
}

interface GivenUp {
  readonly before: LogState;
  readonly snapshot: Snapshot;
  readonly epochs: readonly EpochStart[];
  readonly cut: number;
  readonly begins: number | undefined;
}

function giveUp({ before, snapshot, epochs, cut, begins }: GivenUp, row: LogRow, work: WorkingSet): void {
  const { log } = before;
  const { start, state } = snapshot;
  const newest = epochs.at(-1) as EpochStart;
  const after: LogState = { ...state, epochs, epoch: newest.epoch };
  const offered = work.facts.above(log).flatMap((entry) => offerOf(entry, after, work));
  row.status = 'open';
  work.truncate(after, snapshot, { cut, begins });
  work.readdress(streamOf(after), ownerOf(after), offered);
  work.recordMembership(before, after, start, selfEntryWriter(work, after));
  beginAsBefore(before, after, work);
}

/** Who left and came back in what was given up has been a member all the time, and reads on from where that began. */
function beginAsBefore(before: LogState, { log, members }: LogState, work: WorkingSet): void {
  for (const [user, { home, from }] of members) {
    const wasFrom = before.members.get(user)?.from;
    if (home === work.context.cell && wasFrom !== undefined && wasFrom !== from && work.row(user))
      work.addUserLog({ user, log, from, until: 0 });
  }
}

/** The author's home vouches for it, so it is intake like any other: the owner appends it unless it knows the id. */
function offerOf(entry: Entry, after: LogState, work: WorkingSet): Omit<IntakeRow, 'n'>[] {
  const { author, clientEntryId, kind, body } = entry;
  const isOffered = isContent(kind) || isEmptying(kind) || kind === kinds.membersAdded || kind === kinds.membersRemoved;
  if (!isOffered || author === 0n || work.context.homeOf(author) !== work.context.cell) return [];
  const createdMs = work.context.nowMs;
  return [{ stream: streamOf(after), log: after.log, dst: ownerOf(after), author, clientEntryId, kind, body, createdMs }];
}

/** What this cell was to settle before it gave seqs is not its to settle any more. */
function isAnothers(row: LogRow): void {
  if (row.status === 'intake' || row.status === 'stopped') row.status = 'open';
}

/** An entry that moved the ownership was stored: intake is addressed anew, and who owns now gets ready to. */
export function moveOwner(entry: Entry, before: LogState, work: WorkingSet): void {
  const state = work.state(entry.log) as LogState;
  const row = work.row(entry.log) as LogRow;
  if (state.epoch === before.epoch || state.kind === 'self') return;
  const { cell, generation } = work.context;
  const owner = epochParts(state.epoch);
  work.readdress(streamOf(state), owner.cell, []);
  if (owner.cell !== cell) return isAnothers(row);
  row.status = owner.generation === generation ? 'intake' : 'stopped';
  if (entry.kind !== kinds.handover) return;
  for (const { cell: from, generation: life, n } of Handover.decode(entry.body).decided) {
    const key = { stream: streamOf(state), cell: from, generation: Number(life) };
    if (Number(n) > work.decidedSoFar(key)) work.setDecided(key, Number(n));
  }
}
