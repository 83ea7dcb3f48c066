// The state of a log just before a seq, as it travels to a cell that begins to keep the log there (R18).
import { type Chain, chainStart, hashBytes } from '@weft/proto/chain.ts';
import type { LogSnapshot } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import type { EpochStart } from '@weft/proto/positions.ts';
import { hashOf } from './chain-of.ts';
import { type Entry, kinds } from './entry.ts';
import { type LogKind, type LogState, stateAfter, stateAfterCreation } from './log-state.ts';
import type { Snapshot } from './operations.ts';
import type { LogStore } from './ports.ts';
import { protoKindOf } from './self-entries.ts';

/** Reads of a log that is kept from its first entry on. */
export interface KeptWhole extends Pick<LogStore, 'readRange'> {
  readStateEntries(log: bigint, upTo: number): Promise<Entry[]>;
}

/** Folds the state entries of a log, oldest first. */
export function foldState(entries: readonly Entry[]): LogState | undefined {
  let state: LogState | undefined;
  for (const entry of entries) {
    if (entry.kind === kinds.created) state = stateAfterCreation(entry);
    else if (state) state = stateAfter(state, entry) ?? state;
  }
  return state;
}

/** What is kept of a log from its first entry on: its state right after `seq`, and what that entry proves. */
export async function snapshotAt(
  store: KeptWhole,
  chain: Chain,
  { log, seq }: { log: bigint; seq: number },
): Promise<Snapshot | undefined> {
  const state = foldState(await store.readStateEntries(log, seq));
  const [last] = await store.readRange(log, seq, seq, 1);
  const hash = last ? hashOf(chain, last) : chainStart;
  return state && hash && { state, start: seq, ts: last?.ts ?? 0, ord: last?.ord ?? 0, hash, floor: 0 };
}

export function encodeSnapshot({ state, start, ts, ord, hash }: Omit<Snapshot, 'floor'>): LogSnapshot {
  return {
    log: state.log,
    kind: protoKindOf(state.kind),
    title: state.title,
    membersMax: state.membersMax,
    start: BigInt(start),
    floor: 0n,
    low: state.kind === 'group' ? state.creator : state.low,
    high: state.high,
    epochs: epochsToWire(state.epochs),
    members: [...state.members].map(([user, m]) => ({ user, home: m.home, from: BigInt(m.from) })),
    ordBefore: BigInt(ord),
    tsBefore: BigInt(ts),
    version: BigInt(state.version),
    cells: [...state.cells].map(([cell, { from, until }]) => ({ cell, from: BigInt(from), until: BigInt(until) })),
    hashBefore: hash,
  };
}

export const epochsToWire = (epochs: readonly EpochStart[]): { epoch: bigint; base: bigint }[] =>
  epochs.map(({ epoch, base }) => ({ epoch, base: BigInt(base) }));

export const epochsFromWire = (epochs: readonly { epoch: bigint; base: bigint }[]): EpochStart[] =>
  epochs.map(({ epoch, base }) => ({ epoch, base: Number(base) }));

const kindOf: Readonly<Record<string, LogKind>> = { LOG_KIND_DIRECT: 'direct', LOG_KIND_GROUP: 'group', LOG_KIND_SELF: 'self' };

export function decodeSnapshot(wire: LogSnapshot): Snapshot | undefined {
  const kind = kindOf[wire.kind];
  const epoch = wire.epochs.at(-1)?.epoch;
  if (!kind || epoch === undefined || wire.hashBefore.length !== hashBytes) return undefined;
  const start = Number(wire.start);
  const state: LogState = {
    log: wire.log,
    kind,
    epoch,
    epochs: epochsFromWire(wire.epochs),
    version: Number(wire.version),
    title: wire.title,
    membersMax: wire.membersMax,
    creator: wire.low,
    low: kind === 'group' ? 0n : wire.low,
    high: wire.high,
    members: new Map(wire.members.map((m) => [m.user, { home: m.home, from: Number(m.from) }])),
    cells: new Map(wire.cells.map(({ cell, from, until }) => [cell, { from: Number(from), until: Number(until) }])),
  };
  return { state, start, ts: Number(wire.tsBefore), ord: Number(wire.ordBefore), hash: wire.hashBefore, floor: Number(wire.floor) };
}
