// The cell's own key pairs: Ed25519 for access tokens and for heads of logs, X25519 for sealed frames. The rows are the truth, every node reads them every few seconds.
//
// A rotation: 1. the new pair is inserted, to be used keyStartsMs later; 2. every node sees it and has it published by the directory; 3. it is used;
// 4. the old one stays published and known until the last thing made with it is over.
import { generateKeyPairSync } from 'node:crypto';
import { KeyUse, type PublicKey } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import type { Clock } from '@weft/runtime/clock.ts';
import type { Log } from '@weft/runtime/log.ts';
import { inTransaction } from '@weft/runtime/sql.ts';
import type pg from 'pg';
import { type CellKeyRow, type CellKeyUse, endCellKeys, forgetCellKeys, insertCellKey, readCellKeys } from '../store/cell-keys-table.ts';
import { accountLimits as limits } from './account-limits.ts';
import { unwrapKey, wrapKey } from './key-wrap.ts';

export type { CellKeyUse } from '../store/cell-keys-table.ts';

export interface CellKey {
  readonly use: CellKeyUse;
  /** Rises by one with every rotation, from 1. */
  readonly version: number;
  /** 32 raw bytes each (RFC 7748, RFC 8032). */
  readonly publicKey: Uint8Array;
  readonly privateKey: Uint8Array;
  /** Unix ms from which this cell seals or signs with it; it opens and verifies before. */
  readonly startsMs: number;
  /** Unix ms after which nothing made with it counts; 0: it was not replaced. */
  readonly ends: number;
}

export interface CellKeysOptions {
  readonly pool: pg.Pool;
  /** WEFT_KEY_SECRET: 32 bytes. */
  readonly secret: Uint8Array;
  readonly clock: Clock;
  /** Name of the cell: its keys cannot be opened as another cell's. */
  readonly cell: string;
  readonly log: Log;
}

const uses: readonly CellKeyUse[] = ['seal', 'token', 'head'];
const keptMs: Readonly<Record<CellKeyUse, number>> = {
  seal: limits.sealKeyKeptMs,
  token: limits.tokenKeyKeptMs,
  head: limits.headKeyKeptMs,
};
const protoUse = { seal: KeyUse.KEY_USE_SEAL, token: KeyUse.KEY_USE_TOKEN, head: KeyUse.KEY_USE_HEAD } as const;

export class CellKeys implements AsyncDisposable {
  readonly #options: CellKeysOptions;
  readonly #listeners = new Set<() => void>();
  #keys: readonly CellKey[] = [];
  #reload: Disposable | undefined;
  #reloading: Promise<void> = Promise.resolve();

  private constructor(options: CellKeysOptions) {
    this.#options = options;
  }

  /** Reads the keys and makes those that are missing. Rejects when the secret does not open them. */
  static async open(options: CellKeysOptions): Promise<CellKeys> {
    const keys = new CellKeys(options);
    await keys.reload();
    for (const use of uses) if (keys.all(use).length === 0) await keys.rotate(use);
    keys.#reload = options.clock.every(limits.keyReloadMs, () => {
      keys.#reloading = keys.#reloading.then(() => keys.#tend());
    });
    return keys;
  }

  /** The key to sign or seal with now. */
  current(use: CellKeyUse): CellKey {
    const now = this.#options.clock.now();
    const known = this.all(use);
    const key = known.findLast((each) => each.startsMs <= now) ?? known[0];
    if (key === undefined) throw new Error(`the cell has no ${use} key`);
    return key;
  }

  /** Every key that still counts, by version. */
  all(use: CellKeyUse): readonly CellKey[] {
    const now = this.#options.clock.now();
    return this.#keys.filter((key) => key.use === use && (key.ends === 0 || key.ends > now));
  }

  /** What the directory publishes of this cell: all keys that still count, also those not used yet. */
  publicKeys(): PublicKey[] {
    return uses
      .flatMap((use) => this.all(use))
      .map((key) => ({ use: protoUse[key.use], version: key.version, key: key.publicKey, ends: BigInt(key.ends) }));
  }

  /** Makes the next key of this use. When another node does so at once, one key comes of it. */
  async rotate(use: CellKeyUse): Promise<void> {
    const { pool, secret, clock, cell } = this.#options;
    const version = (this.#keys.findLast((key) => key.use === use)?.version ?? 0) + 1;
    const now = clock.now();
    const startsMs = version === 1 ? now : now + limits.keyStartsMs;
    const pair = makePair(use);
    const wrappedKey = wrapKey(secret, pair.privateKey, label(cell, use, version));
    await inTransaction(pool, async (client) => {
      const query = (statement: pg.QueryConfig) => client.query(statement);
      if (!(await insertCellKey(query, { use, version, publicKey: pair.publicKey, wrappedKey, createdMs: now, startsMs }))) return;
      await endCellKeys(query, use, { version, endsMs: startsMs + keptMs[use] });
      await forgetCellKeys(query, use, now);
    });
    await this.reload();
  }

  /** Reads the keys now; `change` is told when they differ from what was known. */
  async reload(): Promise<void> {
    const { pool, secret, cell } = this.#options;
    const rows = await readCellKeys((statement) => pool.query(statement));
    const before = fingerprint(this.#keys);
    this.#keys = rows.map((row) => openKey(row, secret, cell));
    if (fingerprint(this.#keys) === before) return;
    for (const fn of this.#listeners) fn();
  }

  /** Called after the keys changed, whichever node changed them: publish them. */
  on(_event: 'change', fn: () => void): Disposable {
    this.#listeners.add(fn);
    return { [Symbol.dispose]: () => void this.#listeners.delete(fn) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#reload?.[Symbol.dispose]();
    await this.#reloading;
    this.#listeners.clear();
  }

  /** While the database is away the keys that are known go on being used. */
  async #tend(): Promise<void> {
    try {
      await this.reload();
      const now = this.#options.clock.now();
      for (const use of uses) {
        const newest = this.#keys.findLast((key) => key.use === use);
        if (newest !== undefined && now - newest.startsMs > limits.keyMsMax) await this.rotate(use);
      }
    } catch (error) {
      this.#options.log.warn({ err: error }, 'the keys of the cell could not be read; going on with those known');
    }
  }
}

const label = (cell: string, use: CellKeyUse, version: number): string => `weft.cell-key.v1 ${cell} ${use} ${version}`;
const fingerprint = (keys: readonly CellKey[]): string => keys.map((key) => `${key.use}.${key.version}.${key.ends}`).join(' ');

function openKey(row: CellKeyRow, secret: Uint8Array, cell: string): CellKey {
  const privateKey = unwrapKey(secret, row.wrappedKey, label(cell, row.use, row.version));
  if (privateKey === undefined)
    throw new Error(`WEFT_KEY_SECRET does not open ${row.use} key ${row.version} of cell ${cell}: it is not the one the key was made with`);
  return { use: row.use, version: row.version, publicKey: row.publicKey, privateKey, startsMs: row.startsMs, ends: row.endsMs ?? 0 };
}

/** 32 raw bytes each: the ends of their DER forms (RFC 8410). */
function makePair(use: CellKeyUse): { readonly publicKey: Buffer; readonly privateKey: Buffer } {
  const pair = use === 'seal' ? generateKeyPairSync('x25519') : generateKeyPairSync('ed25519');
  return {
    publicKey: pair.publicKey.export({ format: 'der', type: 'spki' }).subarray(-32),
    privateKey: pair.privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(-32),
  };
}
