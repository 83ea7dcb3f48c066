// A run of entries from the log's owner at a cell that keeps a replica (R16). A replica is one unbroken run: what
// continues it is stored, what lies beyond is only noted, to be pulled.
import { chainStart, sameHash } from '@weft/proto/chain.ts';
import { birthCell } from '@weft/proto/ids.ts';
import { epochParts } from '@weft/proto/positions.ts';
import { selfEntryWriter } from './decide-append.ts';
import { targetFor } from './emptying.ts';
import { type Entry, isState, kinds, sameHeader } from './entry.ts';
import { type LogState, ownerOf, stateAfter, stateAfterCreation, streamOf } from './log-state.ts';
import type { ApplyOperation, Outcome } from './operations.ts';
import { unreadable } from './poison.ts';
import type { LogRow } from './ports.ts';
import type { WorkingSet } from './working-set.ts';

export function decideApply(arrived: ApplyOperation, work: WorkingSet): Outcome {
  const operation = inOrder(arrived);
  const last = operation.entries.at(-1);
  let row = work.row(operation.log);
  if (!row || row.status === 'opening') {
    const opened = openReplica(operation, work);
    if (opened) return opened;
    row = work.row(operation.log);
  } else reopenReplica(operation, row, work);
  const state = work.state(operation.log);
  if (!row || !state) return { type: 'rejected', why: 'unusable' };
  // Before anything of it is looked at: a stranger's entry must not even look like a fork.
  if (ownerOf(state) === work.context.cell || ownerOf(state) !== operation.src) return { type: 'rejected', why: 'not-owner' };
  const before = row.head;
  for (const entry of operation.entries) {
    const wrong = applyOne(entry, operation, row, work);
    if (wrong) return wrong;
    if (entry.seq <= row.head) closeIntake(entry, work);
  }
  const missing = last !== undefined && last.seq > row.head;
  if (missing) work.behind.push({ log: operation.log, known: last.seq, src: operation.src });
  else if (row.head > before || operation.snapshot) work.caughtUp(operation.log, row.head);
  return { type: 'applied', head: row.head, behind: missing };
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
    if (ownerOf(snapshot.state) !== operation.src) return { type: 'rejected', why: 'not-owner' };
    const { epoch, version } = snapshot.state;
    work.create(
      { log: operation.log, epoch, head: snapshot.start, ts: snapshot.ts, ord: snapshot.ord, hash: snapshot.hash, version, status: 'open' },
      snapshot.state,
      snapshot.start,
    );
    if (snapshot.state.kind === 'direct') work.addPair({ low: snapshot.state.low, high: snapshot.state.high }, operation.log);
    return undefined;
  }
  if (first?.seq !== 1) {
    if (first) work.behind.push({ log: operation.log, known: operation.entries.at(-1)?.seq ?? first.seq, src: operation.src });
    return { type: 'applied', head: 0, behind: true };
  }
  const state = stateAfterCreation(first);
  const epoch = epochParts(first.epoch);
  if (!state || epoch.cell !== operation.src) return { type: 'rejected', why: 'not-owner' };
  if (epoch.count === 1 && birthCell(operation.log) !== operation.src) return { type: 'rejected', why: 'not-owner' };
  work.create({ log: operation.log, epoch: first.epoch, head: 0, ts: 0, ord: 0, hash: chainStart, version: 1, status: 'open' }, state, 0);
  if (state.kind === 'direct') work.addPair({ low: state.low, high: state.high }, operation.log);
  return undefined;
}

/**
 * The snapshot begins beyond what continues the run here: this cell had no member meanwhile, and begins anew where it got
 * one again (R18). Whoever was a member here when the run broke off has left in between.
 */
function reopenReplica({ src, snapshot, log }: ApplyOperation, row: LogRow, work: WorkingSet): void {
  const before = work.state(log);
  if (!snapshot || !before || snapshot.start <= row.head || row.status === 'frozen') return;
  if (ownerOf(before) !== src || snapshot.state.epoch !== before.epoch) return;
  const own = [...before.members].filter(([, member]) => member.home === work.context.cell);
  // Their self logs get an entry each: who joined since the pull was asked for is not locked, so it is pulled again.
  if (own.some(([user]) => !work.row(user))) return;
  const after: LogState = { ...snapshot.state, cells: before.cells };
  work.reopen(after, snapshot);
  const { start, ts, ord } = snapshot;
  const cause = { log, seq: start, epoch: row.epoch, ts, ord, author: 0n, clientEntryId: 0n, kind: 0, flags: 0, body: noBody };
  work.recordMembership(before, after, cause, selfEntryWriter(work, after, cause));
}

/** An entry at or below the head: known, another one, or of a time when this cell was out of the log. */
function applyAgain(entry: Entry, row: LogRow, work: WorkingSet): Outcome | undefined {
  const stored = work.facts.stored(entry.log, entry.seq);
  // Decided while this cell was out of the log, and sent again for that: the answer has to be found here ever after.
  if (!stored && work.context.homeOf(entry.author) === work.context.cell) work.keepBelow(entry);
  if (!stored || sameHeader(stored, entry)) return undefined;
  return forked(row, work);
}

/** Undefined when the entry was stored, was known, or lies beyond the run. */
function applyOne(entry: Entry, operation: ApplyOperation, row: LogRow, work: WorkingSet): Outcome | undefined {
  if (entry.seq <= row.head) return applyAgain(entry, row, work);
  if (entry.epoch !== row.epoch) return { type: 'rejected', why: 'stale' };
  const state = work.state(operation.log) as LogState;
  if (row.status === 'frozen' || entry.seq !== row.head + 1) return undefined;
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
  if (entry.kind === kinds.created) work.recordMembership(undefined, state, entry, selfEntryWriter(work, state, entry));
  else if (after !== state) {
    work.changeState(after);
    work.recordMembership(state, after, entry, selfEntryWriter(work, after, entry));
  }
  return undefined;
}

/** What the owner says now and what is kept here are two histories: people must look (R16). */
function forked(row: LogRow, work: WorkingSet): Outcome {
  row.status = 'frozen';
  work.touch(row.log);
  return { type: 'rejected', why: 'fork' };
}

/** The entry is the owner's answer to the intake it came from (R12). */
function closeIntake(entry: Entry, work: WorkingSet): void {
  if (work.context.homeOf(entry.author) !== work.context.cell) return;
  const { author, clientEntryId } = entry;
  work.close({ stream: streamOf(work.state(entry.log) as LogState), author, clientEntryId, refused: false });
}

const noBody = new Uint8Array();
