// Hashes that this node has made of entries: who reads the same history again, or reads on where somebody was, needs none
// made anew and nothing read from below the page. An entry of a log has one hash for as long as the log's epoch stays: bodies
// may be emptied, but what is hashed of them stays.
import { type Chain, type ChainedEntry, hashBytes } from '@weft/proto/chain.ts';
import { LruMap } from 'toad-cache';
import type { RecentHashes } from './recent-hashes.ts';

/** Hashes of neighbouring entries that are kept, and forgotten, together. */
const segmentEntries = 64;

interface Segment {
  readonly hashes: Buffer;
  /** 1 for each that is known. */
  readonly known: Uint8Array;
}

export class KnownHashes {
  readonly #chain: Chain;
  readonly #recent: Pick<RecentHashes, 'at'>;
  /** By log, epoch of the log and number. */
  readonly #segments: LruMap<Segment>;

  /** `recent` is asked first. */
  constructor(chain: Chain, hashesMax: number, recent: Pick<RecentHashes, 'at'>) {
    this.#chain = chain;
    this.#recent = recent;
    this.#segments = new LruMap(Math.max(1, Math.floor(hashesMax / segmentEntries)));
  }

  /** Of a log while it is in `epoch`. What is read in another epoch must not come here. */
  of(log: bigint, epoch: bigint): KnownChain {
    const recentAt = (seq: number): Uint8Array | undefined => this.#recent.at(log, epoch, seq);
    return new KnownChain(this.#chain, recentAt, (number, make) => this.#segment(`${log}/${epoch}/${number}`, make));
  }

  #segment(key: string, make: () => Segment | undefined): Segment | undefined {
    const found = this.#segments.get(key);
    if (found) return found;
    const made = make();
    if (made) this.#segments.set(key, made);
    return made;
  }
}

const newSegment = (): Segment => ({ hashes: Buffer.alloc(segmentEntries * hashBytes), known: new Uint8Array(segmentEntries) });
const none = (): undefined => undefined;
type SegmentOf = (number: number, make: () => Segment | undefined) => Segment | undefined;

/** The chain of one log. Entries that follow one another are found in the segment of the one before. */
export class KnownChain {
  readonly #chain: Chain;
  readonly #recentAt: (seq: number) => Uint8Array | undefined;
  readonly #segmentOf: SegmentOf;
  #number = -1;
  #segment: Segment | undefined;

  constructor(chain: Chain, recentAt: (seq: number) => Uint8Array | undefined, segmentOf: SegmentOf) {
    this.#chain = chain;
    this.#recentAt = recentAt;
    this.#segmentOf = segmentOf;
  }

  /** The hash of the entry at `seq`, if it is known. It must not be changed. */
  at(seq: number): Uint8Array | undefined {
    const recent = this.#recentAt(seq);
    if (recent) return recent;
    const segment = this.#around(seq, none);
    const at = seq % segmentEntries;
    return segment?.known[at] === 1 ? segment.hashes.subarray(at * hashBytes, (at + 1) * hashBytes) : undefined;
  }

  /** As Chain makes it. */
  next(entry: ChainedEntry, prev: Uint8Array): Uint8Array {
    const found = this.at(entry.seq);
    if (found) return found;
    const hash = this.#chain.next(entry, prev);
    const segment = this.#around(entry.seq, newSegment) as Segment;
    const at = entry.seq % segmentEntries;
    segment.hashes.set(hash, at * hashBytes);
    segment.known[at] = 1;
    return hash;
  }

  #around(seq: number, make: () => Segment | undefined): Segment | undefined {
    const number = Math.floor(seq / segmentEntries);
    if (number === this.#number && this.#segment !== undefined) return this.#segment;
    this.#number = number;
    this.#segment = this.#segmentOf(number, make);
    return this.#segment;
  }
}
