// Appends of one session to one log are decided in the order sent (R8): after an append was told to come again later,
// those behind it in the same log wait until it has. Those that came before it and still wait for their turn do not.
import { type FaultCode, faults } from '@weft/proto/faults.ts';

/** Place of an append among all that came over its connection. */
export type Ticket = number;

interface Awaited {
  readonly clientEntryId: bigint;
  readonly ticket: Ticket;
}

interface Overtaken {
  readonly after: Ticket;
  readonly before: Ticket;
}

/** Its maps are made when first needed: most connections never meet a fault. */
export class AppendOrder {
  /** Per log (or peer): the append that has to come again first. */
  #awaited: Map<bigint, Awaited> | undefined;
  /** Per log: places behind a faulted append that were given before it came again. What has one of them is too late. */
  #overtaken: Map<bigint, Overtaken[]> | undefined;
  readonly #logsMax: number;
  #tickets = 0;

  /** Once appends to `logsMax` logs wait to come again, appends to other logs wait too: nothing could be remembered of them. */
  constructor(logsMax: number) {
    this.#logsMax = logsMax;
  }

  /** An append comes: its place, or undefined when another has to come again first. */
  arrive(target: bigint, clientEntryId: bigint): Ticket | undefined {
    const awaited = this.#awaited?.get(target);
    if (awaited ? awaited.clientEntryId !== clientEntryId : (this.#awaited?.size ?? 0) >= this.#logsMax) return undefined;
    this.#tickets += 1;
    if (awaited) this.#overtake(target, { after: awaited.ticket, before: this.#tickets });
    return this.#tickets;
  }

  /** What the user sees of the log shows this append decided: it need not come again. */
  decided(clientEntryId: bigint): void {
    for (const [target, awaited] of this.#awaited ?? []) if (awaited.clientEntryId === clientEntryId) this.#awaited?.delete(target);
  }

  /** Whether any append has to come again. */
  get isWaiting(): boolean {
    return this.#awaited !== undefined && this.#awaited.size > 0;
  }

  /** Whether an append that came may still be decided: nothing that came before it has to come again. */
  mayRun(target: bigint, ticket: Ticket): boolean {
    const awaited = this.#awaited?.get(target);
    if (awaited !== undefined && ticket >= awaited.ticket) return false;
    return !this.#overtaken?.get(target)?.some(({ after, before }) => ticket > after && ticket < before);
  }

  faulted(target: bigint, append: Awaited, code: FaultCode): void {
    if (faults[code].retry !== 'later' || code === 'earlier_faulted') return;
    this.#awaited ??= new Map();
    const awaited = this.#awaited.get(target);
    if (awaited === undefined || append.ticket < awaited.ticket) this.#awaited.set(target, append);
  }

  #overtake(target: bigint, places: Overtaken): void {
    this.#awaited?.delete(target);
    this.#overtaken ??= new Map();
    const known = this.#overtaken.get(target) ?? [];
    this.#overtaken.delete(target);
    // Queues are short-lived: only the newest few can still hold such a place.
    this.#overtaken.set(target, [...known.slice(1 - overtakenMax), places]);
    if (this.#overtaken.size > this.#logsMax) this.#overtaken.delete(this.#overtaken.keys().next().value as bigint);
  }
}

const overtakenMax = 8;
