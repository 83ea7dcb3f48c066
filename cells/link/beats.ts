// Each second every link carries the heads of what was committed here lately, so that a lost tail is noticed although
// nothing follows it (R17). Commits younger than two seconds are under way; older than fifteen have been told.
import type { Head } from '@weft/proto/gen/weft/client/v1/client.ts';
import { LinkBeat } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { KeptWriter } from '@weft/proto/kept-writer.ts';
import type { Clock } from '@weft/runtime/clock.ts';
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
  /** Per destination: newest head of each log told there, oldest first. */
  readonly #recent = new Map<number, Map<bigint, Recent>>();

  constructor(options: BeatsOptions) {
    this.#options = options;
    this.#lost = new LostTails(options);
  }

  committed(rows: readonly OutboxRow[], entries: readonly Entry[]): void {
    if (rows.length === 0) return;
    const epochs = new Map(entries.map((e) => [e.log, e.epoch]));
    const atMs = this.#options.clock.monotonic();
    for (const row of rows) {
      const logs = this.#recent.get(row.dst) ?? new Map<bigint, Recent>();
      this.#recent.set(row.dst, logs);
      for (const { log, last } of row.ranges) {
        logs.delete(log);
        logs.set(log, { atMs, epoch: epochs.get(log) ?? 0n, seq: last });
        if (logs.size > this.#options.limits.beatHeadsMax) logs.delete(logs.keys().next().value as bigint);
      }
    }
  }

  send(destinations: readonly number[]): void {
    const { link, clock, generation, limits } = this.#options;
    const now = clock.monotonic();
    for (const dst of destinations) {
      const heads: Head[] = [];
      for (const [log, recent] of this.#recent.get(dst) ?? []) {
        const age = now - recent.atMs;
        if (age > limits.beatUntilMs) this.#recent.get(dst)?.delete(log);
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
  readonly #found = new Map<bigint, { readonly epoch: bigint; readonly seq: bigint }>();

  constructor(options: LostTailsOptions) {
    this.#options = options;
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
    this.#found.delete(log);
    this.#found.set(log, { epoch, seq });
    if (this.#found.size > this.#options.limits.beatHeadsFoundMax) this.#found.delete(this.#found.keys().next().value as bigint);
  }
}
