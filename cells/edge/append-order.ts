// Appends of one session to one log are decided in the order sent (R8): after an append was told to come again later,
// those behind it in the same log wait until it has.
import { type FaultCode, faults } from '@weft/proto/faults.ts';

export class AppendOrder {
  /** Per log (or peer): the append that has to come again first. */
  readonly #awaited = new Map<bigint, bigint>();
  readonly #logsMax: number;

  /** Once appends to `logsMax` logs wait to come again, appends to other logs wait too: nothing could be remembered of them. */
  constructor(logsMax: number) {
    this.#logsMax = logsMax;
  }

  /** Whether this append may be decided now. The awaited one itself may. */
  mayRun(target: bigint, clientEntryId: bigint): boolean {
    const awaited = this.#awaited.get(target);
    return awaited === undefined ? this.#awaited.size < this.#logsMax : awaited === clientEntryId;
  }

  /** The awaited append has come again. */
  arrived(target: bigint, clientEntryId: bigint): void {
    if (this.#awaited.get(target) === clientEntryId) this.#awaited.delete(target);
  }

  faulted(target: bigint, clientEntryId: bigint, code: FaultCode): void {
    if (faults[code].retry !== 'later' || code === 'earlier_faulted') return;
    if (!this.#awaited.has(target)) this.#awaited.set(target, clientEntryId);
  }
}
