// The first round trip of a write transaction: locks and look-ups; and, only where these ask for it, a second one.

import { type EpochStart, epochParts } from '@weft/proto/positions.ts';
import { settledAtOnceMax } from '../delivery/decide-owner.ts';
import type { Entry } from '../delivery/entry.ts';
import { type LogState, ownerOf, type Pair, pairKey, type Stream, streamKey, streamOf } from '../delivery/log-state.ts';
import type { AppendKey, DecidedKey, Facts, IntakeRow, LogRow, WriteKeys } from '../delivery/ports.ts';
import { refusalsToFind } from '../delivery/self-entries.ts';
import { cellLimits } from '../limits.ts';
import type { EntriesTable, Query } from './entries-table.ts';
import { readEarlierEpochs } from './epochs-table.ts';
import {
  countOpenIntake,
  decidedKeyText,
  findWaitingIntake,
  lockIntakeStreams,
  readAllDecided,
  readDecidedNumbers,
  readLowestIntake,
  readOwnIntake,
  waitingKey,
} from './intake-tables.ts';
import { kindName, lockLogs, readStateRows } from './logs-table.ts';
import { findPairLogs, readCells, readMembers } from './membership-tables.ts';
import type { StateCache } from './state-cache.ts';

const lockLane = `
select 1 from lanes where node = $1 and lane = $2 for update`;

/** The store is in another life than this node: nothing may be written any more. */
export class LaneGone extends Error {
  override readonly name = 'LaneGone';
}
// For this transaction only.
const waitForLocks = `
select set_config('lock_timeout', $1, true)`;

export interface FactsOptions {
  readonly cell: number;
  readonly generation: number;
  readonly node: number;
  readonly states: StateCache;
  readonly entries: EntriesTable;
}

/** Reads the facts under the locks of a transaction that `query` runs in; sends `begin` itself. */
export async function readFacts(query: Query, lane: number, keys: WriteKeys, options: FactsOptions): Promise<Facts> {
  const begun = beginAndWait(query, keys);
  const laneHeld = query({ name: 'lanes-lock', text: lockLane, values: [options.node, lane] });
  const locked = keys.logs.length > 0 ? lockLogs(query, keys.logs) : Promise.resolve(new Map<bigint, LogRow>());
  const known = keys.known.length > 0 ? options.entries.findKnown(query, keys.known) : Promise.resolve(new Map<number, number>());
  const decided = keys.decided.length > 0 ? readDecidedNumbers(query, keys.decided) : Promise.resolve(new Map<string, number>());
  // After the decided numbers: who saw one must also see the conversation that was opened with it.
  const opened = keys.pairs.length > 0 ? findPairLogs(query, keys.pairs) : Promise.resolve(new Map<string, bigint>());
  const [, heldLane, rows, knownSeqs, decidedNumbers, pairs] = await Promise.all([
    Promise.all(begun),
    laneHeld,
    locked,
    known,
    decided,
    opened,
  ]);
  if (heldLane.rows.length === 0) throw new LaneGone();
  const states = await readStates(query, rows, options.states);
  const [headers, intake, above] = await Promise.all([
    readKnown(query, { keys, rows, knownSeqs, states, entries: options.entries, cell: options.cell }),
    readIntakeFacts(query, { keys, rows, states, generation: options.generation, cell: options.cell }),
    readAbove(query, { keys, states, entries: options.entries }),
  ]);
  return new LockedFacts({ rows, states, headers, intake, above, pairs, decided: decidedNumbers });
}

/** Begins a transaction that waits for locks as long as it may. */
export function beginAndWait(query: Query, { lockMsMax }: Pick<WriteKeys, 'lockMsMax'>): Promise<unknown>[] {
  const begun = query({ name: 'begin', text: 'begin' });
  return lockMsMax === undefined ? [begun] : [begun, query({ name: 'lock-timeout', text: waitForLocks, values: [`${lockMsMax}ms`] })];
}

/** States of the locked logs: from the cache where its version is the row's, else from SQL. */
async function readStates(query: Query, rows: ReadonlyMap<bigint, LogRow>, cache: StateCache): Promise<Map<bigint, LogState>> {
  const states = new Map<bigint, LogState>();
  const stale: bigint[] = [];
  for (const [log, row] of rows) {
    const cached = cache.get(log);
    if (cached && cached.version === row.version && cached.epoch === row.epoch) states.set(log, cached);
    else stale.push(log);
  }
  if (stale.length > 0) for (const state of await loadStates(query, stale)) states.set(state.log, state);
  return states;
}

export async function loadStates(query: Query, logs: readonly bigint[]): Promise<LogState[]> {
  const [rows, members, cells] = await Promise.all([readStateRows(query, logs), readMembers(query, logs), readCells(query, logs)]);
  const earlier = await readEarlierEpochs(
    query,
    rows.flatMap((row) => (row.epoch_base > 0n ? [row.log_id] : [])),
  );
  return rows.map((row) => {
    const kind = kindName(row.kind);
    return {
      log: row.log_id,
      kind,
      epoch: row.epoch,
      epochs: [...(earlier.get(row.log_id) ?? []), { epoch: row.epoch, base: Number(row.epoch_base) }],
      version: Number(row.version),
      title: row.title ?? '',
      membersMax: Number(row.members_max ?? 2n),
      creator: row.creator ?? row.low,
      low: row.low,
      high: row.high,
      members: kind === 'self' ? new Map([[row.low, { home: ownerOf(row), from: 1 }]]) : (members.get(row.log_id) ?? new Map()),
      cells: cells.get(row.log_id) ?? new Map(),
    };
  });
}

interface KnownOptions {
  readonly keys: WriteKeys;
  readonly rows: ReadonlyMap<bigint, LogRow>;
  readonly knownSeqs: ReadonlyMap<number, number>;
  readonly states: ReadonlyMap<bigint, LogState>;
  readonly entries: EntriesTable;
  readonly cell: number;
}

interface Headers {
  readonly byKey: ReadonlyMap<string, Entry>;
  readonly bySeq: ReadonlyMap<string, Entry>;
  readonly targets: ReadonlyMap<string, Entry>;
}

/** Headers of what is stored already: known ids, refusals, and runs that overlap the head. Both are rare. */
async function readKnown(query: Query, { keys, rows, knownSeqs, states, entries, cell }: KnownOptions): Promise<Headers> {
  const at: { log: bigint; seq: number }[] = [];
  for (const [index, seq] of knownSeqs) at.push({ log: (keys.known[index] as AppendKey).log, seq });
  const refusals = refusalsToFind(keys.refusals, states, cell);
  const refused = refusals.length > 0 ? await entries.findKnown(query, refusals) : [];
  for (const [index, seq] of refused) at.push({ log: (refusals[index] as AppendKey).log, seq });
  for (const run of keys.runs) {
    const head = rows.get(run.log)?.head ?? 0;
    for (let seq = run.from; seq <= Math.min(run.to, head); seq++) at.push({ log: run.log, seq });
  }
  if (at.length === 0 && keys.targets.length === 0) return noHeaders;
  const epochsOf = (log: bigint): readonly EpochStart[] => states.get(log)?.epochs ?? [];
  const [headers, targets] = await Promise.all([
    at.length > 0 ? entries.readHeaders(query, at, epochsOf) : [],
    keys.targets.length > 0 ? entries.readTargets(query, keys.targets, epochsOf) : [],
  ]);
  return {
    targets: new Map(targets.map((e) => [`${e.log}:${e.seq}`, e])),
    byKey: new Map(headers.map((e) => [`${e.log}:${e.author}:${e.clientEntryId}`, e])),
    bySeq: new Map(headers.map((e) => [`${e.log}:${e.seq}`, e])),
  };
}

const noHeaders: Headers = { byKey: new Map(), bySeq: new Map(), targets: new Map() };

/** What may be given up. */
async function readAbove(
  query: Query,
  { keys, states, entries }: Pick<KnownOptions, 'keys' | 'states' | 'entries'>,
): Promise<Map<bigint, Entry[]>> {
  const found = new Map<bigint, Entry[]>();
  for (const { log, above } of keys.cuts) {
    const epochs = states.get(log)?.epochs;
    const range = { log, from: above + 1, to: Number.MAX_SAFE_INTEGER, limit: cellLimits.orphansOfferedMax };
    if (epochs) found.set(log, await entries.readForwards(query, range, epochs));
  }
  return found;
}

/** Whether an append to this log may have to wait for somebody's decision. */
export const isDecidedElsewhere = (
  state: LogState | undefined,
  row: LogRow | undefined,
  { cell, generation }: Pick<FactsOptions, 'cell' | 'generation'>,
): boolean =>
  state !== undefined && (ownerOf(state) !== cell || row?.status !== 'open' || epochParts(state.epoch).generation !== generation);

interface IntakeOptions {
  readonly keys: WriteKeys;
  readonly rows: ReadonlyMap<bigint, LogRow>;
  readonly states: ReadonlyMap<bigint, LogState>;
  readonly cell: number;
  readonly generation: number;
}

interface IntakeFacts {
  readonly next: ReadonlyMap<string, number>;
  readonly waiting: ReadonlyMap<string, number>;
  readonly open: ReadonlyMap<bigint, number>;
  readonly lowest: ReadonlyMap<string, number>;
  readonly decided: readonly { readonly key: DecidedKey; readonly n: number }[];
  readonly own: ReadonlyMap<string, readonly IntakeRow[]>;
}

async function readIntakeFacts(query: Query, { keys, rows, states, cell, generation }: IntakeOptions): Promise<IntakeFacts> {
  const streams = new Map<string, Stream>();
  const ids: { author: bigint; clientEntryId: bigint }[] = [];
  for (const intake of keys.intakes) {
    const state = states.get(intake.log);
    const isElsewhere = isDecidedElsewhere(state, rows.get(intake.log), { cell, generation });
    const stream = intake.stream ?? (state && isElsewhere ? streamOf(state) : undefined);
    if (stream) streams.set(streamKey(stream), stream);
    if (stream || intake.log === 0n) ids.push(intake);
  }
  const moving = keys.moves.flatMap((log) => states.get(log) ?? []).map(streamOf);
  for (const stream of moving) streams.set(streamKey(stream), stream);
  if (ids.length === 0 && moving.length === 0) return noIntake;
  const ordered = [...streams.values()].sort((x, y) => (x.a === y.a ? (x.b < y.b ? -1 : 1) : x.a < y.a ? -1 : 1));
  const next = ordered.length > 0 ? lockIntakeStreams(query, ordered, generation) : Promise.resolve(new Map<string, number>());
  const waiting = ids.length > 0 ? findWaitingIntake(query, ids) : Promise.resolve(new Map<string, number>());
  const open = countOpenIntake(query, [...new Set(ids.map((i) => i.author))]);
  const lowest = moving.length > 0 ? readLowestIntake(query, moving, generation) : Promise.resolve(new Map<string, number>());
  const decided = moving.length > 0 ? readAllDecided(query, moving) : Promise.resolve([]);
  const settling = keys.settles.flatMap((log) => states.get(log) ?? []).map(streamOf);
  const own = Promise.all(
    settling.map(async (stream) => [streamKey(stream), await readOwnIntake(query, stream, generation, settledAtOnceMax + 1)] as const),
  );
  const found = await Promise.all([next, waiting, open, lowest, decided, own]);
  return { next: found[0], waiting: found[1], open: found[2], lowest: found[3], decided: found[4], own: new Map(found[5]) };
}

const noIntake: IntakeFacts = { next: new Map(), waiting: new Map(), open: new Map(), lowest: new Map(), decided: [], own: new Map() };

/** Facts of logs of which nothing but their rows and states matters. */
export const factsOfRows = (rows: ReadonlyMap<bigint, LogRow>, states: ReadonlyMap<bigint, LogState>): Facts =>
  new LockedFacts({ rows, states, headers: noHeaders, intake: noIntake, above: new Map(), pairs: new Map(), decided: new Map() });

interface LockedOptions {
  readonly rows: ReadonlyMap<bigint, LogRow>;
  readonly states: ReadonlyMap<bigint, LogState>;
  readonly headers: Headers;
  readonly intake: IntakeFacts;
  readonly above: ReadonlyMap<bigint, readonly Entry[]>;
  readonly pairs: ReadonlyMap<string, bigint>;
  readonly decided: ReadonlyMap<string, number>;
}

class LockedFacts implements Facts {
  readonly rows: ReadonlyMap<bigint, LogRow>;
  readonly states: ReadonlyMap<bigint, LogState>;
  readonly #found: LockedOptions;

  constructor(found: LockedOptions) {
    this.rows = found.rows;
    this.states = found.states;
    this.#found = found;
  }

  known(key: AppendKey): Entry | undefined {
    const { byKey } = this.#found.headers;
    return byKey.size === 0 ? undefined : byKey.get(`${key.log}:${key.author}:${key.clientEntryId}`);
  }

  stored(log: bigint, seq: number): Entry | undefined {
    return this.#found.headers.bySeq.get(`${log}:${seq}`);
  }

  target(log: bigint, seq: number): Entry | undefined {
    return this.#found.headers.targets.get(`${log}:${seq}`);
  }

  pairLog(pair: Pair): bigint | undefined {
    return this.#found.pairs.get(pairKey(pair));
  }

  nextIntake(stream: Stream): number {
    return this.#found.intake.next.get(streamKey(stream)) ?? 1;
  }

  waiting(author: bigint, clientEntryId: bigint, stream: Stream): number | undefined {
    return this.#found.intake.waiting.get(waitingKey(author, clientEntryId, stream));
  }

  openIntake(author: bigint): number {
    return this.#found.intake.open.get(author) ?? 0;
  }

  decided(key: DecidedKey): number {
    return this.#found.decided.get(decidedKeyText(key)) ?? 0;
  }

  decidedOf(stream: Stream): readonly { readonly key: DecidedKey; readonly n: number }[] {
    return this.#found.intake.decided.filter(({ key }) => streamKey(key.stream) === streamKey(stream));
  }

  lowestIntake(stream: Stream): number | undefined {
    return this.#found.intake.lowest.get(streamKey(stream));
  }

  ownIntake(stream: Stream): readonly IntakeRow[] {
    return this.#found.intake.own.get(streamKey(stream)) ?? [];
  }

  above(log: bigint): readonly Entry[] {
    return this.#found.above.get(log) ?? [];
  }
}
