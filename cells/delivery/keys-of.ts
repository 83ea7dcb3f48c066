// What a batch of operations must lock and look up before it can be decided.
import { Created, MembersAdded, MembersRemoved } from '@weft/proto/gen/weft/client/v1/client.ts';
import { targetOf } from './emptying.ts';
import { isOwnership, kinds } from './entry.ts';
import { isGroupPair, type Pair, streamOfPair } from './log-state.ts';
import type { AppendOperation, ApplyOperation, IntakeOperation, Operation, Target } from './operations.ts';
import type { AppendKey, DecidedKey, WriteKeys } from './ports.ts';
import { refusalId } from './self-entries.ts';

interface Collected {
  readonly logs: Set<bigint>;
  readonly known: AppendKey[];
  readonly refusals: AppendKey[];
  readonly pairs: Pair[];
  readonly intakes: { stream?: { a: bigint; b: bigint }; log: bigint; author: bigint; clientEntryId: bigint }[];
  readonly decided: DecidedKey[];
  readonly moves: bigint[];
  readonly settles: bigint[];
  readonly cuts: { log: bigint; above: number }[];
  readonly runs: { log: bigint; from: number; to: number }[];
  readonly targets: { log: bigint; seq: number }[];
}

/** `isLocal`: whether a user is homed in this cell, so that their self log may get an entry. */
export function keysOf(operations: readonly Operation[], isLocal: (user: bigint) => boolean): WriteKeys {
  const keys: Collected = {
    logs: new Set(),
    known: [],
    refusals: [],
    pairs: [],
    intakes: [],
    decided: [],
    moves: [],
    settles: [],
    cuts: [],
    runs: [],
    targets: [],
  };
  for (const operation of operations) collect(operation, keys, isLocal);
  return { ...keys, logs: [...keys.logs].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0)) };
}

function collect(operation: Operation, keys: Collected, isLocal: (user: bigint) => boolean): void {
  for (const user of usersTouched(operation)) if (isLocal(user)) keys.logs.add(user);
  switch (operation.type) {
    case 'apply':
      return collectRun(operation, keys);
    case 'refused':
      collectRefusal(operation, keys);
      if ('log' in operation.target) keys.logs.add(operation.target.log);
      keys.intakes.push({ stream: operation.stream, log: 0n, author: operation.author, clientEntryId: operation.clientEntryId });
      return;
    case 'append':
    case 'intake':
      return collectAppend(operation, keys, isLocal);
    default:
      keys.logs.add(operation.log);
      keys.moves.push(operation.log);
      if (operation.type === 'settle') keys.settles.push(operation.log);
  }
}

function collectRun(operation: ApplyOperation, keys: Collected): void {
  const { log, entries, epochs = operation.told } = operation;
  keys.logs.add(log);
  for (const { kind, body } of entries) addTarget(keys, log, kind, body);
  const seqs = entries.map(({ seq }) => seq);
  // What was asked for again comes behind what is new: the first of a frame need not be its lowest.
  if (seqs.length > 0) keys.runs.push({ log, from: Math.min(...seqs), to: Math.max(...seqs) });
  if (epochs || entries.some(({ kind }) => isOwnership(kind))) keys.moves.push(log);
  if (operation.cut !== undefined) keys.cuts.push({ log, above: operation.cut });
}

function addTarget(keys: Collected, log: bigint, kind: number, body: Uint8Array): void {
  const seq = targetOf(kind, body);
  if (seq !== undefined) keys.targets.push({ log, seq });
}

function collectAppend(operation: AppendOperation | IntakeOperation, keys: Collected, isLocal: (user: bigint) => boolean): void {
  const { target, author, clientEntryId } = operation;
  if ('pair' in target) keys.pairs.push(target.pair);
  else {
    const key = { log: target.log, author, clientEntryId };
    keys.logs.add(target.log);
    keys.known.push(key);
    if (operation.type === 'append') collectFollowing(operation, target.log, keys);
    if (operation.type === 'append') keys.refusals.push(key);
    addTarget(keys, target.log, operation.kind, operation.body);
  }
  if (operation.type === 'intake') {
    keys.decided.push({ stream: operation.stream, cell: operation.src, generation: operation.generation });
    // Intake of this cell's own people: a refusal is written into the author's self log.
    if (isLocal(author)) collectRefusal(operation, keys);
    return;
  }
  keys.intakes.push(
    'pair' in target ? { stream: streamOfPair(target.pair), log: 0n, author, clientEntryId } : { log: target.log, author, clientEntryId },
  );
}

function collectFollowing({ author, followedBy = [] }: AppendOperation, log: bigint, keys: Collected): void {
  for (const clientEntryId of followedBy) {
    keys.known.push({ log, author, clientEntryId });
    keys.intakes.push({ log, author, clientEntryId });
  }
}

function collectRefusal(
  { author, target, clientEntryId }: { author: bigint; target: Target; clientEntryId: bigint },
  keys: Collected,
): void {
  keys.logs.add(author);
  keys.known.push({ log: author, author, clientEntryId: refusalId(target, clientEntryId) });
}

/** Users whose membership the operation may change. */
function usersTouched(operation: Operation): bigint[] {
  if (operation.type === 'refused') return [];
  if (operation.type === 'apply') {
    const inSnapshot = (operation.epochs ?? operation.told) && operation.snapshot ? operation.snapshot.state.members.keys() : [];
    return [...operation.entries.flatMap((e) => usersIn(e.kind, e.body)), ...(operation.leaving ?? []), ...inSnapshot];
  }
  if (!('target' in operation)) return [];
  if ('pair' in operation.target && !isGroupPair(operation.target.pair)) return [operation.target.pair.low, operation.target.pair.high];
  return usersIn(operation.kind, operation.body);
}

function usersIn(kind: number, body: Uint8Array): bigint[] {
  try {
    if (kind === kinds.created) return Created.decode(body).members.map((m) => m.user);
    if (kind === kinds.membersAdded) return MembersAdded.decode(body).members.map((m) => m.user);
    if (kind === kinds.membersRemoved) return MembersRemoved.decode(body).users;
  } catch {
    // A body that cannot be read names nobody; deciding will refuse or freeze.
  }
  return [];
}
