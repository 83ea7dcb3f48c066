// Where entries wait until they are decided. A store keeps order of `put`; it decides nothing.

/** An entry as it is kept: ids as decimal strings, so that it is JSON and fits every store. */
export interface StoredAppend {
  readonly id: string;
  /** Which queue of the outbox: `log:<id>` or `peer:<id>`. */
  readonly lane: string;
  readonly text?: string;
  /** base64 */
  readonly data?: string;
}

export interface OutboxStore {
  /** Everything put and not removed, in the order put. Called once, before anything else. */
  load(): Promise<StoredAppend[]>;
  /** Resolves when the entry survives a crash. Puts are kept in the order called. */
  put(append: StoredAppend): Promise<void>;
  /** A removal may be forgotten by a crash: the entry is then sent again under the same id, which changes nothing. */
  remove(id: string): Promise<void>;
  close(): Promise<void>;
}

/** Keeps nothing: entries live as long as the process. */
export const memoryOutbox = (): OutboxStore => ({
  load: () => Promise.resolve([]),
  put: () => Promise.resolve(),
  remove: () => Promise.resolve(),
  close: () => Promise.resolve(),
});
