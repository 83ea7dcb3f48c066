// Where is this message? What this cell's store and this node know of one entry, for an operator. Never a body.
import { laneOf, makeId } from '@weft/proto/ids.ts';
import type { EntryTrace, FrameTrace, IntakeTrace, Passport } from '@weft/proto/passport.ts';
import type { Clock } from '@weft/runtime/clock.ts';
import type { Entry } from '../delivery/entry.ts';
import { type LogState, ownerOf } from '../delivery/log-state.ts';
import { clampMark } from '../delivery/marks.ts';
import { cellLimits } from '../limits.ts';
import type { BookKeeper } from '../link/book-keeper.ts';
import type { Hub } from '../push/hub.ts';
import type { SessionsWatch } from '../sessions-watch.ts';
import { readBehindOf } from '../store/behind-table.ts';
import type { Query } from '../store/entries-table.ts';
import { readIntakeOf } from '../store/intake-tables.ts';
import { readOutboxBetween } from '../store/outbox-table.ts';
import type { SqlLogStore } from '../store/sql-log-store.ts';
import { readRefusal } from './refusals.ts';
import { markOf, type Stamp } from './stamp-codec.ts';
import type { Stamps } from './stamps.ts';

/** A place in a log, or an author's own id of an append. */
export type EntryId = { readonly log: bigint; readonly seq: number } | { readonly author: bigint; readonly clientEntryId: bigint };

export interface PassportsOptions {
  readonly cell: { readonly name: string; readonly number: number };
  /** Name of the node. */
  readonly node: string;
  readonly clock: Clock;
  readonly query: Query;
  readonly store: SqlLogStore;
  readonly stamps: Stamps;
  readonly hub: Hub;
  readonly online: SessionsWatch;
  readonly books: BookKeeper;
}

type LogAnswer = { readonly state: LogState; readonly row: { readonly head: number; readonly status: string }; readonly start: number };

export class Passports {
  readonly #options: PassportsOptions;

  constructor(options: PassportsOptions) {
    this.#options = options;
  }

  async find(id: EntryId): Promise<Passport> {
    const { cell, node, clock, store, books } = this.#options;
    const place = 'log' in id ? id : await store.findEntry(id.author, id.clientEntryId);
    const kept = place && (await this.#kept(place));
    return {
      ...{ cell: cell.name, number: cell.number, node, nowMs: clock.now(), clocks: books.clocks() },
      ...{ outbox: [], frames: [], devices: [], marks: [] },
      ...kept,
      ...('author' in id && !kept?.entry ? await this.#undecided(id) : {}),
    };
  }

  /** What this cell keeps of the log, and of the entry if it has come here. */
  async #kept(place: { log: bigint; seq: number }): Promise<Partial<Passport> | undefined> {
    const { query, store } = this.#options;
    const found = await store.readRow(place.log);
    if (!found) return undefined;
    const [entry] = await store.readRange(place.log, place.seq, place.seq, 1);
    const behind = Math.max(0, (await readBehindOf(query, place.log)) - found.row.head);
    return {
      log: { ...logOf(found), behind },
      devices: this.#devicesOf(place, found.state),
      marks: await this.#marksOf(place, found.state),
      ...(entry
        ? { entry: traceOf(entry), outbox: await this.#outboxOf(entry, found.state), frames: await this.#framesOf(entry, found.state) }
        : {}),
    };
  }

  async #undecided(id: { author: bigint; clientEntryId: bigint }): Promise<Partial<Passport>> {
    const intake = await readIntakeOf(this.#options.query, id.author, id.clientEntryId);
    if (intake) return { intake: intakeOf(intake) };
    const refused = await readRefusal(this.#options.store, id);
    return refused ? { refused } : {};
  }

  /** Ids of frames carry the time of their transaction, so that a frame is found by its entry's time. */
  async #outboxOf(entry: Entry, state: LogState): Promise<Passport['outbox']> {
    if (ownerOf(state) !== this.#options.cell.number) return [];
    const [from, to] = [makeId(entry.ts - cellLimits.stampWindowMs, 0, 0, 0), makeId(entry.ts + cellLimits.stampWindowMs, 0, 0, 0)];
    const rows = await Promise.all(this.#peersOf(state).map((dst) => readOutboxBetween(this.#options.query, dst, { from, to })));
    return rows
      .flat()
      .filter(({ ranges }) => ranges.some((range) => range.log === entry.log && range.first <= entry.seq && entry.seq <= range.last))
      .map(({ dst, id, sinceMs }) => ({ dst, id: String(id), sinceMs }));
  }

  async #framesOf(entry: Entry, state: LogState): Promise<FrameTrace[]> {
    const { stamps, cell } = this.#options;
    const isOwner = ownerOf(state) === cell.number;
    const peers = isOwner ? this.#peersOf(state) : [ownerOf(state)];
    const window = cellLimits.stampWindowMs;
    const near = (await stamps.find(peers, entry.ts - window, entry.ts + window)).filter(
      ({ way, lane, id, marks }) =>
        way === (isOwner ? 'out' : 'in') &&
        lane === laneOf(entry.log) &&
        id >= makeId(entry.ts, 0, 0, 0) &&
        (marks.length === 0 || marks.includes(markOf(entry.log))),
    );
    return peers.flatMap((peer) => nearest(near.filter((stamp) => stamp.peer === peer)));
  }

  #devicesOf({ log, seq }: { log: bigint; seq: number }, state: LogState): Passport['devices'] {
    const { online, hub } = this.#options;
    const told = hub.headOf(log) ?? 0;
    return online
      .devicesOf(state.members)
      .map(({ user, device, openedAt }) => ({ user: String(user), device, sinceMs: openedAt, pushed: told >= seq }));
  }

  async #marksOf({ log, seq }: { log: bigint; seq: number }, state: LogState): Promise<Passport['marks']> {
    const marks = await this.#options.store.marksOf(log);
    return marks
      .filter(({ user }) => state.members.has(user))
      .map((mark) => clampMark(mark, state.epochs))
      .map((mark) => ({ user: String(mark.user), delivered: mark.delivered >= seq, seen: mark.seen >= seq }));
  }

  #peersOf(state: LogState): number[] {
    return [...state.cells.keys()].filter((each) => each !== this.#options.cell.number);
  }
}

/** The first frames after the entry's time; sure when there is one that names the log and none other of its moment. */
function nearest(stamps: readonly Stamp[]): FrameTrace[] {
  const sorted = [...stamps].sort((a, b) => (a.id < b.id ? -1 : 1));
  const first = sorted[0];
  if (!first) return [];
  const close = sorted.filter(({ id }) => id - first.id < sameMoment);
  // The same frame twice: another node sent it again, and both wrote it down.
  const ids = new Set(close.map(({ id }) => id));
  const sure = ids.size === 1 && close.every(({ marks }) => marks.length > 0);
  return close.slice(0, cellLimits.stampAnswersMax).map(({ id, peer, way, attempt, entries, sentMs, storedMs, doneMs }) => ({
    ...{ id: String(id), peer, way, attempt, entries, sure, sentMs, storedMs, doneMs },
  }));
}

/** Ids of 5 ms. */
const sameMoment = 5n << 22n;

const traceOf = (entry: Entry): EntryTrace => ({
  log: String(entry.log),
  seq: entry.seq,
  epoch: String(entry.epoch),
  owner: ownerOf(entry),
  author: String(entry.author),
  clientEntryId: String(entry.clientEntryId),
  kind: entry.kind,
  ts: entry.ts,
  lane: laneOf(entry.log),
});

const logOf = ({ state, row, start }: LogAnswer): Omit<NonNullable<Passport['log']>, 'behind'> => ({
  kind: state.kind,
  status: row.status,
  owner: ownerOf(state),
  start,
  head: row.head,
  members: [...state.members].map(([user, { home }]) => ({ user: String(user), home })),
  cells: [...state.cells].map(([cell, { from, until }]) => ({ cell, from, until })),
});

const intakeOf = ({ row, lowestOpen }: NonNullable<Awaited<ReturnType<typeof readIntakeOf>>>): IntakeTrace => ({
  dst: row.dst,
  log: String(row.log),
  n: row.n,
  lowestOpen,
  sinceMs: row.createdMs,
});
