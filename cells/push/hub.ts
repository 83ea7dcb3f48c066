// The sockets of one node and the logs their people are in. Commits of this node and of the others come in here; each
// socket gets a log's entries in seq order only (R20).
//
// A watched log has a head: the last seq told to its watchers. What continues it goes out at once. What lies beyond is
// held until the entries between have come from another node, or were read from SQL.

import { LogJoined, LogLeft } from '@weft/proto/gen/weft/client/v1/client.ts';
import { type Digest, moveHead, toggleHead } from '@weft/proto/heads-digest.ts';
import { type Entry, kinds } from '../delivery/entry.ts';
import { type FollowingEpoch, following } from '../delivery/epochs.ts';
import type { Run } from '../wire/frames.ts';
import type { HeadRow, HubOptions } from './hub-options.ts';
import { acceptAll, type Origins, pushesOf, sendTo } from './origins.ts';
import { RecentRuns } from './recent-runs.ts';
import type { OnlineUser, PushEvent, Receiver } from './watched.ts';
import { beginEpochs, isGivenUp, type Piece, shiftHead, tellBegins, tellsBegins, type Watched } from './watched.ts';

export type { HeadRow, HubOptions } from './hub-options.ts';
export type { OnlineUser, PushEvent, Receiver } from './watched.ts';

export class Hub {
  readonly #options: HubOptions;
  readonly #users = new Map<bigint, OnlineUser>();
  readonly #logs = new Map<bigint, Watched>();
  readonly #recent = new RecentRuns();
  /** Logs whose missing entries could not be read. */
  readonly #unfilled = new Set<Watched>();
  /** Any watched head may have moved: until what was begun for it is through. */
  #suspicion: object | undefined;

  constructor(options: HubOptions) {
    this.#options = options;
  }

  get userCount(): number {
    return this.#users.size;
  }

  user(id: bigint): OnlineUser | undefined {
    return this.#users.get(id);
  }

  /** Every log that somebody here watches. */
  watched(): bigint[] {
    return [...this.#logs.keys()];
  }

  headOf(log: bigint): number | undefined {
    return this.#logs.get(log)?.head;
  }

  /** Adds a socket. `readHeads` reads the user's logs; what commits while it does is not missed. */
  async open<T extends { readonly heads: readonly HeadRow[] }>(
    user: bigint,
    receiver: Receiver,
    readHeads: () => Promise<T>,
  ): Promise<{ online: OnlineUser; read: T }> {
    const reading = this.#recent.begin();
    try {
      const read = await readHeads();
      const online = this.#users.get(user) ?? this.#attach(user, read.heads, this.#recent.since(reading));
      online.receivers.add(receiver);
      return { online, read };
    } finally {
      this.#recent.end(reading);
    }
  }

  close(user: bigint, receiver: Receiver): void {
    const online = this.#users.get(user);
    if (!online?.receivers.delete(receiver) || online.receivers.size > 0) return;
    this.#users.delete(user);
    for (const watched of online.logs) this.#unwatch(watched, online);
  }

  /** Tells what one transaction committed. Self logs first: a removal is seen before what follows it (R19). */
  deliver(runs: readonly Run[], origins?: Origins): void {
    this.#recent.told(runs);
    const self = runs.filter((run) => changesMembership(run.entries));
    for (const run of self) this.#deliverRun(run.log, { entries: run.entries, origins, runs });
    for (const run of runs) if (!self.includes(run)) this.#deliverRun(run.log, { entries: run.entries, origins });
  }

  /** Something other than entries, to everybody here who is in the log. */
  tellWatchers(log: bigint, event: PushEvent): void {
    for (const online of this.#logs.get(log)?.users.keys() ?? []) for (const receiver of online.receivers) receiver.tell(event);
  }

  /** To every socket of one user here. */
  tellUser(user: bigint, event: PushEvent): void {
    for (const receiver of this.#users.get(user)?.receivers ?? []) receiver.tell(event);
  }

  /** Heads may have moved without this node hearing of it: they are read, again at each retry until that worked. */
  doubt(): void {
    this.catchUp().catch(this.#options.failed);
  }

  /** Reads the watched heads and fetches what is missing. */
  async catchUp(): Promise<void> {
    const suspicion = {};
    this.#suspicion = suspicion;
    const heads = await this.#options.readHeads(this.watched());
    for (const { log, head, epoch } of heads) {
      const watched = this.#logs.get(log);
      if (watched && watched.epoch < epoch) this.moveEpochs(log, following(await this.#options.readEpochs(log)));
      if (watched && watched.head < head) this.#fill(watched);
    }
    // What came up meanwhile is looked into by itself.
    if (this.#suspicion === suspicion) this.#suspicion = undefined;
  }

  /** Newer epochs of a log began, oldest first: watchers forget what is above the lowest of their bases, and are told anew. */
  moveEpochs(log: bigint, starts: readonly FollowingEpoch[]): void {
    const watched = this.#logs.get(log);
    if (watched) this.#begin(watched, starts);
  }

  #begin(watched: Watched, starts: readonly FollowingEpoch[]): void {
    // Of a log that was joined a moment ago nothing was told yet: only what begins beyond that is news.
    const isNew = watched.epoch === 0n;
    const { newer, dropped } = beginEpochs(watched, isNew ? starts.filter(({ base }) => base >= watched.head) : starts);
    for (const { entries, origins } of dropped) acceptAll(entries, origins);
    tellBegins(watched, newer);
  }

  /** Now and then: reads again what could not be read. */
  retry(): void {
    if (this.#suspicion) this.doubt();
    const waiting = [...this.#unfilled];
    this.#unfilled.clear();
    for (const watched of waiting) this.#fill(watched);
  }

  #attach(user: bigint, heads: readonly HeadRow[], recent: readonly Run[]): OnlineUser {
    const online: OnlineUser = { user, digest: { hi: 0, lo: 0 }, receivers: new Set(), logs: new Set() };
    this.#users.set(user, online);
    const newest = new Map<bigint, Entry>();
    for (const { log, entries } of recent) {
      const last = entries.at(-1);
      if (last && last.seq > (newest.get(log)?.seq ?? 0)) newest.set(log, last);
    }
    for (const row of heads) {
      const last = newest.get(row.log);
      const epoch = last && last.epoch > row.epoch ? last.epoch : row.epoch;
      this.#watch(online, last && last.seq > row.head ? { log: row.log, epoch, head: last.seq } : row, 0);
    }
    const known = heads.find(({ log }) => log === user)?.head ?? 0;
    for (const { log, entries } of recent) {
      if (log === user)
        this.#follow(
          online,
          entries.filter((e) => e.seq > known),
          [],
        );
    }
    return online;
  }

  #watch(online: OnlineUser, row: HeadRow, from: number): Watched {
    let watched = this.#logs.get(row.log);
    if (!watched) {
      watched = {
        log: row.log,
        epoch: row.epoch,
        head: row.head,
        begins: [],
        users: new Map(),
        held: [],
        filling: false,
        fillAgain: false,
        isUnsure: false,
      };
      this.#logs.set(row.log, watched);
    }
    if (watched.users.has(online)) return watched;
    watched.users.set(online, from);
    online.logs.add(watched);
    toggleHead(online.digest, watched.log, watched.epoch, watched.head);
    return watched;
  }

  #unwatch(watched: Watched, online: OnlineUser): void {
    if (!watched.users.delete(online)) return;
    online.logs.delete(watched);
    toggleHead(online.digest, watched.log, watched.epoch, watched.head);
    if (watched.users.size > 0) return;
    this.#logs.delete(watched.log);
    this.#unfilled.delete(watched);
    for (const { entries, origins } of watched.held) acceptAll(entries, origins);
  }

  #leave(online: OnlineUser, left: Entry): void {
    const watched = this.#logs.get(LogLeft.decode(left.body).log);
    if (watched) this.#unwatch(watched, online);
  }

  /** A self log tells which logs its user joined and left. `runs`: what is told next. */
  #follow(online: OnlineUser, entries: readonly Entry[], runs: readonly Run[]): void {
    for (const entry of entries) {
      if (entry.kind === kinds.logLeft) this.#leave(online, entry);
      if (entry.kind !== kinds.logJoined) continue;
      const joined = LogJoined.decode(entry.body);
      const from = Number(joined.from);
      const run = runs.find(({ log }) => log === joined.log);
      const watched = this.#watch(online, { log: joined.log, epoch: run?.entries[0]?.epoch ?? 0n, head: from - 1 }, from);
      // Even what is told next is not all: another node's later word may have come while nobody here watched, and comes once.
      this.#fill(watched);
    }
  }

  #deliverRun(log: bigint, { entries: told, origins, runs = [] }: Piece): void {
    const watched = this.#logs.get(log);
    const entries = watched && watched.begins.length > 0 ? told.filter((entry) => !isGivenUp(watched, entry)) : told;
    if (entries.length < told.length)
      acceptAll(
        told.filter((entry) => !entries.includes(entry)),
        origins,
      );
    const first = entries[0];
    const last = entries.at(-1);
    if (!first || !last) return;
    if (!watched || last.seq <= watched.head) return acceptAll(entries, origins);
    const isBeyond = first.seq > watched.head + 1 && this.#options.pushesAtOnce !== true;
    const fresh = entries.filter((e) => e.seq > watched.head);
    if (isBeyond || !this.#mayTell(watched, fresh)) return this.#hold(watched, { entries, origins });
    this.#emit(watched, { entries: fresh, origins, runs });
    acceptAll(entries, origins);
    this.#releaseHeld(watched);
  }

  /** Not before it is known where their epoch begins: what its watchers hold above that was given up. */
  #mayTell(watched: Watched, fresh: readonly Entry[]): boolean {
    watched.isUnsure ||= !tellsBegins(watched, fresh);
    return !watched.isUnsure;
  }

  /** Tells entries that continue the head. */
  #emit(watched: Watched, { entries, origins, runs = [] }: Piece): void {
    const first = entries[0] as Entry;
    if (watched.epoch === 0n) shiftHead(watched, first.epoch, watched.head);
    // The first entry of an epoch says that it began.
    const begins = entries.findIndex((entry) => entry.epoch > watched.epoch);
    if (begins >= 0) {
      if (begins > 0) this.#emit(watched, { entries: entries.slice(0, begins), origins, runs });
      const { epoch, seq } = entries[begins] as Entry;
      // Nobody may watch it any more: it was being read meanwhile.
      this.#begin(watched, [{ epoch, base: seq - 1, after: watched.epoch }]);
      return this.#emit(watched, { entries: entries.slice(begins), origins, runs });
    }
    const moved = this.#move(watched, entries.at(-1) as Entry);
    const { pushBytesMax, dropsPush } = this.#options;
    const pushes = dropsPush?.() === true ? [] : pushesOf(entries, pushBytesMax);
    for (const [online, from] of watched.users) {
      online.digest.hi = (online.digest.hi ^ moved.hi) >>> 0;
      online.digest.lo = (online.digest.lo ^ moved.lo) >>> 0;
      if (pushes.length === 0) continue;
      const visible =
        from <= first.seq
          ? pushes
          : pushesOf(
              entries.filter((e) => e.seq >= from),
              pushBytesMax,
            );
      for (const receiver of online.receivers) for (const push of visible) sendTo(receiver, push, origins);
    }
    // Authors who do not watch: removed in this very transaction, or gone.
    acceptAll(entries, origins);
    const self = this.#users.get(watched.log);
    if (self && changesMembership(entries)) this.#follow(self, entries, runs);
  }

  /** Moves the head; answers what that changes in each digest. */
  #move(watched: Watched, last: Entry): Digest {
    const moved: Digest = { hi: 0, lo: 0 };
    moveHead(moved, watched, watched.head, last.seq);
    watched.head = last.seq;
    return moved;
  }

  #hold(watched: Watched, piece: Piece): void {
    // Its place in the self log comes later, but a removal must not wait for it.
    const self = this.#users.get(watched.log);
    if (self) for (const entry of piece.entries) if (entry.kind === kinds.logLeft) this.#leave(self, entry);
    watched.held.push(piece);
    // The author waits for the answer, not for its place in the push; too many held runs are read again from SQL.
    if (watched.held.length > this.#options.heldRunsMax) {
      const oldest = watched.held.shift() as Piece;
      acceptAll(oldest.entries, oldest.origins);
    }
    this.#fill(watched);
  }

  #releaseHeld(watched: Watched): void {
    if (watched.held.length === 0) return;
    const held = watched.held.sort((a, b) => (a.entries[0]?.seq ?? 0) - (b.entries[0]?.seq ?? 0));
    watched.held = [];
    for (const piece of held) {
      const { entries, origins } = piece;
      const fresh = entries.filter((e) => e.seq > watched.head);
      if (fresh.length > 0 && (fresh[0]?.seq !== watched.head + 1 || !this.#mayTell(watched, fresh))) {
        watched.held.push(piece);
        continue;
      }
      if (fresh.length > 0) this.#emit(watched, { entries: fresh, origins });
      acceptAll(entries, origins);
    }
  }

  #fill(watched: Watched): void {
    watched.fillAgain = true;
    if (watched.filling) return;
    watched.filling = true;
    this.#fillFromStore(watched).catch((error: unknown) => {
      watched.filling = false;
      if (this.#logs.get(watched.log) === watched) this.#unfilled.add(watched);
      // They are committed; only their place among the pushes is not known yet.
      for (const { entries, origins } of watched.held) acceptAll(entries, origins);
      this.#options.failed(error);
    });
  }

  /** Reads what lies between the head and what is held, or up to the stored head. */
  async #fillFromStore(watched: Watched): Promise<void> {
    const { readRange, fillEntriesMax } = this.#options;
    for (let moved = true; (moved || watched.fillAgain) && this.#logs.get(watched.log) === watched; ) {
      watched.fillAgain = false;
      if (watched.isUnsure) await this.#readEpochs(watched);
      const before = watched.head;
      const entries = await readRange(watched.log, before + 1, fillEntriesMax);
      // Only up to what is held: that comes with the authors who wait for it.
      const until = Math.min(...watched.held.map((h) => h.entries[0]?.seq ?? Number.POSITIVE_INFINITY), Number.POSITIVE_INFINITY);
      const between = entries.filter((e) => e.seq > watched.head && e.seq < until);
      if (between[0]?.seq === watched.head + 1 && this.#mayTell(watched, between)) this.#emit(watched, { entries: between });
      this.#releaseHeld(watched);
      const isAll = entries.length < fillEntriesMax && watched.head >= (entries.at(-1)?.seq ?? 0);
      moved = watched.isUnsure || (watched.head > before && !isAll);
    }
    watched.filling = false;
  }

  async #readEpochs(watched: Watched): Promise<void> {
    const epochs = await this.#options.readEpochs(watched.log);
    watched.isUnsure = false;
    this.#begin(watched, following(epochs));
  }
}

const changesMembership = (entries: readonly Entry[]): boolean =>
  entries.some((e) => e.kind === kinds.logJoined || e.kind === kinds.logLeft);
