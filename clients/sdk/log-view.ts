// What a client holds of one log: its head, and an unbroken run of entries up to it. Whatever comes in, in whatever
// order and however often, the run stays dense and never steps back, but for `truncate`.

import { epochAt, type Position } from '@weft/proto/positions.ts';

import type { Begin } from './begins.ts';
import type { Entry } from './entry.ts';
import { clientLimits as limits } from './limits.ts';

/** What the cell says about a head. */
export interface KnownHead extends Position {
  readonly ord?: number;
}

export class LogView {
  readonly log: bigint;
  /** The log's epoch as far as it is known; the newest entry's may be older. */
  epoch = 0n;
  /** Seq of the newest entry held; -1 until it is known where the run begins. */
  head = -1;
  /** The run was told to begin after this seq; -1 while that is unknown. */
  origin = -1;
  /** The cell says the log goes at least this far. */
  known = 0;
  /** The run held in memory, ascending and dense, ending at the head; empty after a jump. */
  readonly entries: Entry[] = [];
  /** Somebody listens: what was missed is fetched. Otherwise the view jumps to the head it is told. */
  wanted = false;
  /** A member reads on; a left log takes nothing in. */
  left = false;
  /** The cell does not count this log in its digests. */
  uncounted = false;
  /** The joining that this run follows was given up. */
  unjoined = false;
  /** A range is being fetched. */
  fetching = false;
  /** Not before this (monotonic ms) is a range fetched again. */
  notBeforeMs = 0;
  /** Epoch of the newest entry held; 0 when there is none. */
  #entryEpoch = 0n;
  /** Where newer epochs began, as the cell told: an older entry above such a base was given up. */
  readonly #begins: Begin[] = [];
  /** Newest epoch a head named, while it is not known where it begins. */
  #newest = 0n;
  readonly #held = new Map<number, Entry>();
  #heldSinceMs = Number.POSITIVE_INFINITY;

  constructor(log: bigint) {
    this.log = log;
  }

  get anchored(): boolean {
    return this.head >= 0;
  }

  get behind(): boolean {
    return !this.left && (this.#held.size > 0 || this.known > this.head || this.#newest > this.epoch);
  }

  /** Seq of the oldest entry in memory; head + 1 when there is none. */
  get start(): number {
    return this.head - this.entries.length + 1;
  }

  /** Says where the run begins: the next entry taken is `seq + 1`. */
  anchor(seq: number, epoch: bigint): void {
    this.entries.length = 0;
    this.head = seq;
    this.origin = seq;
    this.epoch = epoch;
    this.#entryEpoch = 0n;
    for (const held of this.#held.keys()) if (held <= seq) this.#held.delete(held);
    this.left = false;
    this.unjoined = false;
  }

  /** Lets the entries held beyond an anchor in. */
  settle(nowMs: number, taken: Entry[]): void {
    this.#drain(taken);
    this.#heldSinceMs = this.#held.size === 0 ? Number.POSITIVE_INFINITY : nowMs;
  }

  /**
   * One entry, pushed, accepted or fetched. Entries that became part of the run, in order, are added to `taken`.
   * While a page is to tell where the newest epoch began, its entries wait. The result is where the run must
   * be cut first, if the entry proves that what is held in its place was given up.
   */
  offer(entry: Entry, nowMs: number, taken: Entry[]): number | undefined {
    if (this.left || this.#waitsForPage(entry)) return undefined;
    if (entry.seq > this.known) this.known = entry.seq;
    // What lies beyond the run tells that its epoch began, not where: who is told that next has to take notice.
    if (this.epoch === 0n) this.epoch = entry.epoch;
    if (entry.seq <= this.head) return this.#below(entry);
    if (this.#isOrphan(entry)) return undefined;
    if (!this.anchored || entry.seq > this.head + 1) {
      this.#hold(entry, nowMs);
      return undefined;
    }
    this.#append(entry, taken);
    if (this.#held.size > 0) this.settle(nowMs, taken);
    return undefined;
  }

  /** An entry in a place that the run has. Where the run must be cut, if it holds one of an older epoch there. */
  #below({ seq, epoch }: Entry): number | undefined {
    // How far below it the newer epoch begins, only a page tells.
    if (epoch > this.epoch) this.#newest = epoch;
    const mine = this.entries[seq - this.start];
    return epoch === this.epoch && mine !== undefined && mine.epoch < epoch ? seq - 1 : undefined;
  }

  /** Only its first entry is at its beginning; what came before this one tells nothing of where that was. */
  #waitsForPage({ epoch }: Entry): boolean {
    return epoch > this.epoch && this.#newest > this.epoch;
  }

  /**
   * What the cell says about the head. `first`: the client knew nothing before, so nothing was missed.
   * The result is where the run must be cut: a newer epoch began below it.
   */
  noteHead(head: KnownHead, first = false): number | undefined {
    if (this.left || head.epoch < this.epoch) return undefined;
    // How far below the head the newer epoch begins, only a page tells.
    if (head.epoch > this.epoch && head.seq < this.head && this.epoch === 0n) return head.seq;
    if (head.seq > this.known) this.known = head.seq;
    if (head.epoch > this.epoch) {
      // Entries are held of an epoch that is over: where it ended, a page tells.
      if ((this.head > 0 || this.#held.size > 0) && this.epoch !== 0n) {
        this.#newest = head.epoch;
        return undefined;
      }
      this.epoch = head.epoch;
    }
    // What a new log brought while nobody was connected is news to whoever listens: a page will tell where it begins.
    const skips = this.anchored ? !this.wanted && head.seq > this.head : !this.wanted || (first && this.#held.size === 0);
    if (skips) this.#jump(head);
    return undefined;
  }

  /**
   * All epochs of the log, oldest first, as a page tells them; none where there is only one. The result are those that are
   * news, each to be truncated to.
   */
  learnEpochs(epochs: readonly Begin[], current: bigint): readonly Begin[] {
    // A page that was read before what a push told asks for another.
    if (current >= this.#newest) this.#newest = 0n;
    if (current < this.epoch) return [];
    // What was told last may be where two lists parted, or of an epoch that was given up whole.
    const told = this.#begins.splice(0);
    this.#begins.push(...epochs.filter(({ epoch }) => told.some((begin) => begin.epoch === epoch)));
    if (current === this.epoch) return [];
    // There is one epoch only, and it is not the one followed.
    if (epochs.length === 0 && this.epoch !== 0n) return [{ epoch: current, base: 0 }];
    const newer = epochs.filter(({ epoch }) => epoch > this.epoch);
    const parted = this.#partedFrom(epochs);
    return parted !== undefined && newer[0] ? [{ epoch: newer[0].epoch, base: parted }, ...newer] : newer;
  }

  /** Where what is held parts from a list that has newer epochs; undefined where all of it stands. */
  #partedFrom(epochs: readonly Begin[]): number | undefined {
    const stands = this.entries.findLastIndex(({ epoch, seq }) => epoch === epochAt(epochs, seq));
    if (stands >= 0) return this.start + stands < this.head ? this.start + stands : undefined;
    // None of it is in memory. An epoch that is in no list was given up with all it gave.
    const known = epochs.findLast(({ epoch }) => epoch <= this.epoch) ?? epochs[0];
    if (known === undefined || (known.epoch === this.epoch && this.entries.length === 0)) return undefined;
    return Math.min(known.base, this.start - 1);
  }

  /**
   * Whether a page has to tell where a newer epoch began, though a push told it: what is held may be of an epoch that the newer
   * one does not follow. A cell that was restored twice may have forgotten that between, or the push that told it was left out.
   */
  asksWhereBegan({ epoch, base, after = 0n }: Begin): boolean {
    if (this.left || this.head <= 0 || this.epoch === 0n || epoch <= this.epoch) return false;
    // Once a page was asked for, it tells all that lie between.
    const isAsked = this.#newest > this.epoch;
    if (!isAsked && (after === 0n ? base <= this.head : this.#holds(after, base))) return false;
    if (epoch > this.#newest) this.#newest = epoch;
    this.#dropHeld();
    return true;
  }

  /**
   * Whether the log as known here has this epoch at this place: an epoch gives a seq once, so all below is the same as well.
   * Raft's check of the entry before (Ongaro, Ousterhout 2014, section 5.3).
   */
  #holds(epoch: bigint, seq: number): boolean {
    if (epoch === this.#entryEpoch) return true;
    return seq < this.head ? this.entries[seq - this.start]?.epoch === epoch : epoch === this.epoch;
  }

  /** The next seq to fetch, if it is time to. */
  gap(nowMs: number): number | undefined {
    if (this.left || this.fetching || nowMs < this.gapDueMs) return undefined;
    return this.head + 1;
  }

  /** When (monotonic ms) something will have to be fetched; infinite when nothing is missing. */
  get gapDueMs(): number {
    if (!this.behind) return Number.POSITIVE_INFINITY;
    const heldUntil = this.#heldSinceMs + limits.holdMs;
    // What the cell itself named is not on its way: pushes come in line with its answers.
    const due = this.#held.size === 0 ? 0 : heldUntil;
    return Math.max(due, this.notBeforeMs);
  }

  /** Older entries of a page read backwards; those that continue the run downwards are kept. */
  prepend(page: readonly Entry[]): void {
    const below = page.filter((entry) => entry.seq < this.start);
    const room = limits.viewEntriesMax - this.entries.length;
    if (below.length === 0 || below.at(-1)?.seq !== this.start - 1 || room <= 0) return;
    this.entries.unshift(...below.slice(-room));
  }

  /** What was shown at this place was not what the log says: this is. */
  replace(entry: Entry): void {
    const at = entry.seq - this.start;
    if (at < 0 || at >= this.entries.length) return;
    this.entries[at] = entry;
    if (entry.seq === this.head) this.#entryEpoch = entry.epoch;
  }

  /** Entries with from ≤ seq ≤ to, if all of them are in memory. */
  range(from: number, to: number): readonly Entry[] | undefined {
    if (from < this.start || to > this.head) return undefined;
    return this.entries.slice(from - this.start, to - this.start + 1);
  }

  /**
   * A new epoch began after `base`: what is above it never was. What was held above it, as far as it is still in memory;
   * undefined when nothing was.
   */
  truncate({ epoch, base, after = 0n }: Begin): readonly Entry[] | undefined {
    this.#dropHeld();
    if (epoch < this.epoch || this.left || !this.anchored) return undefined;
    this.#forget({ epoch, base, after });
    this.#begins.push({ epoch, base });
    if (this.#begins.length > limits.epochsMax) this.#begins.shift();
    // Whoever holds an entry of it holds what it goes on from, unless a page of a restored home took its place.
    const isFollowed = epoch === this.#entryEpoch && (this.entries[base + 1 - this.start]?.epoch ?? epoch) >= epoch;
    // Who has just joined, and holds nothing yet, did so in the newer epoch: else the joining is given up as well, and told anew.
    const hasJustJoined = this.head === this.origin && !this.unjoined;
    const to = hasJustJoined ? Math.max(base, this.head) : base;
    if (to < this.origin) this.origin = -1;
    const cut = this.head > to && !isFollowed ? this.entries.splice(Math.max(0, this.entries.length - (this.head - to))) : undefined;
    if (cut !== undefined) {
      this.head = to;
      this.known = to;
      this.#entryEpoch = this.entries.at(-1)?.epoch ?? 0n;
    }
    this.epoch = epoch;
    return cut;
  }

  /** The user is no member any more: nothing of the log stays readable here. False for the end of an older membership. */
  leave(until: number): boolean {
    if (!this.left && until <= this.origin) return false;
    this.left = true;
    this.entries.length = 0;
    this.#dropHeld();
    return true;
  }

  /** The leaving never was: the user reads on where the run ended. False when the user had not left. */
  stay(): boolean {
    const had = this.left;
    this.left = false;
    // It may be an older membership than the one followed last.
    this.origin = -1;
    return had;
  }

  /** The cell has nothing between the head and here for this reader. */
  skipTo(seq: number): void {
    if (seq <= this.head) return;
    this.entries.length = 0;
    this.head = seq;
    this.origin = seq;
    this.#entryEpoch = 0n;
    for (const held of this.#held.keys()) if (held <= seq) this.#held.delete(held);
  }

  /** The cell's own head is lower than what was noted. */
  forgetKnown(seq: number): void {
    this.known = Math.max(seq, this.head);
  }

  /** The lowest seq that waits for what lies before it. */
  get lowestHeld(): number | undefined {
    return this.#held.size === 0 ? undefined : Math.min(...this.#held.keys());
  }

  /** Of an ownership that ended: its seq belongs to a newer epoch. */
  #isOrphan(entry: Entry): boolean {
    return entry.epoch < this.#entryEpoch || this.#begins.some(({ epoch, base }) => entry.epoch < epoch && entry.seq > base);
  }

  /**
   * An epoch begins at one place: what was told of it last counts. Those that began at or above a newer one's base gave nothing,
   * and those between it and the one it follows nothing that stands.
   */
  #forget({ epoch, base, after }: Required<Begin>): void {
    const kept = this.#begins.filter((begin) => begin.epoch !== epoch && begin.base < base && (after === 0n || begin.epoch <= after));
    this.#begins.splice(0, this.#begins.length, ...kept);
  }

  #dropHeld(): void {
    this.#held.clear();
    this.#heldSinceMs = Number.POSITIVE_INFINITY;
  }

  #jump(head: KnownHead): void {
    this.entries.length = 0;
    this.head = head.seq;
    this.#entryEpoch = 0n;
    for (const held of this.#held.keys()) if (held <= head.seq) this.#held.delete(held);
    if (this.#held.size === 0) this.#heldSinceMs = Number.POSITIVE_INFINITY;
  }

  #append(entry: Entry, taken: Entry[]): void {
    if (this.#held.size > 0) this.#held.delete(entry.seq);
    this.entries.push(entry);
    this.head = entry.seq;
    this.#entryEpoch = entry.epoch;
    if (entry.epoch > this.epoch) this.epoch = entry.epoch;
    taken.push(entry);
    if (this.entries.length >= 2 * limits.viewEntriesMax) this.entries.splice(0, this.entries.length - limits.viewEntriesMax);
  }

  #drain(taken: Entry[]): void {
    for (let next = this.#held.get(this.head + 1); next !== undefined; next = this.#held.get(this.head + 1)) {
      this.#held.delete(next.seq);
      if (this.#isOrphan(next)) return;
      this.#append(next, taken);
    }
  }

  #hold(entry: Entry, nowMs: number): void {
    const mine = this.#held.get(entry.seq);
    if (mine !== undefined) {
      if (mine.epoch < entry.epoch) this.#held.set(entry.seq, entry);
      return;
    }
    if (this.#held.size >= limits.heldEntriesMax) return;
    this.#held.set(entry.seq, entry);
    if (this.#held.size === 1) this.#heldSinceMs = nowMs;
  }
}
