// What one node does for the whole cell while it holds the lease: sending again, telling marks, pulling what is behind,
// applying a partition. Leases only save work: two holders at once are harmless (R13).
import type { Clock } from '@weft/runtime/clock.ts';
import type { Leases } from '@weft/runtime/lease.ts';

export interface Duty {
  readonly name: string;
  readonly everyMs: number;
  readonly run: () => Promise<void>;
  /** Called when the lease comes and when it goes. `takenOver`: another held it before; it may be frozen. */
  readonly held?: (held: boolean, takenOver: boolean) => void;
}

export interface DutiesOptions {
  readonly leases: Pick<Leases, 'tryHold' | 'release'>;
  readonly clock: Clock;
  readonly leaseMs: number;
  readonly leaseEveryMs: number;
  readonly failed: (error: unknown, duty: string) => void;
}

export class Duties implements AsyncDisposable {
  readonly #options: DutiesOptions;
  readonly #stop = new AbortController();
  readonly #loops: Promise<void>[] = [];

  constructor(options: DutiesOptions) {
    this.#options = options;
  }

  /** Runs the duty for as long as the lease is held, over and over. */
  add(duty: Duty): void {
    this.#loops.push(this.#loop(duty));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.allSettled(this.#loops);
  }

  async #loop(duty: Duty): Promise<void> {
    const { leases, clock, leaseMs, leaseEveryMs, failed } = this.#options;
    const signal = this.#stop.signal;
    let held = false;
    let renewAt = 0;
    let runAt = 0;
    while (!signal.aborted) {
      try {
        if (clock.monotonic() >= renewAt) {
          const had: boolean = held;
          const lease = await leases.tryHold(duty.name, leaseMs);
          held = lease !== undefined;
          renewAt = clock.monotonic() + leaseEveryMs;
          if (held !== had) duty.held?.(held, (lease?.takenAfterMs ?? 0) > 0);
        }
        if (held && clock.monotonic() >= runAt) {
          runAt = clock.monotonic() + duty.everyMs;
          await duty.run();
        }
      } catch (error) {
        failed(error, duty.name);
      }
      await clock.sleep(held ? Math.min(duty.everyMs, leaseEveryMs) : leaseEveryMs, signal).catch(() => undefined);
    }
    if (held) await leases.release(duty.name).catch(() => undefined);
  }
}
