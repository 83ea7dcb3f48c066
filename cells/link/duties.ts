// What one node does for the whole cell while it holds the lease: sending again, telling marks, pulling what is behind,
// applying a partition. Leases only save work: two holders at once are harmless (R13).
//
// All duties of a node go by one timer, and the leases that are due are held by one statement. A duty that is under way is
// waited for by nobody, and its lease is not renewed: where it hangs, the lease ends and another node goes on with it.
import type { Clock } from '@weft/runtime/clock.ts';
import type { Lease, Leases } from '@weft/runtime/lease.ts';

export interface Duty {
  readonly name: string;
  readonly everyMs: number;
  /** What is done over and over; nothing where holding the lease is all there is to it. */
  readonly run?: () => Promise<void>;
  /** Called when the lease comes and when it goes. `takenOver`: another held it before; it may be frozen. */
  readonly held?: (held: boolean, takenOver: boolean) => void;
}

export interface DutiesOptions {
  readonly leases: Pick<Leases, 'holdEach' | 'release'>;
  readonly clock: Clock;
  readonly leaseMs: number;
  readonly leaseEveryMs: number;
  readonly failed: (error: unknown, duty: string) => void;
}

interface Kept {
  readonly duty: Duty;
  held: boolean;
  renewAt: number;
  runAt: number;
  running: Promise<void> | undefined;
}

export class Duties implements AsyncDisposable {
  readonly #options: DutiesOptions;
  readonly #stop = new AbortController();
  readonly #kept = new Map<string, Kept>();
  #loop: Promise<void> | undefined;

  constructor(options: DutiesOptions) {
    this.#options = options;
  }

  /** Runs the duty for as long as the lease is held, over and over. */
  add(duty: Duty): void {
    this.#kept.set(duty.name, { duty, held: false, renewAt: 0, runAt: 0, running: undefined });
    this.#loop ??= this.#go();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#loop;
    await Promise.all([...this.#kept.values()].map((kept) => this.#end(kept)));
  }

  async #go(): Promise<void> {
    const { clock, failed } = this.#options;
    const signal = this.#stop.signal;
    // Those that are added in this turn are held by the first statement.
    await Promise.resolve();
    while (!signal.aborted) {
      try {
        await this.#renew();
        this.#runDue();
      } catch (error) {
        failed(error, 'leases');
      }
      await clock.sleep(this.#pauseMs(), signal).catch(() => undefined);
    }
  }

  async #renew(): Promise<void> {
    const { leases, clock, leaseMs, leaseEveryMs } = this.#options;
    const now = clock.monotonic();
    const due = [...this.#kept.values()].filter(({ running, renewAt }) => running === undefined && now >= renewAt);
    if (due.length === 0) return;
    const names = due.map(({ duty }) => duty.name);
    await leases.holdEach(names, leaseMs, (name, lease) => {
      const kept = this.#kept.get(name) as Kept;
      kept.renewAt = now + leaseEveryMs;
      this.#changed(kept, lease);
    });
  }

  #changed(kept: Kept, lease: Lease | undefined): void {
    const had = kept.held;
    kept.held = lease !== undefined;
    if (kept.held === had) return;
    try {
      kept.duty.held?.(kept.held, (lease?.takenAfterMs ?? 0) > 0);
    } catch (error) {
      this.#options.failed(error, kept.duty.name);
    }
  }

  #runDue(): void {
    const now = this.#options.clock.monotonic();
    for (const kept of this.#kept.values()) {
      const { run, everyMs } = kept.duty;
      if (!run || !kept.held || kept.running !== undefined || now < kept.runAt) continue;
      kept.runAt = now + everyMs;
      kept.running = this.#run(kept, run);
    }
  }

  async #run(kept: Kept, run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      this.#options.failed(error, kept.duty.name);
    } finally {
      kept.running = undefined;
    }
  }

  /** Until the most frequent of what is held here falls due. */
  #pauseMs(): number {
    let pauseMs = this.#options.leaseEveryMs;
    for (const { held, duty } of this.#kept.values()) if (held && duty.everyMs < pauseMs) pauseMs = duty.everyMs;
    return pauseMs;
  }

  async #end(kept: Kept): Promise<void> {
    await kept.running;
    if (kept.held) await this.#options.leases.release(kept.duty.name).catch(() => undefined);
  }
}
