// Hands conversations that are being talked in from one of their two cells to the other, over and over.

import { setTimeout as sleep } from 'node:timers/promises';
import type { FabricFile } from '@weft/local/fabric-file.ts';
import { Owners, type Ownership } from '@weft/local/owners.ts';
import { replayLimits } from './limits.ts';

/** The two cells of each conversation under way, by its log. */
export type Talking = ReadonlyMap<bigint, readonly [string, string]>;

export class Handing {
  /** Handovers that an owner has committed. */
  handed = 0;
  /** Those that could not be asked for: a cell was away, or the log was on its way to another owner. */
  missed = 0;
  readonly #owners: Owners;
  readonly #talking: Talking;
  /** When each log was handed over last. */
  readonly #handedMs = new Map<bigint, number>();
  #isOver = false;

  constructor(fabric: FabricFile, talking: Talking) {
    this.#owners = new Owners(fabric);
    this.#talking = talking;
  }

  /** Resolves after `stop`. */
  async run(): Promise<void> {
    const one = async (): Promise<void> => {
      for (; !this.#isOver; await sleep(replayLimits.handOverEveryMs)) {
        try {
          if (await this.#handOver()) this.handed += 1;
        } catch {
          this.missed += 1;
        }
      }
    };
    await Promise.all(Array.from({ length: replayLimits.handOversAtOnceMax }, one));
  }

  stop(): void {
    this.#isOver = true;
  }

  /** False where no conversation of two cells is under way, but such as were handed over a moment ago. */
  async #handOver(): Promise<boolean> {
    const sinceMs = performance.now() - replayLimits.handOverAgainMs;
    const due = [...this.#talking].filter(([log, [a, b]]) => a !== b && (this.#handedMs.get(log) ?? 0) < sinceMs);
    const picked = due[Math.floor(Math.random() * due.length)];
    if (picked === undefined) return false;
    const [log, [a, b]] = picked;
    this.#handedMs.set(log, performance.now());
    const { owner } = await this.#owners.ask<Ownership>(a, `logs/${log}`);
    await this.#owners.ask(owner, 'handover', { log: String(log), to: owner === a ? b : a });
    return true;
  }
}
