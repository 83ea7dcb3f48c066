// Hashes of the newest entries of each log, kept as this node commits them. Who was away for a few entries reads on from
// there: what it is shown is proved without a look below it. They lie in one block: as objects each would take ten times as much.
import { hashBytes } from '@weft/proto/chain.ts';
import { LruMap } from 'toad-cache';
import type { Writes } from '../delivery/ports.ts';

/** Of each log. */
const keptEach = 8;

/** What is known of one log: the hashes from `first` to `newest`, each at its seq modulo `keptEach`. */
interface Kept {
  readonly slot: number;
  epoch: bigint;
  first: number;
  newest: number;
}

export class RecentHashes {
  readonly #hashes: Buffer;
  readonly #logs: LruMap<Kept>;

  /** Of at most so many logs, 256 bytes each. */
  constructor(logsMax: number) {
    this.#logs = new LruMap(logsMax);
    this.#hashes = Buffer.alloc(logsMax * keptEach * hashBytes);
  }

  /** What one transaction committed. Of a log whose epochs changed nothing stays. */
  committed({ created, rows, entries, epochs, truncated }: Pick<Writes, 'created' | 'rows' | 'entries' | 'epochs' | 'truncated'>): void {
    const moved = new Set([...epochs, ...truncated].map(({ log }) => log));
    const written = new Map([...created.map(({ row }) => row), ...rows].map((row) => [row.log, row]));
    for (const { log, seq, prev } of entries) {
      const row = written.get(log);
      if (row !== undefined && prev !== undefined && seq > 1 && !moved.has(log)) this.#note(log, row.epoch, { seq: seq - 1, hash: prev });
    }
    for (const { log, epoch, head, hash } of written.values()) if (!moved.has(log)) this.#note(log, epoch, { seq: head, hash });
    // Its slot stays with it.
    for (const log of moved) {
      const kept = this.#logs.get(log);
      if (kept) kept.first = kept.newest + 1;
    }
  }

  /** The hash of the entry at `seq` of a log that is in `epoch`, if it is known: a copy. */
  at(log: bigint, epoch: bigint, seq: number): Uint8Array | undefined {
    const kept = this.#logs.get(log);
    if (kept === undefined || kept.epoch !== epoch || seq < kept.first || seq > kept.newest) return undefined;
    const start = this.#place(kept, seq);
    return Buffer.from(this.#hashes.subarray(start, start + hashBytes));
  }

  #note(log: bigint, epoch: bigint, { seq, hash }: { readonly seq: number; readonly hash: Uint8Array }): void {
    if (hash.length !== hashBytes) return;
    const kept = this.#use(log);
    const isNext = kept.epoch === epoch && kept.first <= kept.newest && seq <= kept.newest + 1;
    if (isNext && seq <= kept.newest) return;
    // Another node committed what lies between, or nothing is known yet.
    if (!isNext) kept.first = seq;
    kept.epoch = epoch;
    kept.newest = seq;
    kept.first = Math.max(kept.first, seq - keptEach + 1);
    this.#hashes.set(hash, this.#place(kept, seq));
  }

  #use(log: bigint): Kept {
    const found = this.#logs.get(log);
    if (found) return found;
    const { size, max, first } = this.#logs;
    // A new place while there is one, then that of the log used longest ago, which goes.
    const kept = { slot: size < max ? size : first.value.slot, epoch: 0n, first: 1, newest: 0 };
    this.#logs.set(log, kept);
    return kept;
  }

  #place({ slot }: Kept, seq: number): number {
    return (slot * keptEach + (seq % keptEach)) * hashBytes;
  }
}
