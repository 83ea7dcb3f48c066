// What a batch of operations must lock and look up before it can be decided.
import { Created, MembersAdded, MembersRemoved } from '@weft/proto/gen/weft/client/v1/client.ts';
import { targetOf } from './emptying.ts';
import { kinds } from './entry.ts';
import { isGroupPair, type Pair, streamOfPair } from './log-state.ts';
import type { ApplyOperation, Operation, Target } from './operations.ts';
import type { AppendKey, DecidedKey, WriteKeys } from './ports.ts';
import { refusalId } from './self-entries.ts';

interface Collected {
  readonly logs: Set<bigint>;
  readonly known: AppendKey[];
  readonly pairs: Pair[];
  readonly intakes: { stream?: { a: bigint; b: bigint }; log: bigint; author: bigint; clientEntryId: bigint }[];
  readonly decided: DecidedKey[];
  readonly runs: { log: bigint; from: number; to: number }[];
  readonly targets: { log: bigint; seq: number }[];
}

/** `isLocal`: whether a user is homed in this cell, so that their self log may get an entry. */
export function keysOf(operations: readonly Operation[], isLocal: (user: bigint) => boolean): WriteKeys {
  const keys: Collected = { logs: new Set(), known: [], pairs: [], intakes: [], decided: [], runs: [], targets: [] };
  for (const operation of operations) collect(operation, keys, isLocal);
  return { ...keys, logs: [...keys.logs].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0)) };
}

function collect(operation: Operation, keys: Collected, isLocal: (user: bigint) => boolean): void {
  for (const user of usersTouched(operation)) if (isLocal(user)) keys.logs.add(user);
  if (operation.type === 'apply') return collectRun(operation, keys);
  const log = logOfTarget(operation.target);
  if (log !== undefined) keys.logs.add(log);
  if (operation.type === 'refused') {
    const { author, clientEntryId } = operation;
    keys.logs.add(author);
    keys.known.push({ log: author, author, clientEntryId: refusalId(operation.target, clientEntryId) });
    keys.intakes.push({ stream: operation.stream, log: 0n, author, clientEntryId });
    return;
  }
  if (log !== undefined) addTarget(keys, log, operation.kind, operation.body);
  if ('pair' in operation.target) keys.pairs.push(operation.target.pair);
  if (log !== undefined) keys.known.push({ log, author: operation.author, clientEntryId: operation.clientEntryId });
  if (operation.type === 'intake') {
    keys.decided.push({ stream: operation.stream, cell: operation.src, generation: operation.generation });
  } else {
    const { author, clientEntryId } = operation;
    // An append to a log of another cell may have been refused before: the author's self log remembers it.
    if (log !== undefined && !isLocal(log))
      keys.known.push({ log: author, author, clientEntryId: refusalId(operation.target, clientEntryId) });
    keys.intakes.push(
      'pair' in operation.target
        ? { stream: streamOfPair(operation.target.pair), log: 0n, author, clientEntryId }
        : { log: operation.target.log, author, clientEntryId },
    );
  }
}

function collectRun({ log, entries }: ApplyOperation, keys: Collected): void {
  keys.logs.add(log);
  for (const { kind, body } of entries) addTarget(keys, log, kind, body);
  const seqs = entries.map(({ seq }) => seq);
  // What was asked for again comes behind what is new: the first of a frame need not be its lowest.
  if (seqs.length > 0) keys.runs.push({ log, from: Math.min(...seqs), to: Math.max(...seqs) });
}

function addTarget(keys: Collected, log: bigint, kind: number, body: Uint8Array): void {
  const seq = targetOf(kind, body);
  if (seq !== undefined) keys.targets.push({ log, seq });
}

const logOfTarget = (target: Target): bigint | undefined => ('log' in target ? target.log : undefined);

/** Users whose membership the operation may change. */
function usersTouched(operation: Operation): bigint[] {
  if (operation.type === 'refused') return [];
  if (operation.type === 'apply') return [...operation.entries.flatMap((e) => usersIn(e.kind, e.body)), ...(operation.leaving ?? [])];
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
