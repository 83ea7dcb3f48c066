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
  readonly limits: { readonly beatHeadsMax: number; readonly beatFromMs: number; readonly beatUntilMs: number };
}

interface Recent {
  readonly atMs: number;
  readonly epoch: bigint;
  readonly seq: number;
}

export class Beats {
  readonly #options: BeatsOptions;
  readonly #writer = new KeptWriter();
  /** Per destination: newest head of each log told there, oldest first. */
  readonly #recent = new Map<number, Map<bigint, Recent>>();

  constructor(options: BeatsOptions) {
    this.#options = options;
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
}

export const beatSignal = 'beat';

/** Logs of which a beat tells a head that is not here: heads older than two seconds whose frames were lost on the way. */
export async function lostTails(
  heads: readonly Head[],
  read: (logs: readonly bigint[]) => Promise<readonly { readonly log: bigint; readonly head: number }[]>,
): Promise<bigint[]> {
  if (heads.length === 0) return [];
  const found = new Map<bigint, number>();
  for (const { log, head } of await read(heads.map(({ log }) => log))) found.set(log, head);
  return heads.filter(({ log, seq }) => (found.get(log) ?? 0) < Number(seq)).map(({ log }) => log);
}
