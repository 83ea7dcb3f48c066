// Greeting slots. After a cut everybody of a node comes at once: those whom it cannot greet together are told when to come
// again, each at a time of its own, so that they come back as evenly as they can be greeted. A greeting costs a signature,
// a look at the session and the heads of all logs, so it is these that are counted, not the sockets.
import { WeftError } from '@weft/proto/faults.ts';
import type { Clock } from '@weft/runtime/clock.ts';

export interface AdmissionLimits {
  /** Greetings under way; whoever comes beyond that gets a slot. */
  readonly greetsUnderWayMax: number;
  /** Slots a second. */
  readonly greetSlotsPerSecond: number;
}

export class Admission {
  readonly #clock: Clock;
  readonly #limits: AdmissionLimits;
  #underWay = 0;
  /** The last slot given away (monotonic). */
  #givenMs = 0;

  constructor(clock: Clock, limits: AdmissionLimits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  /** Runs a greeting now, or throws `busy` with the time of the device's slot. */
  async admit<T>(greet: () => Promise<T>): Promise<T> {
    if (this.#underWay >= this.#limits.greetsUnderWayMax) throw new WeftError('busy', 'many devices come at once', this.#nextSlotMs());
    this.#underWay += 1;
    try {
      return await greet();
    } finally {
      this.#underWay -= 1;
    }
  }

  #nextSlotMs(): number {
    const now = this.#clock.monotonic();
    this.#givenMs = Math.max(this.#givenMs, now) + 1_000 / this.#limits.greetSlotsPerSecond;
    return Math.max(1, Math.ceil(this.#givenMs - now));
  }
}
