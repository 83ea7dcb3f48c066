// Leases as rows with an expiry and a term. They save work (one re-sender, one sweeper): two holders at once must be harmless,
// because a frozen holder wakes up without knowing that its time is over. Table: `leases` (a migration of the room that uses it).
import assert from 'node:assert/strict';
import type pg from 'pg';
import type { Clock } from './clock.ts';
import { runtimeLimits as limits } from './limits.ts';

const renew = `
update leases set expires_ms = $3
where name = $1 and holder = $2
returning term`;

const renewEach = `
update leases set expires_ms = $3
where name = any($1::text[]) and holder = $2
returning name, term`;

const read = `
select term, expires_ms
from leases
where name = $1`;

const readEach = `
select name, expires_ms
from leases
where name = any($1::text[])`;

const insert = `
insert into leases (name, holder, term, expires_ms)
values ($1, $2, 1, $3)
on conflict (name) do nothing
returning term`;

// Term and expiry are compared with what was read, so that of two takers one wins.
const take = `
update leases set holder = $2, term = term + 1, expires_ms = $3
where name = $1 and term = $4 and expires_ms = $5
returning term`;

const free = `
update leases set expires_ms = $3
where name = $1 and holder = $2 and expires_ms > $3`;

export interface LeaseOptions {
  readonly pool: pg.Pool;
  readonly clock: Clock;
  /** Who takes leases with this object: unique for each life of a process (node name and a random part). */
  readonly holder: string;
}

export interface Lease {
  /** Rises by one with each new holder. */
  readonly term: bigint;
  /** Unix milliseconds by the holder's clock. */
  readonly expiresMs: number;
  /** End of the lease before, when it was taken from an earlier holder; 0 when it is new or was renewed. */
  readonly takenAfterMs: number;
}

export class Leases {
  readonly #pool: pg.Pool;
  readonly #clock: Clock;
  readonly #holder: string;

  constructor(options: LeaseOptions) {
    this.#pool = options.pool;
    this.#clock = options.clock;
    this.#holder = options.holder;
  }

  /**
   * Takes or renews the lease for `ttlMs` milliseconds from now. Undefined while another holds it. Rejects when SQL is away; a renewal
   * whose answer was lost counts as not renewed. An end far ahead was written by a wrong clock and is not waited for, unless `strict`.
   */
  async tryHold(name: string, ttlMs: number, options: { readonly strict?: boolean } = {}): Promise<Lease | undefined> {
    assert(ttlMs > 0 && ttlMs <= limits.leaseMsMax, `a lease lasts up to ${limits.leaseMsMax} ms, not ${ttlMs}`);
    const now = this.#clock.now();
    const expiresMs = now + ttlMs;
    const renewed = await this.#pool.query<{ term: bigint }>(renew, [name, this.#holder, expiresMs]);
    if (renewed.rows[0] !== undefined) return { term: renewed.rows[0].term, expiresMs, takenAfterMs: 0 };

    const held = (await this.#pool.query<{ term: bigint; expires_ms: bigint }>(read, [name])).rows[0];
    if (held === undefined) {
      const made = await this.#pool.query<{ term: bigint }>(insert, [name, this.#holder, expiresMs]);
      return made.rows[0] === undefined ? undefined : { term: made.rows[0].term, expiresMs, takenAfterMs: 0 };
    }
    const endsMs = Number(held.expires_ms);
    if (endsMs > now && (options.strict === true || !isFar(endsMs, now))) return undefined;
    const taken = await this.#pool.query<{ term: bigint }>(take, [name, this.#holder, expiresMs, held.term, held.expires_ms]);
    return taken.rows[0] === undefined ? undefined : { term: taken.rows[0].term, expiresMs, takenAfterMs: endsMs };
  }

  /**
   * Each of these leases as `tryHold` does it, in one statement where all are this holder's already, in two where the others are
   * another's. `known` is told of each as soon as it is known. Rejects when SQL is away: nothing is known then of those not told.
   */
  async holdEach(names: readonly string[], ttlMs: number, known: (name: string, lease: Lease | undefined) => void): Promise<void> {
    assert(ttlMs > 0 && ttlMs <= limits.leaseMsMax, `a lease lasts up to ${limits.leaseMsMax} ms, not ${ttlMs}`);
    const now = this.#clock.now();
    const expiresMs = now + ttlMs;
    const renewed = await this.#pool.query<{ name: string; term: bigint }>(renewEach, [names, this.#holder, expiresMs]);
    for (const { name, term } of renewed.rows) known(name, { term, expiresMs, takenAfterMs: 0 });
    const mine = new Set(renewed.rows.map(({ name }) => name));
    const others = names.filter((name) => !mine.has(name));
    if (others.length === 0) return;

    const held = await this.#pool.query<{ name: string; expires_ms: bigint }>(readEach, [others]);
    const ends = new Map(held.rows.map((row) => [row.name, Number(row.expires_ms)]));
    for (const name of others) {
      const endsMs = ends.get(name) ?? 0;
      known(name, endsMs > now && !isFar(endsMs, now) ? undefined : await this.tryHold(name, ttlMs));
    }
  }

  /** Ends the lease now, if this holder has it. */
  async release(name: string): Promise<void> {
    await this.#pool.query(free, [name, this.#holder, this.#clock.now()]);
  }
}

/** Written by a wrong clock. */
const isFar = (endsMs: number, nowMs: number): boolean => endsMs > nowMs + limits.leaseMsMax + limits.leaseSkewMsMax;
