// Each second every link carries the heads of what was committed here lately, so that a lost tail is noticed although
// nothing follows it (R17). Commits younger than two seconds are under way; older than fifteen have been told.
import type { Head } from '@weft/proto/gen/weft/client/v1/client.ts';
import { LinkBeat } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { KeptWriter } from '@weft/proto/kept-writer.ts';
import type { Clock } from '@weft/runtime/clock.ts';
import { LruMap } from 'toad-cache';
import type { Entry } from '../delivery/entry.ts';
import type { Link, OutboxRow } from '../delivery/ports.ts';

export interface BeatsOptions {
  readonly link: Link;
  readonly clock: Clock;
  readonly generation: number;
  readonly read: LostTailsOptions['read'];
  readonly limits: LostTailsOptions['limits'] & {
    readonly beatHeadsMax: number;
    readonly beatFromMs: number;
    readonly beatUntilMs: number;
  };
}

interface Recent {
  readonly atMs: number;
  readonly epoch: bigint;
  readonly seq: number;
}

export class Beats {
  readonly #options: BeatsOptions;
  readonly #writer = new KeptWriter();
  readonly #lost: LostTails;
  /** Per destination: newest head of each log told there. */
  readonly #recent = new Map<number, LruMap<Recent>>();

  constructor(options: BeatsOptions) {
    this.#options = options;
    this.#lost = new LostTails(options);
  }

  committed(rows: readonly OutboxRow[], entries: readonly Entry[]): void {
    if (rows.length === 0) return;
    const epochs = new Map(entries.map((e) => [e.log, e.epoch]));
    const atMs = this.#options.clock.monotonic();
    for (const row of rows) {
      const logs = this.#recent.get(row.dst) ?? new LruMap<Recent>(this.#options.limits.beatHeadsMax);
      this.#recent.set(row.dst, logs);
      for (const { log, last } of row.ranges) {
        logs.set(log, { atMs, epoch: epochs.get(log) ?? 0n, seq: last });
      }
    }
  }

  send(destinations: readonly number[]): void {
    const { link, clock, generation, limits } = this.#options;
    const now = clock.monotonic();
    for (const dst of destinations) {
      const heads: Head[] = [];
      const logs = this.#recent.get(dst);
      for (const { key: log, value: recent } of logs?.items.values() ?? []) {
        const age = now - recent.atMs;
        if (age > limits.beatUntilMs) logs?.delete(log);
        else if (age >= limits.beatFromMs) heads.push({ log, epoch: recent.epoch, seq: BigInt(recent.seq), ord: 0n, ts: 0n });
      }
      const beat = { sentAt: BigInt(clock.now()), generation: BigInt(generation), heads };
      link.signal(dst, beatSignal, this.#writer.encode(LinkBeat, beat));
    }
  }

  /** Logs of which another cell's beat tells a head that is not here; undefined where all that it tells was found before. */
  lostTails(bytes: Uint8Array): Promise<bigint[]> | undefined {
    const { heads } = LinkBeat.decode(bytes);
    return this.#lost.knows(heads) ? undefined : this.#lost.among(heads);
  }
}

export const beatSignal = 'beat';

export interface LostTailsOptions {
  readonly read: (logs: readonly bigint[]) => Promise<readonly { readonly log: bigint; readonly head: number }[]>;
  readonly limits: { readonly beatHeadsFoundMax: number };
}

/** Which of the heads that beats tell are not here. */
export class LostTails {
  readonly #options: LostTailsOptions;
  /** What was told and is here: each head comes with many beats, of which one is worth a look into the store. */
  readonly #found: LruMap<{ readonly epoch: bigint; readonly seq: bigint }>;

  constructor(options: LostTailsOptions) {
    this.#options = options;
    this.#found = new LruMap(options.limits.beatHeadsFoundMax);
  }

  /** Nothing has to be looked for: so it is with most beats. */
  knows(heads: readonly Head[]): boolean {
    return heads.every((head) => this.#isFound(head));
  }

  /** Logs of which a beat tells a head that is not here: heads older than two seconds whose frames were lost on the way. */
  async among(heads: readonly Head[]): Promise<bigint[]> {
    const unsure = heads.filter((head) => !this.#isFound(head));
    if (unsure.length === 0) return [];
    const here = new Map<bigint, number>();
    for (const { log, head } of await this.#options.read(unsure.map(({ log }) => log))) here.set(log, head);
    const lost: bigint[] = [];
    for (const head of unsure) {
      if ((here.get(head.log) ?? 0) < Number(head.seq)) lost.push(head.log);
      else this.#remember(head);
    }
    return lost;
  }

  /** A newer epoch may have taken back what an older one had: it is looked for anew. */
  #isFound({ log, epoch, seq }: Head): boolean {
    const found = this.#found.get(log);
    return found?.epoch === epoch && seq <= found.seq;
  }

  #remember({ log, epoch, seq }: Head): void {
    this.#found.set(log, { epoch, seq });
  }
}
