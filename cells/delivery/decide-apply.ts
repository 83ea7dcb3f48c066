// A run of entries from the log's owner at a cell that keeps a replica (R16). A replica is one unbroken run: what
// continues it is stored, what lies beyond is only noted, to be pulled.
import { chainStart, sameHash } from '@weft/proto/chain.ts';
import { birthCell } from '@weft/proto/ids.ts';
import { type EpochStart, epochAt, epochParts } from '@weft/proto/positions.ts';
import { selfEntryWriter } from './decide-append.ts';
import { adopt, heldEpochs, leadsHere, maySend, mayTakeOver, moveOwner } from './decide-epochs.ts';
import { targetFor } from './emptying.ts';
import { type Entry, isState, kinds, sameHeader } from './entry.ts';
import { type LogState, ownerOf, stateAfter, stateAfterCreation, streamOf } from './log-state.ts';
import type { ApplyOperation, Outcome } from './operations.ts';
import { unreadable } from './poison.ts';
import type { BehindRow, LogRow } from './ports.ts';
import type { WorkingSet } from './working-set.ts';

export function decideApply(arrived: ApplyOperation, work: WorkingSet): Outcome {
  const operation = inOrder(arrived);
  const highest = operation.entries.at(-1);
  let row = work.row(operation.log);
  const epochBefore = row?.epoch;
  if (!row || row.status === 'opening') {
    const opened = openReplica(operation, work);
    if (opened) return opened;
    row = work.row(operation.log);
  } else {
    const refused = adopt(operation, row, work);
    if (refused) return refused;
    reopenReplica(operation, row, work);
  }
  const state = work.state(operation.log);
  if (!row || !state) return { type: 'rejected', why: 'unusable' };
  // Before anything of it is looked at: a stranger's entry must not even look like a fork.
  const may = maySend(operation, row, work);
  if (may !== 'yes') return whyNot(may, operation, work, state);
  const headBefore = row.head;
  for (const entry of operation.entries) {
    const wrong = applyOne(entry, operation, row, work);
    if (wrong) return wrong;
    if (entry.seq <= row.head) closeIntake(entry, work);
  }
  const { log, head } = row;
  const isBehind = highest !== undefined && highest.seq > head;
  if (isBehind) work.behind.push(behindOf(highest, operation.src));
  // A page without entries says that there is no more.
  else if (row.epoch !== epochBefore || head > headBefore || operation.snapshot || !highest)
    work.caughtUp({ log, epoch: epochAt((work.state(log) as LogState).epochs, head + 1), head });
  return { type: 'applied', head, behind: isBehind };
}

const behindOf = ({ log, epoch, seq }: Entry, src: number): BehindRow => ({ log, epoch, known: seq, src });

function whyNot(may: 'newer' | 'stale' | 'no', operation: ApplyOperation, work: WorkingSet, state: LogState): Outcome {
  if (may === 'no') return { type: 'rejected', why: 'not-owner' };
  if (may === 'newer') return laterEpoch(operation, work);
  work.tellStale(operation.src, state);
  return { type: 'stale' };
}

/** An epoch nobody told this cell of: its list is pulled first (R24). */
function laterEpoch(operation: ApplyOperation, work: WorkingSet): Outcome {
  const newest = operation.entries.reduce((most, entry) => (entry.epoch >= most.epoch ? entry : most));
  work.behind.push(behindOf(newest, operation.src));
  return { type: 'applied', head: work.row(operation.log)?.head ?? 0, behind: true };
}

/** A frame names what was asked for again behind what is new. */
function inOrder(operation: ApplyOperation): ApplyOperation {
  const { entries } = operation;
  if (entries.every((entry, i) => i === 0 || entry.seq > (entries[i - 1] as Entry).seq)) return operation;
  return { ...operation, entries: entries.toSorted((a, b) => a.seq - b.seq) };
}

/** First sight of a log: its first entry or a pulled snapshot opens it; anything else makes a row to be pulled (R18). */
function openReplica(operation: ApplyOperation, work: WorkingSet): Outcome | undefined {
  const { snapshot, poisoned } = operation;
  const first = operation.entries[0];
  // Nothing is known of the log, so there is nothing to freeze.
  if (poisoned && first && isState(first.kind)) return { type: 'rejected', why: 'unusable' };
  if (snapshot) {
    // Entries that follow tell of later owners; who answers the pull is the newest of them.
    const state = operation.epochs ? withEpochs(snapshot.state, operation) : snapshot.state;
    if (ownerOf(state) !== operation.src) return { type: 'rejected', why: 'not-owner' };
    const { epoch, version } = state;
    work.create(
      { log: operation.log, epoch, head: snapshot.start, ts: snapshot.ts, ord: snapshot.ord, hash: snapshot.hash, version, status: 'open' },
      state,
      snapshot.start,
    );
    opened(state, work);
    return undefined;
  }
  if (first?.seq !== 1) {
    if (first) work.behind.push(behindOf(operation.entries.at(-1) ?? first, operation.src));
    return { type: 'applied', head: 0, behind: true };
  }
  return openFromFirst(first, operation, work);
}

function openFromFirst(first: Entry, operation: ApplyOperation, work: WorkingSet): Outcome | undefined {
  const made = stateAfterCreation(first);
  const born = epochParts(first.epoch);
  const { cell } = work.context;
  // Whoever is to own it learns so from the entries, as it gets them: who handed it over tells them.
  const epochs = operation.epochs && heldEpochs(operation.epochs, { cell, head: 0 });
  const newest = epochs?.at(-1);
  const isListed = newest !== undefined && ownerOf(newest) !== cell;
  const isOwn = operation.tail && (born.cell === cell || leadsHere(first.epoch, operation, work));
  const isTold = isListed ? ownerOf(newest) === operation.src : operation.tail ? isOwn : born.cell === operation.src;
  const isBorn = born.count !== 1 || birthCell(operation.log) === born.cell;
  if (!made || !isTold || !isBorn) return { type: 'rejected', why: 'not-owner' };
  const state = isListed ? withEpochs(made, { epochs }) : made;
  const status = operation.tail && born.cell === cell ? 'stopped' : 'open';
  work.create({ log: operation.log, epoch: state.epoch, head: 0, ts: 0, ord: 0, hash: chainStart, version: 1, status }, state, 0);
  opened(state, work);
  return undefined;
}

function withEpochs(state: LogState, { epochs }: { readonly epochs?: readonly EpochStart[] | undefined }): LogState {
  return { ...state, epochs: epochs ?? state.epochs, epoch: epochs?.at(-1)?.epoch ?? state.epoch };
}

/** A conversation that waited for its pair's birthplace may be owned by another cell by now. */
function opened(state: LogState, work: WorkingSet): void {
  if (state.kind !== 'direct') return;
  const pair = { low: state.low, high: state.high };
  work.addPair(pair, state.log);
  if (ownerOf(state) !== work.context.birthplace(pair) && ownerOf(state) !== work.context.cell)
    work.readdress(streamOf(state), ownerOf(state), []);
}

/**
 * The snapshot begins beyond what continues the run here: this cell had no member meanwhile, and begins anew where it got
 * one again (R18). Whoever was a member here when the run broke off has left in between.
 */
function reopenReplica(operation: ApplyOperation, row: LogRow, work: WorkingSet): void {
  const { snapshot, log } = operation;
  const before = work.state(log);
  if (!snapshot || !before || snapshot.start <= row.head || row.status === 'frozen') return;
  if (maySend({ ...operation, entries: [] }, row, work) !== 'yes') return;
  const own = [...before.members].filter(([, member]) => member.home === work.context.cell);
  // Their self logs get an entry each: who joined since the pull was asked for is not locked, so it is pulled again.
  if (own.some(([user]) => !work.row(user))) return;
  const { start } = snapshot;
  const epochs = operation.epochs && heldEpochs(operation.epochs, { cell: work.context.cell, head: start });
  const after = epochs
    ? withEpochs(snapshot.state, { ...operation, epochs })
    : { ...snapshot.state, epochs: before.epochs, epoch: before.epoch };
  work.reopen(after, snapshot);
  if (ownerOf(after) !== ownerOf(before)) work.readdress(streamOf(after), ownerOf(after), []);
  work.recordMembership(before, after, start, selfEntryWriter(work, after));
}

/** Undefined when the entry was stored, was known, or lies beyond the run. */
function applyOne(entry: Entry, operation: ApplyOperation, row: LogRow, work: WorkingSet): Outcome | undefined {
  const state = work.state(operation.log) as LogState;
  const wrong = wrongEpoch(entry, operation, row, work);
  if (wrong) return wrong;
  if (entry.seq <= row.head) return compareBelow(entry, row, work);
  if (row.status === 'frozen' || entry.seq !== row.head + 1 || isGivenByLostLife(entry, operation, work)) return undefined;
  // Its sender could not prove it: it will be pulled again.
  if (!entry.prev) return { type: 'rejected', why: 'unusable' };
  if (!sameHash(entry.prev, row.hash)) return forked(row, work);
  const poisoned = operation.poisoned === true;
  const after = isState(entry.kind) ? (poisoned ? undefined : entry.kind === kinds.created ? state : stateAfter(state, entry)) : state;
  if (!after) {
    row.status = 'frozen';
    work.touch(row.log);
    return { type: 'rejected', why: 'unusable' };
  }
  const target = targetFor(work, entry);
  work.push(poisoned ? unreadable(entry, work.context.chain) : entry);
  if (target) work.empty(target);
  if (entry.kind === kinds.created) work.recordMembership(undefined, state, entry.seq, selfEntryWriter(work, state));
  else if (after !== state) {
    work.changeState(after);
    work.recordMembership(state, after, entry.seq, selfEntryWriter(work, after));
    moveOwner(entry, state, work);
  }
  return undefined;
}

/**
 * A frame of before its sender was restored, which hands the log over: the sender may have asked what is held here already, and have
 * gone on without it. It is pulled, so that who owns the log now says whether it counts (R25).
 */
function isGivenByLostLife({ kind, epoch }: Entry, { src, tail, epochs }: ApplyOperation, work: WorkingSet): boolean {
  if (kind !== kinds.handover || tail || epochs) return false;
  const { cell, generation } = epochParts(epoch);
  return cell === src && generation < work.context.generationOf(cell);
}

/** An entry at or below the head: known, another one, or of a time when this cell was out of the log. */
function compareBelow(entry: Entry, row: LogRow, work: WorkingSet): Outcome | undefined {
  const stored = work.storedAt(entry.log, entry.seq);
  // Decided while this cell was out of the log, and sent again for that: the answer has to be found here ever after.
  if (!stored && entry.author !== 0n && work.context.homeOf(entry.author) === work.context.cell) work.keepBelow(entry);
  return !stored || sameHeader(stored, entry) ? undefined : forked(row, work);
}

/** Each entry is of the epoch that gave its seq, or begins the next one by the word of whoever may say so. */
function wrongEpoch(entry: Entry, operation: ApplyOperation, row: LogRow, work: WorkingSet): Outcome | undefined {
  if (entry.kind === kinds.takeover && mayTakeOver(entry, operation, row, work)) return undefined;
  const state = work.state(operation.log) as LogState;
  if (entry.epoch > state.epoch) return laterEpoch(operation, work);
  return entry.epoch === epochAt(state.epochs, entry.seq) ? undefined : whyNot('stale', operation, work, state);
}

/** What the owner says now and what is kept here are two histories: people must look (R16). */
function forked(row: LogRow, work: WorkingSet): Outcome {
  row.status = 'frozen';
  work.touch(row.log);
  return { type: 'rejected', why: 'fork' };
}

/** The entry is the owner's answer to the intake it came from (R12). */
function closeIntake(entry: Entry, work: WorkingSet): void {
  if (entry.author === 0n || work.context.homeOf(entry.author) !== work.context.cell) return;
  const { author, clientEntryId } = entry;
  work.close({ stream: streamOf(work.state(entry.log) as LogState), author, clientEntryId, refused: false });
}
