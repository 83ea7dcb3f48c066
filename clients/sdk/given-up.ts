// Entries of the user that had been accepted and that a newer epoch of their log gave up. Their owner of before offers them
// again (delivery rule R24); then either they turn up in the log, with their ids, or they are refused. What is given up, what
// turns up and what is refused come on different logs, in any order.

import type { WeftError } from '@weft/proto/faults.ts';
import type { Entry } from './entry.ts';
import { clientLimits as limits } from './limits.ts';

export class GivenUp {
  readonly #entries = new Map<bigint, Entry>();
  /** Of ids that nobody waits for here. */
  readonly #refusals = new Map<bigint, WeftError>();
  readonly #told: (entry: Entry, fault: WeftError) => void;

  constructor(told: (entry: Entry, fault: WeftError) => void) {
    this.#told = told;
  }

  /** The user's own among what was shown and is no longer part of its log. */
  cut(entries: readonly Entry[]): void {
    for (const entry of entries) {
      const fault = this.#refusals.get(entry.id);
      if (fault === undefined) remember(this.#entries, entry.id, entry);
      else this.#told(entry, fault);
      this.#refusals.delete(entry.id);
    }
  }

  /** An entry of the user has a place (again). */
  taken(id: bigint): void {
    this.#entries.delete(id);
  }

  /** The owner of the log will never give it a place. */
  refused(id: bigint, fault: WeftError): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return remember(this.#refusals, id, fault);
    this.#entries.delete(id);
    this.#told(entry, fault);
  }
}

/** The oldest are forgotten first. */
function remember<T>(map: Map<bigint, T>, id: bigint, value: T): void {
  map.set(id, value);
  if (map.size > limits.givenUpMax) map.delete(map.keys().next().value as bigint);
}
