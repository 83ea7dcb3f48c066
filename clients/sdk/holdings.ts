// Every log the client knows of, and the digest over their heads that is compared with the cell's.

import { bucketCount, bucketOf, type Digest, digestValue, toggleHead } from '@weft/proto/heads-digest.ts';

import { LogView } from './log-view.ts';

export class Holdings {
  readonly #views = new Map<bigint, LogView>();
  readonly #shares = new Map<LogView, Digest>();
  readonly #changed = new Set<LogView>();
  /** Somebody listens to every log. */
  wantAll = false;
  readonly #digest: Digest = { hi: 0, lo: 0 };

  view(log: bigint): LogView | undefined {
    return this.#views.get(log);
  }

  /** The view of this log, made when it is not known yet. */
  open(log: bigint): LogView {
    const known = this.#views.get(log);
    if (known !== undefined) return known;
    const view = new LogView(log);
    view.wanted = this.wantAll;
    this.#views.set(log, view);
    return view;
  }

  all(): IterableIterator<LogView> {
    return this.#views.values();
  }

  /** The view's head may have moved. Cheap: the digest is brought up to date when it is asked for. */
  touch(view: LogView): void {
    this.#changed.add(view);
  }

  digest(): bigint {
    for (const view of this.#changed) {
      const before = this.#shares.get(view);
      const now = shareOf(view);
      this.#digest.hi = (this.#digest.hi ^ (before?.hi ?? 0) ^ now.hi) >>> 0;
      this.#digest.lo = (this.#digest.lo ^ (before?.lo ?? 0) ^ now.lo) >>> 0;
      this.#shares.set(view, now);
    }
    this.#changed.clear();
    return digestValue(this.#digest);
  }

  /** The digest of each bucket. */
  buckets(): bigint[] {
    const digests = Array.from({ length: bucketCount }, (): Digest => ({ hi: 0, lo: 0 }));
    for (const view of this.#views.values()) {
      const bucket = digests[bucketOf(view.log)];
      const share = shareOf(view);
      if (bucket === undefined) continue;
      bucket.hi = (bucket.hi ^ share.hi) >>> 0;
      bucket.lo = (bucket.lo ^ share.lo) >>> 0;
    }
    return digests.map(digestValue);
  }
}

function shareOf(view: LogView): Digest {
  const share: Digest = { hi: 0, lo: 0 };
  if (view.anchored && !view.left && !view.uncounted) toggleHead(share, view.log, view.epoch, view.head);
  return share;
}
