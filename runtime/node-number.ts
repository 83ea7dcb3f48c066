// The node number of a process, leased in the cell's SQL: no two processes have one number at the same time of ids (see id-maker.ts).
// Unlike other leases this one carries a rule. It holds because takers compare the row they read, because an end is believed only
// after the database confirmed it, and because the next holder's ids begin where the lease before ended.
import { WeftError } from '@weft/proto/faults.ts';
import { nodeNumberMax } from '@weft/proto/ids.ts';
import type { Clock } from './clock.ts';
import type { Leases } from './lease.ts';
import { runtimeLimits as limits } from './limits.ts';
import type { Log } from './log.ts';

export interface NodeNumberOptions {
  /** Of a holder that is unique for this life of the process: after a restart the number is another one. */
  readonly leases: Leases;
  readonly clock: Clock;
  readonly log: Log;
}

export class NodeNumber implements AsyncDisposable {
  readonly number: number;
  /** For IdMaker: ids of this holder begin here, Unix milliseconds. */
  readonly notBeforeMs: number;
  readonly #options: NodeNumberOptions;
  readonly #timer: Disposable;
  #endsMs: number;
  #renewing: Promise<void> = Promise.resolve();
  #isRenewing = false;

  private constructor(options: NodeNumberOptions, taken: { number: number; notBeforeMs: number; endsMs: number }) {
    this.#options = options;
    this.number = taken.number;
    this.notBeforeMs = taken.notBeforeMs;
    this.#endsMs = taken.endsMs;
    this.#timer = options.clock.every(limits.nodeLeaseMs / 3, () => {
      if (!this.#isRenewing) this.#renewing = this.#renew();
    });
  }

  /** Takes a free number. Throws `not_ready` when all 32 are held (they end after a minute without their process). */
  static async take(options: NodeNumberOptions): Promise<NodeNumber> {
    for (let number = 0; number <= nodeNumberMax; number++) {
      // Strict: a holder whose clock is far ahead makes ids that are as far ahead.
      const lease = await options.leases.tryHold(nameOf(number), limits.nodeLeaseMs, { strict: true });
      if (lease !== undefined) {
        return new NodeNumber(options, { number, notBeforeMs: lease.takenAfterMs, endsMs: lease.expiresMs });
      }
    }
    throw new WeftError('not_ready', 'every node number of the cell is held', limits.nodeLeaseMs);
  }

  /** Unix milliseconds; for IdMaker. */
  readonly leaseEndsMs = (): number => this.#endsMs;

  /** Resolves when no renewal is under way. */
  renewed(): Promise<void> {
    return this.#renewing;
  }

  async #renew(): Promise<void> {
    const { clock, leases, log } = this.#options;
    // Never shorten: an id with a later time may be out already, and the next holder begins at the end in the row.
    if (clock.now() + limits.nodeLeaseMs <= this.#endsMs) return;
    this.#isRenewing = true;
    try {
      const lease = await leases.tryHold(nameOf(this.number), limits.nodeLeaseMs, { strict: true });
      if (lease === undefined || lease.takenAfterMs !== 0)
        log.error({ number: this.number }, 'the node number was taken by another process');
      else this.#endsMs = lease.expiresMs;
    } catch (error) {
      log.warn({ err: error, number: this.number }, 'the node number was not renewed');
    } finally {
      this.#isRenewing = false;
    }
  }

  /** Stops renewing. The row keeps its end, since ids up to there may be out. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#timer[Symbol.dispose]();
    await this.#renewing;
  }
}

const nameOf = (number: number): string => `node-number/${number}`;
