// The sockets of one node and the logs their people are in. Commits of this node and of the others come in here; each
// socket gets a log's entries in seq order only (R20).
//
// A watched log has a head: the last seq told to its watchers. What continues it goes out at once. What lies beyond is
// held until the entries between have come from another node, or were read from SQL.

import { LogJoined, LogLeft, type ServerFrame } from '@weft/proto/gen/weft/client/v1/client.ts';
import { type Digest, moveHead, toggleHead } from '@weft/proto/heads-digest.ts';
import { type Entry, kinds } from '../delivery/entry.ts';
import type { Run } from '../wire/frames.ts';
import { SharedPush } from './shared-push.ts';

export type PushEvent = NonNullable<ServerFrame['event']>;

/** A connection, as the hub sees it. */
export interface Receiver {
  push(push: SharedPush): void;
  tell(event: PushEvent): void;
}

/** The author's socket of a fresh entry: it is told Accepted in the entry's place. */
export interface Origin {
  readonly receiver: unknown;
  accept(): void;
}

export type Origins = ReadonlyMap<Entry, Origin>;

export interface HeadRow {
  readonly log: bigint;
  readonly epoch: bigint;
  readonly head: number;
}

interface Watched {
  readonly log: bigint;
  epoch: bigint;
  head: number;
  readonly users: Set<OnlineUser>;
  held: { entries: readonly Entry[]; origins: Origins | undefined }[];
  filling: boolean;
}

/** A user with at least one socket on this node. */
export interface OnlineUser {
  readonly user: bigint;
  readonly digest: Digest;
  readonly receivers: Set<Receiver>;
  readonly logs: Set<Watched>;
}

export interface HubOptions {
  /** Entries from <= seq, in order, read from SQL. */
  readonly readRange: (log: bigint, from: number, limit: number) => Promise<readonly Entry[]>;
  /** Heads of these logs, read from SQL. */
  readonly readHeads: (logs: readonly bigint[]) => Promise<readonly HeadRow[]>;
  readonly failed: (error: unknown) => void;
  readonly fillEntriesMax: number;
  /** Runs one log may hold beyond its head. */
  readonly heldRunsMax: number;
  /** A failpoint: true leaves a push out, while the digest still counts it. */
  readonly dropsPush?: () => boolean;
}

export class Hub {
  readonly #options: HubOptions;
  readonly #users = new Map<bigint, OnlineUser>();
  readonly #logs = new Map<bigint, Watched>();
  /** Users whose heads are being read, and the runs that came meanwhile: they may be newer than what was read. */
  #opening = 0;
  #recent: Run[] = [];

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
    this.#opening += 1;
    const from = this.#recent.length;
    try {
      const read = await readHeads();
      const online = this.#users.get(user) ?? this.#attachAll(user, read.heads, this.#recent.slice(from));
      online.receivers.add(receiver);
      return { online, read };
    } finally {
      this.#opening -= 1;
      if (this.#opening === 0) this.#recent = [];
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
    if (this.#opening > 0) this.#recent.push(...runs);
    for (const run of runs) if (changesMembership(run)) this.#followMembership(run, runs);
    for (const run of runs) this.#deliverRun(run, origins);
  }

  /** Something other than entries, to everybody here who is in the log. */
  tellWatchers(log: bigint, event: PushEvent): void {
    for (const online of this.#logs.get(log)?.users ?? []) for (const receiver of online.receivers) receiver.tell(event);
  }

  /** Heads may have moved without this node hearing of it: read them and fetch what is missing. */
  async catchUp(): Promise<void> {
    const heads = await this.#options.readHeads(this.watched());
    for (const { log, epoch, head } of heads) {
      const watched = this.#logs.get(log);
      if (!watched || watched.head >= head) continue;
      watched.epoch = epoch;
      this.#fill(watched);
    }
  }

  #attachAll(user: bigint, heads: readonly HeadRow[], recent: readonly Run[]): OnlineUser {
    const online: OnlineUser = { user, digest: { hi: 0, lo: 0 }, receivers: new Set(), logs: new Set() };
    this.#users.set(user, online);
    const newest = new Map(recent.map((run) => [run.log, run.entries.at(-1)?.seq ?? 0]));
    for (const row of heads) this.#watch(online, { ...row, head: Math.max(row.head, newest.get(row.log) ?? 0) });
    for (const run of recent) if (run.log === user && changesMembership(run)) this.#followMembership(run, recent);
    return online;
  }

  #watch(online: OnlineUser, row: HeadRow): void {
    let watched = this.#logs.get(row.log);
    if (!watched) {
      watched = { log: row.log, epoch: row.epoch, head: row.head, users: new Set(), held: [], filling: false };
      this.#logs.set(row.log, watched);
    }
    if (watched.users.has(online)) return;
    watched.users.add(online);
    online.logs.add(watched);
    toggleHead(online.digest, watched.log, watched.epoch, watched.head);
  }

  #unwatch(watched: Watched, online: OnlineUser): void {
    if (!watched.users.delete(online)) return;
    online.logs.delete(watched);
    toggleHead(online.digest, watched.log, watched.epoch, watched.head);
    if (watched.users.size === 0) this.#logs.delete(watched.log);
  }

  /** A self log tells which logs its user joined and left. */
  #followMembership(selfRun: Run, runs: readonly Run[]): void {
    const online = this.#users.get(selfRun.log);
    if (!online) return;
    for (const entry of selfRun.entries) {
      if (entry.kind === kinds.logJoined) {
        const joined = LogJoined.decode(entry.body);
        const epoch = runs.find((run) => run.log === joined.log)?.entries[0]?.epoch ?? entry.epoch;
        this.#watch(online, { log: joined.log, epoch, head: Number(joined.from) - 1 });
      } else if (entry.kind === kinds.logLeft) {
        const watched = this.#logs.get(LogLeft.decode(entry.body).log);
        if (watched) this.#unwatch(watched, online);
      }
    }
  }

  #deliverRun(run: Run, origins: Origins | undefined): void {
    const watched = this.#logs.get(run.log);
    const first = run.entries[0];
    const last = run.entries.at(-1);
    if (!first || !last) return;
    if (!watched || last.seq <= watched.head) return acceptAll(run.entries, origins);
    if (first.seq > watched.head + 1) return this.#hold(watched, run.entries, origins);
    this.#emit(watched, first.seq === watched.head + 1 ? run.entries : run.entries.filter((e) => e.seq > watched.head), origins);
    this.#releaseHeld(watched);
  }

  #emit(watched: Watched, entries: readonly Entry[], origins: Origins | undefined): void {
    const last = entries.at(-1) as Entry;
    const moved: Digest = { hi: 0, lo: 0 };
    if (last.epoch === watched.epoch) moveHead(moved, watched.log, watched.epoch, watched.head, last.seq);
    else {
      toggleHead(moved, watched.log, watched.epoch, watched.head);
      toggleHead(moved, watched.log, last.epoch, last.seq);
    }
    watched.head = last.seq;
    watched.epoch = last.epoch;
    const push = new SharedPush(entries);
    const dropped = this.#options.dropsPush?.() === true;
    for (const online of watched.users) {
      online.digest.hi = (online.digest.hi ^ moved.hi) >>> 0;
      online.digest.lo = (online.digest.lo ^ moved.lo) >>> 0;
      if (!dropped) for (const receiver of online.receivers) sendTo(receiver, push, origins);
    }
    if (origins && (dropped || watched.users.size === 0)) acceptAll(entries, origins);
  }

  #hold(watched: Watched, entries: readonly Entry[], origins: Origins | undefined): void {
    watched.held.push({ entries, origins });
    // The author waits for the answer, not for its place in the push; too many held runs are read again from SQL.
    if (watched.held.length > this.#options.heldRunsMax) acceptAll(watched.held[0]?.entries ?? [], watched.held.shift()?.origins);
    this.#fill(watched);
  }

  #releaseHeld(watched: Watched): void {
    if (watched.held.length === 0) return;
    const held = watched.held.sort((a, b) => (a.entries[0]?.seq ?? 0) - (b.entries[0]?.seq ?? 0));
    watched.held = [];
    for (const { entries, origins } of held) {
      const first = entries[0] as Entry;
      const last = entries.at(-1) as Entry;
      if (last.seq <= watched.head) acceptAll(entries, origins);
      else if (first.seq <= watched.head + 1)
        this.#emit(
          watched,
          entries.filter((e) => e.seq > watched.head),
          origins,
        );
      else watched.held.push({ entries, origins });
    }
  }

  #fill(watched: Watched): void {
    if (watched.filling) return;
    watched.filling = true;
    this.#fillFromStore(watched).catch((error: unknown) => {
      watched.filling = false;
      this.#options.failed(error);
    });
  }

  /** Reads what lies between the head and what is held, or up to the stored head. */
  async #fillFromStore(watched: Watched): Promise<void> {
    for (;;) {
      const entries = await this.#options.readRange(watched.log, watched.head + 1, this.#options.fillEntriesMax);
      const fresh = entries.filter((e) => e.seq > watched.head);
      // Only up to what is held: that comes with the authors who wait for it.
      const until = Math.min(...watched.held.map((h) => h.entries[0]?.seq ?? Number.POSITIVE_INFINITY), Number.POSITIVE_INFINITY);
      const between = fresh.filter((e) => e.seq < until);
      if (between[0]?.seq === watched.head + 1) this.#emit(watched, between, undefined);
      this.#releaseHeld(watched);
      if (entries.length < this.#options.fillEntriesMax) break;
    }
    watched.filling = false;
  }
}

const changesMembership = (run: Run): boolean => run.entries.some((e) => e.kind === kinds.logJoined || e.kind === kinds.logLeft);

function acceptAll(entries: readonly Entry[], origins: Origins | undefined): void {
  if (!origins) return;
  for (const entry of entries) origins.get(entry)?.accept();
}

/** The whole push; or, to the socket that sent some of its entries, those as Accepted in their place. */
function sendTo(receiver: Receiver, push: SharedPush, origins: Origins | undefined): void {
  if (!origins || !push.entries.some((e) => origins.get(e)?.receiver === receiver)) return receiver.push(push);
  let others: Entry[] = [];
  for (const entry of push.entries) {
    const origin = origins.get(entry);
    if (origin?.receiver !== receiver) {
      others.push(entry);
      continue;
    }
    if (others.length > 0) receiver.push(new SharedPush(others));
    others = [];
    origin.accept();
  }
  if (others.length > 0) receiver.push(new SharedPush(others));
}
