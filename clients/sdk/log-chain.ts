// The hash chain of one log as this client computes it over what it was shown, for the newest entries.
import { type Chain, chainStart, sameHash } from '@weft/proto/chain.ts';

import { chainedOf } from './chained.ts';
import type { Entry } from './entry.ts';
import { clientLimits as limits } from './limits.ts';
import { ShownHashes } from './shown-hashes.ts';

/** One entry's place in the chain. */
export interface Link {
  readonly seq: number;
  readonly epoch: bigint;
  readonly hash: Uint8Array;
  /** Author and id: the same entry twice has the same. */
  readonly key: string;
  /** It came with the hash of the one before as it stands here. */
  readonly linked: boolean;
}

/** What an entry that continues the log shows of it. */
export type Shown =
  /** The entry before is not what the log's owner linked it to, or this one is not. */
  | { readonly what: 'unlinked'; readonly seq: number }
  /** The same append stands at another place too. */
  | { readonly what: 'twice'; readonly seq: number; readonly first: number };

const keyOf = (entry: Entry): string => `${entry.author}/${entry.id}`;

export class LogChain {
  readonly #chain: Chain;
  readonly #links = new Map<number, Link>();
  readonly #keys = new Map<string, number>();
  /** The newest link that there was no more room for. */
  #border: Link | undefined;
  readonly #shown = new ShownHashes();
  /** What came without the hash of the one before, where that is not known: its own cannot be made. */
  readonly #unproved = new Map<number, Entry>();

  constructor(chain: Chain) {
    this.#chain = chain;
  }

  /** Entries in the order of seq; after a jump the chain begins anew with what the entry says of the one before. */
  take(entry: Entry): Shown | undefined {
    const before = this.hashAt(entry.seq - 1);
    const said = entry.prev ?? before;
    const isLinked = before === undefined || said === undefined || sameHash(before, said);
    const chained = chainedOf(entry);
    // What cannot be hashed is taken on trust: the next entry says what it was.
    if (chained === undefined) this.#forget(entry.seq);
    else if (said === undefined) this.#leaveOpen(entry);
    else this.#keep({ seq: entry.seq, epoch: entry.epoch, hash: this.#chain.next(chained, said), key: keyOf(entry), linked: isLinked });
    if (entry.prev !== undefined && isLinked) this.#heldAbove(entry.seq - 1, entry.prev);
    if (!isLinked) return { what: 'unlinked', seq: entry.seq };
    const first = this.#keys.get(keyOf(entry));
    if (first !== undefined && first !== entry.seq) return { what: 'twice', seq: entry.seq, first };
    if (this.#links.has(entry.seq)) this.#keys.set(keyOf(entry), entry.seq);
    return undefined;
  }

  at(seq: number): Link | undefined {
    return this.#links.get(seq);
  }

  /** Also where it is known from a neighbour only. */
  hashAt(seq: number): Uint8Array | undefined {
    if (seq === 0) return chainStart;
    return this.#links.get(seq)?.hash ?? (this.#border?.seq === seq ? this.#border.hash : this.#shown.hashAt(seq));
  }

  /** What is held, or was signed, covers this place. */
  isCovered(seq: number): boolean {
    return this.#shown.isCovered(seq, (at) => this.#links.has(at) || this.#border?.seq === at);
  }

  /** A page that fits everything known, from its first entry's `prev` to its last: what is read next to it has to fit it. */
  show(page: readonly Link[], prev: Uint8Array): void {
    const [first, last] = [page[0], page.at(-1)];
    if (first === undefined || last === undefined) return;
    const highest = page.findLast(({ seq }) => this.hashAt(seq) !== undefined)?.seq ?? last.seq;
    if (!this.#links.has(last.seq)) this.#shown.add(last.seq, { hash: last.hash, epoch: last.epoch, by: undefined });
    const by = this.isCovered(highest) ? first.seq - 1 : highest;
    if (!this.#links.has(first.seq - 1)) this.#shown.add(first.seq - 1, { hash: prev, by });
  }

  /** The owner signed what is known of this place. */
  signed(seq: number): void {
    this.#shown.cover(seq, seq);
  }

  /** The home cell's page is right: what pages showed before gives way to it. Gives the places that they showed otherwise. */
  correct(page: readonly Link[]): Link[] {
    return page.filter(({ seq, epoch, hash }) => this.#shown.correct(seq, epoch, hash));
  }

  /** A page that was right, read for something else. */
  learn(page: readonly Link[], prev: Uint8Array | undefined): void {
    const below = this.hashAt((page[0]?.seq ?? 0) - 1);
    if (prev !== undefined && sameHash(below ?? prev, prev)) this.show(page, prev);
  }

  /** Entries whose hash could not be made. */
  get openEntries(): number {
    return this.#unproved.size;
  }

  /** Those up to this seq, ascending: from now on they are somebody else's to look into. */
  takeOpen(upTo: number): Entry[] {
    const open = [...this.#unproved.values()].filter(({ seq }) => seq <= upTo).sort((a, b) => a.seq - b.seq);
    for (const { seq } of open) this.#unproved.delete(seq);
    return open;
  }

  /** Entries from here on were wrong, or given up: these stand there. */
  replace(links: readonly Link[]): void {
    for (const link of links) {
      this.#keep(link);
      this.#keys.set(link.key, link.seq);
    }
  }

  /** What is above was given up by a new epoch. False when nothing was. */
  truncate(base: number): boolean {
    const above = [...this.#links.keys()].filter((seq) => seq > base);
    for (const seq of above) this.#forget(seq);
    for (const seq of this.#unproved.keys()) if (seq > base) this.#unproved.delete(seq);
    if (this.#border !== undefined && this.#border.seq > base) this.#border = undefined;
    this.#shown.truncate(base);
    return above.length > 0;
  }

  /** An entry that is held says so of the one before it. */
  #heldAbove(seq: number, hash: Uint8Array): void {
    if (this.#links.has(seq)) return;
    this.#shown.add(seq, { hash, by: seq });
    this.#shown.cover(seq, seq);
  }

  #leaveOpen(entry: Entry): void {
    this.#forget(entry.seq);
    this.#unproved.set(entry.seq, entry);
  }

  /** What stood at this place stands there no more. */
  #keep(link: Link): void {
    this.#forget(link.seq);
    this.#unproved.delete(link.seq);
    this.#links.set(link.seq, link);
    if (this.#links.size <= limits.linksMax) return;
    const oldest = this.#links.keys().next().value as number;
    this.#border = this.#links.get(oldest);
    this.#forget(oldest);
  }

  #forget(seq: number): void {
    const link = this.#links.get(seq);
    if (link === undefined) return;
    this.#links.delete(seq);
    if (this.#keys.get(link.key) === seq) this.#keys.delete(link.key);
  }
}

/** The links of a page, which is dense and carries its own prevs; undefined where one does not continue the other. */
export function linksOf(chain: Chain, page: readonly Entry[]): Link[] | undefined {
  const links: Link[] = [];
  for (const entry of page) {
    const chained = chainedOf(entry);
    const before = links.at(-1);
    if (chained === undefined || entry.prev === undefined) return undefined;
    if (before !== undefined && (before.seq + 1 !== entry.seq || !sameHash(before.hash, entry.prev))) return undefined;
    links.push({ seq: entry.seq, epoch: entry.epoch, hash: chain.next(chained, entry.prev), key: keyOf(entry), linked: true });
  }
  return links;
}

/** Whether both say the same, whatever comes before them. */
export function isSame(chain: Chain, a: Entry, b: Entry): boolean {
  const [ours, theirs] = [chainedOf(a), chainedOf(b)];
  return ours === undefined || theirs === undefined || sameHash(chain.next(ours, chainStart), chain.next(theirs, chainStart));
}

/** Whether an entry of a page says another hash of the one before it than that one has. */
export const isBroken = (chain: Chain, page: readonly Entry[]): boolean =>
  page.some((entry, at) => {
    const before = page[at - 1];
    const chained = before && chainedOf(before);
    if (chained === undefined || before?.prev === undefined || entry.prev === undefined || before.seq + 1 !== entry.seq) return false;
    return !sameHash(chain.next(chained, before.prev), entry.prev);
  });
