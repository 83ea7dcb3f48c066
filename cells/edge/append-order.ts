// Appends of one connection to one log are decided in the order sent (R8): after an append was told to come again later,
// those behind it in the same log wait until it has. Those that came before it and still wait for their turn do not.
import { type FaultCode, faults } from '@weft/proto/faults.ts';
import { limits } from '@weft/proto/limits.ts';
import { LruMap } from 'toad-cache';

/** Place of an append among all that came over its connection. */
export type Ticket = number;

interface Given {
  readonly clientEntryId: bigint;
  readonly ticket: Ticket;
}

/** What has to come again before anything else of its log. */
interface Awaited {
  readonly first: Given;
  /** It was seen decided: the next that was given back may come in its place. */
  isDecided: boolean;
  /** Given back behind it, by their places: after it these come again, before anything that was under way meanwhile. */
  readonly behind: Given[];
}

interface Overtaken {
  readonly after: Ticket;
  readonly before: Ticket;
}

/** Connections of this process so far. */
let connections = 0;

/** Its maps are made when first needed: most connections never meet a fault. */
export class AppendOrder {
  /** Per log (or peer): the append that has to come again first. */
  #awaited: Map<bigint, Awaited> | undefined;
  /**
   * Per log: places behind a faulted append that were given before it came again. What has one of them is too late. Queues are
   * short-lived: only the newest few can still hold such a place.
   */
  #overtaken: LruMap<Overtaken[]> | undefined;
  /** Its connection, among all of this process. */
  readonly connection = ++connections;
  readonly #logsMax: number;
  #tickets = 0;

  /** Once appends to `logsMax` logs wait to come again, appends to other logs wait too: nothing could be remembered of them. */
  constructor(logsMax: number) {
    this.#logsMax = logsMax;
  }

  /** An append comes: its place, or undefined when another has to come again first. */
  arrive(target: bigint, clientEntryId: bigint): Ticket | undefined {
    const awaited = this.#awaited?.get(target);
    if (!awaited && (this.#awaited?.size ?? 0) >= this.#logsMax) return undefined;
    this.#tickets += 1;
    if (!awaited) return this.#tickets;
    if (!mayCome(awaited, clientEntryId)) {
      giveBack(awaited, { clientEntryId, ticket: this.#tickets });
      return undefined;
    }
    this.#overtake(target, { after: awaited.first.ticket, before: this.#tickets });
    return this.#tickets;
  }

  /** What the user sees of the log shows this append decided: it need not come again. */
  decided(clientEntryId: bigint): void {
    for (const [target, awaited] of this.#awaited ?? []) {
      const at = awaited.behind.findIndex((each) => each.clientEntryId === clientEntryId);
      if (at >= 0) awaited.behind.splice(at, 1);
      awaited.isDecided ||= awaited.first.clientEntryId === clientEntryId;
      if (awaited.isDecided && awaited.behind.length === 0) this.#awaited?.delete(target);
    }
  }

  /** Whether any append has to come again. */
  get isWaiting(): boolean {
    return this.#awaited !== undefined && this.#awaited.size > 0;
  }

  /** Whether an append that came may still be decided: nothing that came before it has to come again. */
  mayRun(target: bigint, ticket: Ticket): boolean {
    const awaited = this.#awaited?.get(target);
    if (awaited !== undefined && ticket >= awaited.first.ticket) return false;
    return !this.#overtaken?.get(target)?.some(({ after, before }) => ticket > after && ticket < before);
  }

  faulted(target: bigint, { clientEntryId, ticket }: Given, code: FaultCode): void {
    if (faults[code].retry !== 'later') return;
    const given = { clientEntryId, ticket };
    const awaited = this.#awaited?.get(target);
    if (awaited !== undefined && (ticket >= awaited.first.ticket || code === 'earlier_faulted')) return giveBack(awaited, given);
    if (code === 'earlier_faulted') return;
    this.#awaited ??= new Map();
    const behind = awaited === undefined ? [] : [...(awaited.isDecided ? [] : [awaited.first]), ...awaited.behind];
    this.#awaited.set(target, { first: given, isDecided: false, behind });
  }

  #overtake(target: bigint, places: Overtaken): void {
    this.#awaited?.delete(target);
    this.#overtaken ??= new LruMap(this.#logsMax);
    const known = this.#overtaken.get(target) ?? [];
    this.#overtaken.set(target, [...known.slice(1 - overtakenMax), places]);
  }
}

const overtakenMax = 8;
/** As many as a device has under way; it sends the rest in order behind them. */
const behindMax = limits.appendsInFlightMax;

const mayCome = ({ first, isDecided, behind }: Awaited, clientEntryId: bigint): boolean =>
  first.clientEntryId === clientEntryId || (isDecided && behind[0]?.clientEntryId === clientEntryId);

function giveBack({ first, behind }: Awaited, given: Given): void {
  if (first.clientEntryId === given.clientEntryId || behind.some((each) => each.clientEntryId === given.clientEntryId)) return;
  const at = behind.findIndex(({ ticket }) => ticket > given.ticket);
  behind.splice(at < 0 ? behind.length : at, 0, given);
  if (behind.length > behindMax) behind.pop();
}
