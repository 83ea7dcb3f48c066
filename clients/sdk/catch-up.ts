// Keeps the logs whole: takes entries in, notices what is missing (a hole, a head the cell named, a digest that differs)
// and fetches it. Delivery rules R20, R21, R24.

import type { Head, Heads, Page, Truncated, Welcome } from '@weft/proto/gen/weft/client/v1/client.ts';
import { bucketOf } from '@weft/proto/heads-digest.ts';
import { limits as wireLimits } from '@weft/proto/limits.ts';

import { type Begin, beginsOf } from './begins.ts';
import type { CatchUpEvents, PageBounds } from './catch-up-events.ts';
import { type Entry, entryFromWire } from './entry.ts';
import type { Holdings } from './holdings.ts';
import { clientLimits as limits } from './limits.ts';
import { asFault } from './line.ts';
import type { LogView } from './log-view.ts';
import type { Clock } from './ports.ts';
import type { Requests } from './requests.ts';

export class CatchUp {
  readonly #holdings: Holdings;
  readonly #requests: Requests;
  readonly #clock: Clock;
  readonly #events: CatchUpEvents;
  readonly #isMe: (user: bigint) => boolean;
  /** Views that may have something to fetch. */
  readonly #behind = new Set<LogView>();
  #inFlight = 0;
  readonly #stuck = new WeakMap<LogView, number>();
  #comparing = false;
  #compared = false;
  /** The first comparison is over: a log that turns up now is new. */
  #opened = false;
  #attached = false;
  #cancelTimer: (() => void) | undefined;
  #timerDueMs = Number.POSITIVE_INFINITY;
  /** Of the newest Welcome or Heartbeat that found us whole. */
  cursor: Uint8Array = new Uint8Array(0);

  constructor(options: { holdings: Holdings; requests: Requests; clock: Clock; events: CatchUpEvents; isMe: (user: bigint) => boolean }) {
    this.#holdings = options.holdings;
    this.#requests = options.requests;
    this.#clock = options.clock;
    this.#events = options.events;
    this.#isMe = options.isMe;
  }

  attached(welcome: Welcome): void {
    this.#attached = true;
    [this.#inFlight, this.#comparing, this.#compared] = [0, false, false];
    for (const view of this.#holdings.all()) view.fetching = false;
    for (const head of welcome.heads) this.#noteHead(head);
    this.#check(welcome.digest, welcome.cursor);
    this.#pump();
  }

  detached(): void {
    this.#attached = false;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  /** The heartbeat comes in line with the pushes: a digest that differs now means that something was lost. */
  heartbeat(digest: bigint, cursor: Uint8Array): void {
    this.#compared = false;
    this.#check(digest, cursor, true);
    this.#pump();
  }

  /** Pushes were left out. */
  resync(): void {
    this.#compare(false);
  }

  /** One entry, however it came. */
  take(entry: Entry): void {
    const view = this.#holdings.open(entry.log);
    this.#takeAll(view, [entry]);
    if (view.behind) this.#watch(view);
  }

  /** What comes in one page is told at once: of a self log only the end of it says which logs the user is in. */
  #takeAll(view: LogView, entries: readonly Entry[]): void {
    const taken: Entry[] = [];
    const nowMs = this.#clock.monotonic();
    for (const entry of entries) {
      if (!view.anchored) this.#anchorBy(view, entry);
      const cut = view.offer(entry, nowMs, taken);
      if (cut === undefined) continue;
      this.#tell(view, taken.splice(0));
      this.#truncate(view, { epoch: entry.epoch, base: cut });
      view.offer(entry, nowMs, taken);
    }
    this.#tell(view, taken);
  }

  truncated({ log, epoch, base, after }: Truncated): void {
    const view = this.#holdings.view(log);
    if (view === undefined) return;
    const begin = { epoch, base: Number(base), after };
    if (view.asksWhereBegan(begin)) this.#watch(view);
    else this.#truncate(view, begin);
  }

  /** The user became a member: the log is visible from this seq on. */
  joined(log: bigint, from: number): void {
    const view = this.#holdings.open(log);
    view.uncounted = false;
    const isElsewhere = from - 1 < view.origin || (view.unjoined && from - 1 > view.origin);
    const isAnew = isElsewhere && view.anchored && !view.left;
    view.unjoined = false;
    if (!isAnew && !view.left && view.head >= from - 1) return;
    const [origin, shown] = [view.origin, isAnew ? view.entries.slice() : []];
    view.anchor(from - 1, view.epoch);
    if (isAnew) this.#events.truncated(view, Math.min(origin, from - 1), shown);
    this.#events.anchored(view);
    view.known = Math.max(view.known, from);
    // The pushes of the join itself are on their way: give them the time a hole is given.
    view.notBeforeMs = this.#clock.monotonic() + limits.holdMs;
    this.#settle(view);
    this.#watch(view);
  }

  leftLog(log: bigint, until: number): boolean {
    const view = this.#holdings.open(log);
    const left = view.leave(until);
    this.#holdings.touch(view);
    return left;
  }

  noteHeads(heads: Heads): void {
    for (const { head } of heads.logs) if (head !== undefined) this.#noteHead(head);
    this.#pump();
  }

  /** A page read for the caller tells as much as one read for a gap. */
  notePage(page: Page, asked: Pick<PageBounds, 'from' | 'before' | 'head'>): readonly Entry[] {
    const entries = page.entries.map(entryFromWire);
    this.#events.read(page.log, entries, { ...asked, visibleFrom: Number(page.visibleFrom), end: page.end });
    const view = this.#holdings.view(page.log);
    if (view === undefined || view.left || !view.anchored) return entries;
    this.#learnEpochs(view, page);
    const above = entries.filter(({ seq }) => seq > view.head);
    this.#takeAll(view, above);
    if (view.behind) this.#watch(view);
    if (page.head !== undefined) this.#noteHead(page.head);
    view.prepend(entries);
    return entries;
  }

  /** Somebody listens from now on: what the view lacks is fetched. */
  watch(view: LogView): void {
    view.wanted = true;
    if (view.behind) this.#watch(view);
  }

  #noteLost(head: Head): void {
    const view = this.#holdings.view(head.log);
    const seq = Number(head.seq);
    if (view?.anchored === true && !view.left && view.epoch === head.epoch && seq > view.head) this.#events.lost(view, seq);
  }

  #noteHead(head: Head): void {
    const view = this.#holdings.open(head.log);
    view.uncounted = false;
    const seq = Number(head.seq);
    const cut = view.noteHead({ epoch: head.epoch, seq }, !this.#opened);
    if (cut !== undefined) {
      this.#truncate(view, { epoch: head.epoch, base: cut });
      view.noteHead({ epoch: head.epoch, seq });
    }
    this.#holdings.touch(view);
    if (view.behind) this.#behind.add(view);
  }

  #anchorBy(view: LogView, entry: Entry): void {
    const joined = entry.body?.$case === 'membersAdded' ? entry.body.value.members.find((member) => this.#isMe(member.user)) : undefined;
    const base = entry.seq === 1 ? 0 : joined !== undefined ? Number(joined.from) - 1 : undefined;
    if (base === undefined) return;
    view.anchor(base, 0n);
    this.#events.anchored(view);
  }

  #learnEpochs(view: LogView, page: Page): void {
    for (const begin of view.learnEpochs(beginsOf(page), page.head?.epoch ?? 0n)) this.#truncate(view, begin);
  }

  #truncate(view: LogView, by: Begin): void {
    const cut = view.truncate(by);
    this.#holdings.touch(view);
    if (cut !== undefined) this.#events.truncated(view, by.base, cut);
  }

  /** What was held beyond an anchor is let in. */
  #settle(view: LogView): void {
    const taken: Entry[] = [];
    view.settle(this.#clock.monotonic(), taken);
    this.#tell(view, taken);
  }

  #tell(view: LogView, taken: readonly Entry[]): void {
    if (taken.length === 0) return;
    this.#holdings.touch(view);
    this.#events.taken(view, taken);
  }

  #watch(view: LogView): void {
    this.#behind.add(view);
    this.#pump();
  }

  /** `isLoss`: nothing is on its way that could make the difference. */
  #check(digest: bigint, cursor: Uint8Array, isLoss = false): void {
    if (this.#holdings.digest() === digest) this.cursor = cursor;
    // With fetches under way a difference is no news.
    else if (![...this.#behind].some((view) => view.behind)) this.#compare(isLoss);
  }

  #compare(isLoss: boolean): void {
    if (this.#comparing || this.#compared || !this.#attached) return;
    this.#comparing = true;
    const ended = (): void => {
      // Once per heartbeat: what a comparison does not heal is not healed by a loop.
      [this.#comparing, this.#compared] = [false, true];
      this.#pump();
    };
    this.#readUnequal(isLoss).then(ended, ended);
  }

  async #readUnequal(isLoss: boolean): Promise<void> {
    const theirs = await this.#requests.ask({ $case: 'readBuckets', value: {} }, 'buckets', { once: true });
    const ours = this.#holdings.buckets();
    const unequal = ours.flatMap((digest, bucket) => (theirs.digests[bucket] === digest ? [] : [bucket]));
    if (unequal.length === 0) return;
    const heads = await this.#requests.ask({ $case: 'readHeads', value: { buckets: unequal } }, 'heads', { once: true });
    if (isLoss) for (const { head } of heads.logs) if (head !== undefined) this.#noteLost(head);
    this.noteHeads(heads);
    if (!heads.end) return;
    const listed = new Set(heads.logs.map((info) => info.head?.log));
    for (const view of this.#holdings.all()) {
      if (listed.has(view.log) || !unequal.includes(bucketOf(view.log))) continue;
      view.uncounted = true;
      this.#holdings.touch(view);
    }
  }

  /** Starts the fetches that are due and sets the timer for the next. */
  #pump(): void {
    if (!this.#attached) return;
    const nowMs = this.#clock.monotonic();
    let nextMs = Number.POSITIVE_INFINITY;
    for (const view of this.#behind) {
      if (!view.behind) {
        this.#behind.delete(view);
        continue;
      }
      if (view.fetching) continue;
      const from = this.#inFlight < limits.fetchesInFlightMax ? view.gap(nowMs) : undefined;
      if (from !== undefined) this.#fetch(view, from);
      else if (this.#inFlight < limits.fetchesInFlightMax) nextMs = Math.min(nextMs, view.gapDueMs);
    }
    this.#arm(nextMs, nowMs);
    if (this.#behind.size === 0 && !this.#comparing) {
      this.#opened = true;
      this.#events.whole();
    }
  }

  #arm(dueMs: number, nowMs: number): void {
    if (this.#cancelTimer !== undefined && this.#timerDueMs <= dueMs) return;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    if (!Number.isFinite(dueMs)) return;
    this.#timerDueMs = dueMs;
    this.#cancelTimer = this.#clock.timer(Math.max(1, Math.ceil(dueMs - nowMs)), () => {
      this.#cancelTimer = undefined;
      this.#pump();
    });
  }

  #fetch(view: LogView, from: number): void {
    view.fetching = true;
    this.#inFlight += 1;
    const opening = !view.anchored;
    const range = { log: view.log, from: opening ? 0n : BigInt(from), before: 0n, limit: wireLimits.pageEntriesMax };
    this.#requests.ask({ $case: 'readHistory', value: range }, 'page', { once: true }).then(
      (page) => this.#fetched(view, opening ? undefined : from, page),
      (error: unknown) => this.#fetchFailed(view, asFault(error)),
    );
  }

  #fetched(view: LogView, from: number | undefined, page: Page): void {
    this.#fetchEnded(view);
    const visibleFrom = Number(page.visibleFrom);
    if (from === undefined && !view.anchored) this.#anchorByPage(view, page);
    else if (from !== undefined && visibleFrom > view.head + 1) {
      view.skipTo(visibleFrom - 1);
      this.#holdings.touch(view);
      this.#events.anchored(view);
    }
    this.#learnEpochs(view, page);
    const before = view.head;
    this.#takeAll(view, page.entries.map(entryFromWire));
    if (page.head !== undefined) this.#noteHead(page.head);
    if (view.head === before && view.behind) {
      this.#noteStuck(view, page);
      // The cell has nothing for us yet: it knows less than was pushed, or the range is gone.
      if (page.head !== undefined && page.end) view.forgetKnown(Number(page.head.seq));
      view.notBeforeMs = this.#clock.monotonic() + limits.fetchAgainMs;
    }
    this.#pump();
  }

  /** A row may be read a moment after the entries: only what stays is told. */
  #noteStuck(view: LogView, page: Page): void {
    const to = Math.min((view.lowestHeld ?? Number.POSITIVE_INFINITY) - 1, Number(page.head?.seq ?? 0n));
    if (to > view.head && this.#stuck.get(view) === view.head) this.#events.stuck(view, to);
    this.#stuck.set(view, to > view.head ? view.head : -1);
  }

  #anchorByPage(view: LogView, page: Page): void {
    const oldest = page.entries[0];
    const base = page.end ? Number(page.visibleFrom) - 1 : (view.lowestHeld ?? Number(oldest?.seq ?? 1n)) - 1;
    this.#anchor(view, Math.max(0, base));
  }

  #anchor(view: LogView, base: number): void {
    view.anchor(base, 0n);
    this.#events.anchored(view);
    this.#settle(view);
  }

  #fetchFailed(view: LogView, fault: ReturnType<typeof asFault>): void {
    this.#fetchEnded(view);
    if (fault.code === 'unknown_log' || fault.code === 'not_a_member') this.#unreadable(view);
    view.notBeforeMs = this.#clock.monotonic() + Math.max(limits.fetchAgainMs, fault.afterMs);
    this.#pump();
  }

  /** The cell shows nothing of this log. What it pushed all the same (the self log is no conversation) stands for itself. */
  #unreadable(view: LogView): void {
    if (view.anchored || view.lowestHeld === undefined) return void this.leftLog(view.log, Number.POSITIVE_INFINITY);
    this.#anchor(view, view.lowestHeld - 1);
  }

  #fetchEnded(view: LogView): void {
    if (!view.fetching) return;
    view.fetching = false;
    this.#inFlight = Math.max(0, this.#inFlight - 1);
  }
}
