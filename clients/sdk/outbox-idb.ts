// An outbox in IndexedDB, for browsers. Keys rise with each put, so reading by key gives the order put.

import type { OutboxStore, StoredAppend } from './outbox-store.ts';

/** The part of IndexedDB that is used: TypeScript's DOM library is not loaded here. */
interface Request<T> {
  readonly result: T;
  readonly error: unknown;
  onsuccess: (() => void) | null;
  onerror: (() => void) | null;
}
interface ObjectStore {
  add(value: unknown): Request<unknown>;
  delete(key: unknown): Request<unknown>;
  getAll(): Request<unknown[]>;
  getAllKeys(): Request<unknown[]>;
}
interface Transaction {
  objectStore(name: string): ObjectStore;
  readonly error: unknown;
  oncomplete: (() => void) | null;
  onerror: (() => void) | null;
  onabort: (() => void) | null;
}
interface Database {
  transaction(name: string, mode: 'readonly' | 'readwrite', options?: { durability: 'strict' }): Transaction;
  createObjectStore(name: string, options: { autoIncrement: boolean }): unknown;
  close(): void;
}
export interface IndexedDb {
  open(name: string, version: number): Request<Database> & { onupgradeneeded: (() => void) | null; onblocked: (() => void) | null };
}

const storeName = 'appends';

/** @param factory the browser's `indexedDB`. @param name of the database: one per user and device. */
export function idbOutbox(factory: IndexedDb, name: string): OutboxStore {
  return new IdbOutbox(factory, name);
}

class IdbOutbox implements OutboxStore {
  readonly #factory: IndexedDb;
  readonly #name: string;
  #database: Database | undefined;
  readonly #keys = new Map<string, Promise<unknown>>();

  constructor(factory: IndexedDb, name: string) {
    this.#factory = factory;
    this.#name = name;
  }

  async load(): Promise<StoredAppend[]> {
    const opening = this.#factory.open(this.#name, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(storeName, { autoIncrement: true });
    this.#database = await settled(opening);
    const store = this.#open().transaction(storeName, 'readonly').objectStore(storeName);
    const [keys, values] = await Promise.all([settled(store.getAllKeys()), settled(store.getAll())]);
    const appends = values as StoredAppend[];
    for (const [index, append] of appends.entries()) this.#keys.set(append.id, Promise.resolve(keys[index]));
    return appends;
  }

  async put(append: StoredAppend): Promise<void> {
    const transaction = this.#open().transaction(storeName, 'readwrite', { durability: 'strict' });
    const key = settled(transaction.objectStore(storeName).add(append));
    this.#keys.set(append.id, key);
    await Promise.all([key, completed(transaction)]);
  }

  async remove(id: string): Promise<void> {
    const key = this.#keys.get(id);
    if (key === undefined) return;
    this.#keys.delete(id);
    const which = await key;
    const transaction = this.#open().transaction(storeName, 'readwrite');
    transaction.objectStore(storeName).delete(which);
    await completed(transaction);
  }

  async close(): Promise<void> {
    this.#database?.close();
    this.#database = undefined;
  }

  #open(): Database {
    if (this.#database === undefined) throw new Error('the outbox is not open');
    return this.#database;
  }
}

const settled = <T>(request: Request<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(asError(request.error));
  });

const completed = (transaction: Transaction): Promise<void> =>
  new Promise((resolve, reject) => {
    const fail = (): void => reject(asError(transaction.error));
    transaction.oncomplete = () => resolve();
    transaction.onerror = fail;
    transaction.onabort = fail;
  });

const asError = (error: unknown): Error => (error instanceof Error ? error : new Error(`IndexedDB: ${String(error)}`));
