// Appends of one session to one log are decided in the order sent (R8): after an append was told to come again later,
// those behind it in the same log wait until it has. Those that came before it and still wait for their turn do not.
import { type FaultCode, faults } from '@weft/proto/faults.ts';

/** Place of an append among all that came over its connection. */
export type Ticket = number;

interface Awaited {
  readonly clientEntryId: bigint;
  readonly ticket: Ticket;
}

export class AppendOrder {
  /** Per log (or peer): the append that has to come again first. */
  readonly #awaited = new Map<bigint, Awaited>();
  readonly #logsMax: number;
  #tickets = 0;

  /** Once appends to `logsMax` logs wait to come again, appends to other logs wait too: nothing could be remembered of them. */
  constructor(logsMax: number) {
    this.#logsMax = logsMax;
  }

  /** An append comes: its place, or undefined when another has to come again first. */
  arrive(target: bigint, clientEntryId: bigint): Ticket | undefined {
    const awaited = this.#awaited.get(target);
    if (awaited ? awaited.clientEntryId !== clientEntryId : this.#awaited.size >= this.#logsMax) return undefined;
    this.#awaited.delete(target);
    this.#tickets += 1;
    return this.#tickets;
  }

  /** Whether an append that came may still be decided: nothing that came before it has to come again. */
  mayRun(target: bigint, ticket: Ticket): boolean {
    const awaited = this.#awaited.get(target);
    return awaited === undefined || ticket < awaited.ticket;
  }

  faulted(target: bigint, append: Awaited, code: FaultCode): void {
    if (faults[code].retry !== 'later' || code === 'earlier_faulted') return;
    const awaited = this.#awaited.get(target);
    if (awaited === undefined || append.ticket < awaited.ticket) this.#awaited.set(target, append);
  }
}
