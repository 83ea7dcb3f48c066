// States of logs for reads: as this node remembers them, else as the store has them.
import type { LogState } from '../delivery/log-state.ts';
import type { LogRow } from '../delivery/ports.ts';
import type { Query } from './entries-table.ts';
import type { StateCache } from './state-cache.ts';
import { loadStates } from './write-facts.ts';

export class KnownStates {
  readonly #states: StateCache;
  readonly #read: <T>(run: (query: Query) => Promise<T>) => Promise<T>;

  constructor(states: StateCache, read: <T>(run: (query: Query) => Promise<T>) => Promise<T>) {
    this.#states = states;
    this.#read = read;
  }

  /** As last known to this node; what is decided on it must not depend on its being current. */
  async of(log: bigint): Promise<LogState | undefined> {
    return this.#states.get(log) ?? (await this.#load([log]))[0];
  }

  /** The same of many; none of a log that does not exist. */
  async ofAll(logs: readonly bigint[]): Promise<Map<bigint, LogState>> {
    const known = logs.map((log) => this.#states.get(log));
    const missing = logs.filter((_, at) => known[at] === undefined);
    const loaded = missing.length === 0 ? [] : await this.#load(missing);
    return new Map([...known, ...loaded].flatMap((state) => (state ? [[state.log, state]] : [])));
  }

  /** The state that belongs to this row, or a newer one. */
  async with<T extends { readonly row: LogRow }>(found: T): Promise<(T & { state: LogState }) | undefined> {
    const { log, version, epoch } = found.row;
    const known = this.#states.get(log);
    const isOfRow = known?.version === version && known.epoch === epoch;
    const state = isOfRow ? known : (await this.#load([log]))[0];
    return state && { ...found, state };
  }

  async #load(logs: readonly bigint[]): Promise<LogState[]> {
    const loaded = await this.#read((query) => loadStates(query, logs));
    for (const state of loaded) this.#states.set(state);
    return loaded;
  }
}
