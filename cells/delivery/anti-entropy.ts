// The slow comparison that finds what every faster way has missed (R17): digests of all logs two cells share, in 1,024
// buckets; then the heads of unequal buckets; then a pull of each log whose owner has more. Runs every ten minutes and
// when a link returns. Logs that change while it runs differ without harm: a pull that brings nothing costs a request.
import { DigestAnswer, DigestRequest } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { type Digest, digestValue, toggleHead } from '@weft/proto/heads-digest.ts';
import { mix64 } from './mix.ts';
import type { Link } from './ports.ts';

export interface SharedHeads {
  /** Pages of logs this cell owns and `cell` keeps, by log id. */
  owned(cell: number, page: { readonly after: bigint; readonly limit: number }): Promise<readonly SharedHead[]>;
  /** Pages of logs kept here that `cell` owns, by log id. */
  kept(cell: number, page: { readonly after: bigint; readonly limit: number }): Promise<readonly SharedHead[]>;
}

export interface SharedHead {
  readonly log: bigint;
  readonly epoch: bigint;
  readonly head: number;
}

/** A log of which its owner has more than is held here. */
export interface BehindLog {
  readonly log: bigint;
  /** That it is in, as its owner says. */
  readonly epoch: bigint;
  readonly head: number;
  readonly held: number;
}

export interface AntiEntropyOptions {
  readonly heads: SharedHeads;
  readonly link: Link;
  readonly want: (log: bigint, src: number) => void;
  readonly limits: {
    readonly buckets: number;
    readonly pageRows: number;
    readonly bucketsPerRequest: number;
    readonly headsPerAnswer: number;
  };
}

type ReadPage = (page: { readonly after: bigint; readonly limit: number }) => Promise<readonly SharedHead[]>;

export class AntiEntropy {
  readonly #options: AntiEntropyOptions;

  constructor(options: AntiEntropyOptions) {
    this.#options = options;
  }

  /** Compares with one owner and asks for what is missing here. Resolves to the logs that were behind. */
  async compare(owner: number): Promise<readonly BehindLog[]> {
    const { heads, limits } = this.#options;
    const kept: ReadPage = (page) => heads.kept(owner, page);
    const [theirs, mine] = [await this.#ask(owner, []), await this.#digests(kept)];
    const unequal = mine.flatMap((digest, bucket) => (theirs.digests[bucket] === digest ? [] : [bucket]));
    const behind: BehindLog[] = [];
    for (let at = 0; at < unequal.length; at += limits.bucketsPerRequest) {
      const buckets = new Set(unequal.slice(at, at + limits.bucketsPerRequest));
      const answer = await this.#ask(owner, [...buckets]);
      const known = new Map<bigint, SharedHead>();
      await this.#each(kept, buckets, (row) => void known.set(row.log, row));
      for (const head of answer.heads) {
        const { head: held, epoch } = known.get(head.log) ?? { head: 0, epoch: 0n };
        // What an older epoch went on to give, where a newer one is known here, was given up.
        if (Number(head.seq) <= held || head.epoch < epoch) continue;
        behind.push({ log: head.log, epoch: head.epoch, head: Number(head.seq), held });
        this.#options.want(head.log, owner);
      }
      // What its owner does not name has nobody here any more where a restore took who joined: the pull tells.
      const named = new Set(answer.heads.map(({ log }) => log));
      if (answer.heads.length < limits.headsPerAnswer) for (const log of known.keys()) if (!named.has(log)) this.#options.want(log, owner);
    }
    return behind;
  }

  /** Answers another cell: all digests, or the heads of the buckets it names. */
  async answer(src: number, request: DigestRequest): Promise<Uint8Array> {
    const { heads, limits } = this.#options;
    const owned: ReadPage = (page) => heads.owned(src, page);
    if (request.buckets.length === 0) return DigestAnswer.encode({ digests: await this.#digests(owned), heads: [] }).finish();
    const found: DigestAnswer['heads'] = [];
    await this.#each(owned, new Set(request.buckets), ({ log, epoch, head }) => {
      if (found.length < limits.headsPerAnswer) found.push({ log, epoch, seq: BigInt(head), ord: 0n, ts: 0n });
    });
    return DigestAnswer.encode({ digests: [], heads: found }).finish();
  }

  async #ask(owner: number, buckets: number[]): Promise<DigestAnswer> {
    return DigestAnswer.decode(await this.#options.link.request(owner, 'digest', DigestRequest.encode({ buckets }).finish()));
  }

  async #digests(read: ReadPage): Promise<bigint[]> {
    const digests: Digest[] = Array.from({ length: this.#options.limits.buckets }, () => ({ hi: 0, lo: 0 }));
    await this.#each(read, undefined, ({ log, epoch, head }) => toggleHead(digests[this.#bucketOf(log)] as Digest, log, epoch, head));
    return digests.map(digestValue);
  }

  async #each(read: ReadPage, buckets: ReadonlySet<number> | undefined, take: (row: SharedHead) => void): Promise<void> {
    const limit = this.#options.limits.pageRows;
    for (let after = 0n; ; ) {
      const rows = await read({ after, limit });
      for (const row of rows) if (!buckets || buckets.has(this.#bucketOf(row.log))) take(row);
      const last = rows.at(-1);
      if (!last || rows.length < limit) return;
      after = last.log;
    }
  }

  #bucketOf(log: bigint): number {
    return Number(mix64(log) % BigInt(this.#options.limits.buckets));
  }
}
