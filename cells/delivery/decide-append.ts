// A person's append. At the owner it gets its seq, or a final fault; elsewhere it becomes numbered intake (R9).
import { chainStart } from '@weft/proto/chain.ts';
import { Created, MembersAdded, MembersRemoved } from '@weft/proto/gen/weft/client/v1/client.ts';
import { limits } from '@weft/proto/limits.ts';
import { makeEpoch } from '@weft/proto/positions.ts';
import { beginEpoch, givesSeqs } from './decide-owner.ts';
import { canonicalEmptying, targetFor } from './emptying.ts';
import { causedEntryId, type Entry, isContent, isEmptying, isState, kinds, selfEntryId } from './entry.ts';
import { nextOwnEpoch } from './epochs.ts';
import { isGroupPair, type LogState, ownerOf, pairKey, stateAfter, stateAfterCreation, streamOf, streamOfPair } from './log-state.ts';
import type { AppendOperation, IntakeOperation, Outcome } from './operations.ts';
import type { LogRow } from './ports.ts';
import { hadOtherOwner, refusalId, selfBody } from './self-entries.ts';
import type { WorkingSet } from './working-set.ts';

export function decideAppend(operation: AppendOperation, work: WorkingSet, faulted: Set<string>): Outcome {
  if (faulted.size > 0 && faulted.has(orderKey(operation))) return { type: 'fault', code: 'earlier_faulted' };
  const outcome = chooseWay(operation, work);
  const isOrdered = operation.connection !== undefined;
  if (isOrdered && outcome.type === 'fault' && comesAgain.has(outcome.code)) faulted.add(orderKey(operation));
  return outcome;
}

const comesAgain: ReadonlySet<string> = new Set(['intake_full', 'log_frozen', 'busy']);

/** What is not known here may have come after the backup that this store was restored from: nothing final is said yet (R25). */
function notHere(code: 'unknown_log' | 'not_a_member', work: WorkingSet, row?: LogRow): Outcome {
  const mayBeOld = !work.context.isWhole() || row?.status === 'stopped';
  return mayBeOld ? { type: 'fault', code: 'busy', afterMs: 1_000 } : { type: 'fault', code };
}

/** One connection's appends to one log (R8): what is left of an earlier one was sent again over this one. */
function orderKey({ connection, target }: AppendOperation): string {
  return `${connection}:${'log' in target ? target.log : pairKey(target.pair)}`;
}

function chooseWay(operation: AppendOperation, work: WorkingSet): Outcome {
  const log = logOf(operation, work);
  if (log === undefined) return openAndAppend(operation, work);
  const state = work.state(log);
  const row = work.row(log);
  if (!state || !row) return notHere('unknown_log', work);
  const known = work.known({ log, author: operation.author, clientEntryId: operation.clientEntryId });
  if (known) return { type: 'accepted', entry: known, fresh: false };
  const isHere = row.status === 'open' && givesSeqs(row, work.context);
  // What waits is the owner's to decide, whatever has happened to its author since; what an owner refused stays refused.
  if (!isHere && work.isWaiting(operation.author, operation.clientEntryId, streamOf(state))) return { type: 'pending', log };
  if (wasRefused(operation, work, state) || isOvertaken(operation, work, state))
    return { type: 'fault', code: 'not_allowed', text: 'refused before' };
  if (!state.members.has(operation.author)) return fromNobody(operation, work, row, state);
  if (row.status === 'frozen') return { type: 'fault', code: 'log_frozen', afterMs: 5_000 };
  // Opening what is open already, for another cell's people perhaps: never intake, which is this cell's own people's only.
  if (operation.kind === kinds.created) return { type: 'accepted', entry: openedEntry(row, state), fresh: false };
  if (!isHere) return asIntake(operation, work, { log, dst: ownerOf(state), stream: streamOf(state) });
  return appendHere(operation, work, row, state);
}

/**
 * A store that goes on from a backup may have lost both the answer to it and the row that waited for one, and its author may have left
 * since: then the owner has it, and nobody else may refuse it (R1).
 */
function fromNobody(operation: AppendOperation, work: WorkingSet, row: LogRow, state: LogState): Outcome {
  const { generation, cell, isWhole } = work.context;
  const mayBeKnown = generation > 1 && ownerOf(state) !== cell && operation.kind !== kinds.created;
  if (!mayBeKnown || !isWhole() || row.status !== 'open') return notHere('not_a_member', work, row);
  return asIntake(operation, work, { log: row.log, dst: ownerOf(state), stream: streamOf(state) });
}

/** As its author's self log says. */
function wasRefused({ author, clientEntryId }: AppendOperation, work: WorkingSet, state: LogState): boolean {
  if (!hadOtherOwner(state, work.context.cell)) return false;
  return work.known({ log: author, author, clientEntryId: refusalId({ log: state.log }, clientEntryId) }) !== undefined;
}

/** What was sent after it has its place, or waits for one: it was decided before that, and refused by an answer that never came (R8). */
function isOvertaken({ author, followedBy = [] }: AppendOperation, work: WorkingSet, state: LogState): boolean {
  return followedBy.some(
    (clientEntryId) =>
      work.known({ log: state.log, author, clientEntryId }) !== undefined || work.isWaiting(author, clientEntryId, streamOf(state)),
  );
}

/** The log of the target: as named, or as the pair is known or was opened earlier in this transaction. */
function logOf(operation: AppendOperation | IntakeOperation, work: WorkingSet): bigint | undefined {
  return 'log' in operation.target ? operation.target.log : work.pairLog(operation.target.pair);
}

/** The first append to a log that does not exist yet: a new group, or a direct conversation. */
function openAndAppend(operation: AppendOperation, work: WorkingSet): Outcome {
  if ('pair' in operation.target) {
    const { pair } = operation.target;
    if (isGroupPair(pair)) return createHere(operation, work);
    const birthplace = work.context.birthplace(pair);
    if (birthplace !== work.context.cell) return asIntake(operation, work, { log: 0n, dst: birthplace, stream: streamOfPair(pair) });
  }
  return createHere(operation, work);
}

/** Creates the log at this cell and, unless the append itself is the creation, appends to it. */
export function createHere(operation: AppendOperation | IntakeOperation, work: WorkingSet): Outcome {
  const isCreation = operation.kind === kinds.created;
  const log = operation.freshLog ?? work.context.freshId();
  const pair = 'pair' in operation.target ? operation.target.pair : undefined;
  const body = pair && !isGroupPair(pair) ? directBody(pair, work) : operation.body;
  const first: Entry = {
    log,
    epoch: makeEpoch({ count: 1, cell: work.context.cell, generation: work.context.generation }),
    seq: 1,
    ts: work.context.nowMs,
    author: operation.author,
    clientEntryId: isCreation ? operation.clientEntryId : causedEntryId(log, 1),
    ord: 0,
    kind: kinds.created,
    flags: 0,
    body,
    prev: chainStart,
  };
  const state = stateAfterCreation(first);
  if (!state?.members.has(operation.author)) return { type: 'fault', code: 'bad_request' };
  if (state.members.size > state.membersMax) return { type: 'fault', code: 'group_full' };
  // It may have been opened after the backup, under another id, and the members' cells know it.
  if ([...state.members.values()].some(({ home }) => home !== work.context.cell && !work.context.isBack(home)))
    return { type: 'fault', code: 'busy', afterMs: 1_000 };
  const row: LogRow = { log: first.log, epoch: first.epoch, head: 0, ts: 0, ord: 0, hash: chainStart, version: 1, status: 'open' };
  work.create(row, state, 0);
  if (pair) work.addPair(pair, first.log);
  work.push(first);
  work.recordMembership(undefined, state, first.seq, selfEntryWriter(work, state));
  if (isCreation) return { type: 'accepted', entry: first, fresh: true };
  return appendHere(operation, work, row, state);
}

const directBody = (pair: { low: bigint; high: bigint }, work: WorkingSet): Uint8Array =>
  Created.encode({
    kind: 'LOG_KIND_DIRECT',
    title: '',
    membersMax: 2,
    members: [pair.low, pair.high].map((user) => ({ user, home: work.context.homeOf(user), from: 1n })),
  }).finish();

/** The owner's decision: permission, limit, then the next seq. The caller has checked membership and idempotency. */
export function appendHere(operation: AppendOperation | IntakeOperation, work: WorkingSet, row: LogRow, state: LogState): Outcome {
  const change = isState(operation.kind) ? checkChange(operation, work, state) : checkEmptying(operation, work, row.log);
  if (change && 'type' in change) return change;
  const entry: Entry = {
    log: row.log,
    epoch: row.epoch,
    seq: row.head + 1,
    ts: Math.max(work.context.nowMs, row.ts),
    author: operation.author,
    clientEntryId: operation.clientEntryId,
    ord: row.ord + (isContent(operation.kind) ? 1 : 0),
    kind: operation.kind,
    flags: 0,
    body: change ? change.body : operation.body,
    prev: row.hash,
  };
  const after = isState(operation.kind) ? stateAfter(state, entry) : undefined;
  if (isState(operation.kind) && !after) return { type: 'fault', code: 'bad_request' };
  const target = targetFor(work, entry);
  work.push(entry);
  if (target) work.empty(target);
  if (after) {
    work.changeState(after);
    work.recordMembership(state, after, entry.seq, selfEntryWriter(work, after));
  }
  return { type: 'accepted', entry, fresh: true };
}

/** An edit or a deletion: the author's own words, and only what was not taken back before. */
function checkEmptying(
  operation: AppendOperation | IntakeOperation,
  work: WorkingSet,
  log: bigint,
): Outcome | { body: Uint8Array } | undefined {
  if (!isEmptying(operation.kind)) return undefined;
  if (!targetFor(work, { ...operation, log })) return { type: 'fault', code: 'not_allowed', text: 'there is nothing of yours to change' };
  return { body: canonicalEmptying(operation.kind, operation.body) };
}

const openedEntry = (row: LogRow, state: LogState): Entry => ({
  log: row.log,
  epoch: row.epoch,
  seq: 1,
  ts: row.ts,
  author: state.creator,
  clientEntryId: 0n,
  ord: 0,
  kind: kinds.created,
  flags: 0,
  body: new Uint8Array(),
});

/** Membership changes are checked under the lock, and written with the homes this cell knows. */
function checkChange(operation: AppendOperation | IntakeOperation, work: WorkingSet, state: LogState): Outcome | { body: Uint8Array } {
  if (state.kind !== 'group') return { type: 'fault', code: 'not_allowed' };
  try {
    if (operation.kind === kinds.membersAdded) return checkAddition(operation.body, work, state);
    if (operation.kind === kinds.membersRemoved) return checkRemoval(operation, state);
    return { type: 'fault', code: 'bad_request' };
  } catch {
    return { type: 'fault', code: 'bad_request' };
  }
}

function checkAddition(body: Uint8Array, work: WorkingSet, state: LogState): Outcome | { body: Uint8Array } {
  const wanted = new Set(MembersAdded.decode(body).members.map((m) => m.user));
  const users = [...wanted].filter((user) => !state.members.has(user));
  if (users.length === 0) return { type: 'fault', code: 'bad_request', text: 'everybody named is a member already' };
  if (users.length > limits.membersPerEntryMax) return { type: 'fault', code: 'too_many_members' };
  if (state.members.size + users.length > state.membersMax) return { type: 'fault', code: 'group_full' };
  const members = users.map((user) => ({ user, home: work.context.homeOf(user), from: 0n }));
  return { body: MembersAdded.encode({ members }).finish() };
}

/** Whoever leaves may; the creator may remove anybody. */
function checkRemoval(operation: AppendOperation | IntakeOperation, state: LogState): Outcome | { body: Uint8Array } {
  const users = [...new Set(MembersRemoved.decode(operation.body).users)].filter((user) => state.members.has(user));
  if (users.length === 0) return { type: 'fault', code: 'bad_request', text: 'nobody named is a member' };
  if (users.length > limits.membersPerEntryMax) return { type: 'fault', code: 'too_many_members' };
  const leaving = users.length === 1 && users[0] === operation.author;
  if (!leaving && operation.author !== state.creator) return { type: 'fault', code: 'not_allowed' };
  return { body: MembersRemoved.encode({ users }).finish() };
}

/** Stores the append here, numbered, for the owner to decide. */
function asIntake(
  operation: AppendOperation,
  work: WorkingSet,
  to: { log: bigint; dst: number; stream: { a: bigint; b: bigint } },
): Outcome {
  if (work.isWaiting(operation.author, operation.clientEntryId, to.stream)) return { type: 'pending', log: to.log };
  const { context } = work;
  if (work.openIntake(operation.author) >= context.limits.openIntakePerUserMax || !context.hasIntakeRoom(to.dst))
    return { type: 'fault', code: 'intake_full', afterMs: 1_000 };
  work.takeIntakeNumber({
    stream: to.stream,
    log: to.log,
    dst: to.dst,
    author: operation.author,
    clientEntryId: operation.clientEntryId,
    kind: operation.kind,
    body: operation.body,
    createdMs: context.nowMs,
  });
  return { type: 'pending', log: to.log };
}

/** Writes the entry of a user's self log that a change of membership causes, in the same transaction (R19). */
export function selfEntryWriter(work: WorkingSet, state: LogState): (user: bigint, kind: number, from: number) => void {
  return (user, kind, from) => {
    const peer = state.kind === 'direct' ? (user === state.low ? state.high : state.low) : 0n;
    writeSelfEntry(work, user, { kind, body: selfBody(kind, state, peer, from) });
  };
}

export function writeSelfEntry(work: WorkingSet, user: bigint, what: { kind: number; clientEntryId?: bigint; body: Uint8Array }): void {
  const row = work.row(user);
  if (!row) return; // Nobody of that id lives here.
  const state = work.state(user);
  // A self log is nobody else's: after a restore it goes on where it is found, in an epoch of its own.
  if (state && !givesSeqs(row, work.context)) beginEpoch(work, row, state, nextOwnEpoch(row.epoch, work.context.generation));
  work.push({
    log: user,
    epoch: row.epoch,
    seq: row.head + 1,
    ts: Math.max(work.context.nowMs, row.ts),
    author: user,
    clientEntryId: what.clientEntryId ?? selfEntryId(user, { epoch: row.epoch, seq: row.head + 1 }),
    ord: row.ord,
    kind: what.kind,
    flags: 0,
    body: what.body,
    prev: row.hash,
  });
}
