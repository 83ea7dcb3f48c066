// Entries: the truth at the owner, an unbroken run at a replica.
import { hashBytes } from '@weft/proto/chain.ts';
import { limits } from '@weft/proto/limits.ts';
import { type EpochStart, epochAt } from '@weft/proto/positions.ts';
import { byteaArray, int2Array, int8Array } from '@weft/runtime/binary-arrays.ts';
import type { BinaryRow } from '@weft/runtime/binary-rows.ts';
import type { BatchStatement } from '@weft/runtime/sql-batch.ts';
import type pg from 'pg';
import { checkPointEvery, type FreshEntry } from '../delivery/chain-of.ts';
import { type Entry, flagBits } from '../delivery/entry.ts';
import type { AppendKey, LogRange } from '../delivery/ports.ts';
import type { EntryFold } from './entry-key.ts';

const insert = `
insert into entries (log_id, seq, ts, ord, author_id, entry_key, kind, body)
select l, s, t, o, a, k, d, b
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::smallint[], $8::bytea[])
  as x (l, s, t, o, a, k, d, b)`;

// A correlated sub-select on the unique index: written as a join, the planner reads a growing, not yet analysed table whole.
// So it is with the limit below (tests/store-plans.test.ts).
const findKnown = `
select i, seq
from (
  select i, (select e.seq from entries e where e.log_id = l and e.entry_key = k) as seq
  from unnest($1::bigint[], $2::bigint[]) with ordinality as x (l, k, i)
) as found
where seq is not null`;

const columns = 'seq, ts, ord, author_id, entry_key, kind';

const readHeaders = `
select e.seq, e.ts, e.ord, e.author_id, e.entry_key, e.kind, e.log_id
from unnest($1::bigint[], $2::bigint[]) as x (l, s)
cross join lateral (
  select log_id, seq, ts, ord, author_id, entry_key, kind from entries where entries.log_id = x.l and entries.seq = x.s limit 1
) as e`;

const findOne = `
select log_id, seq from entries where entry_key = $1 order by log_id limit 1`;

const readForwards = `
select ${columns}, body
from entries
where log_id = $1 and seq >= $2 and seq <= $3
order by seq
limit $4`;

// Ranges of many logs, each from the check point that proves it on, if that is not too far below; none is looked for where the
// hash before a range is known. The first column says which of them. The epoch is that of the same snapshot.
const readRangesText = `
select x.i, e.seq, e.ts, e.ord, e.author_id, e.entry_key, e.kind, e.body, o.epoch
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) with ordinality as x (l, f, t, a, i)
cross join lateral (select epoch from logs where logs.log_id = x.l limit 1) as o
cross join lateral (
  select seq, ts, ord, author_id, entry_key, kind, body
  from entries
  where entries.log_id = x.l and entries.seq <= x.t and entries.seq > case when x.a = x.f - 1 then x.a else greatest(x.a, coalesce((
    select p.seq from log_hashes p where p.log_id = x.l and p.seq < x.f order by p.seq desc limit 1
  ), 0)) end
  order by seq
  limit $5
) as e
order by x.i, e.seq`;

const readTargets = `
select e.seq, e.ts, e.ord, e.author_id, e.entry_key, e.kind, e.body, e.log_id
from unnest($1::bigint[], $2::bigint[]) as x (l, s)
cross join lateral (
  select log_id, seq, ts, ord, author_id, entry_key, kind, body from entries where entries.log_id = x.l and entries.seq = x.s limit 1
) as e`;

// The keys twice, as for logs: a plan made while the table was small would otherwise read all of it.
const emptyText = `
update entries
set kind = x.k, body = x.h
from unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::bytea[]) as x (l, s, k, h)
where entries.log_id = any ($1::bigint[]) and entries.log_id = x.l and entries.seq = x.s`;

const readState = `
select ${columns}, body
from entries
where log_id = $1 and seq <= $2 and kind in (16, 17, 18, 19, 20)
order by seq`;

export type Query = (statement: pg.QueryConfig & { readonly rowMode?: 'array' }) => Promise<pg.QueryResult>;

/** A statement of a batch, which its session parses before it is first used. */
export interface PreparedStatement extends BatchStatement {
  readonly text: string;
}

/** `columns`, then the body or, for headers, the log. Eight-byte numbers stay text until it is clear which kind they become. */
type EntryRow = [seq: string, ts: string, ord: string, author: string, key: string, kind: number, last: Buffer | string];

const int8Oid = 20;
const byteaOid = 17;
const asText = (text: string): string => text;
const asBytes = (text: string): Buffer => Buffer.from(text.slice(2), 'hex');

/** Rows as arrays: a page of history is read in a third of the time that an object with a bigint for each column takes. */
const rowsAsText = {
  rowMode: 'array',
  types: { getTypeParser: (oid: number) => (oid === int8Oid ? asText : oid === byteaOid ? asBytes : Number) },
} as const;

/** The flags live in the high bits of the stored kind. Where they say that the body was emptied, its column has the hash, then what is left. */
const kindBits = 8;
const kindMask = (1 << kindBits) - 1;

const bodyColumn = (e: Entry): Uint8Array => (e.bodyHash ? Buffer.concat([e.bodyHash, e.body]) : e.body);

type Bare = Omit<Entry, 'kind' | 'flags' | 'body' | 'bodyHash' | 'prev'>;

/** The entry with what its last two columns say. Written out: a page makes some dozens of these. */
function withBody({ log, epoch, seq, ts, author, clientEntryId, ord }: Bare, stored: number, column: Buffer): FreshEntry {
  const kind = stored & kindMask;
  const flags = stored >> kindBits;
  if ((flags & flagBits.emptied) === 0) return { log, epoch, seq, ts, author, clientEntryId, ord, kind, flags, body: column };
  const [bodyHash, body] = [column.subarray(0, hashBytes), column.subarray(hashBytes)];
  return { log, epoch, seq, ts, author, clientEntryId, ord, kind, flags, body, bodyHash };
}

export interface Range {
  readonly log: bigint;
  readonly from: number;
  readonly to: number;
  readonly limit: number;
}

/** At most as long as a frame. */
export type RangeToProve = LogRange & { readonly isProved: boolean };
type TakeEntry = (entry: FreshEntry, epoch: bigint) => void;

/** What is read of the entries below `first`, so that it can be proved: nothing where the hash before it is known. */
const provedAfter = (first: number, isProved: boolean): number => (isProved ? first - 1 : Math.max(0, first - 1 - checkPointEvery));

const noBody = Buffer.alloc(0);

export class EntriesTable {
  readonly #fold: EntryFold;

  constructor(fold: EntryFold) {
    this.#fold = fold;
  }

  insert(query: Query, entries: readonly Entry[]): Promise<unknown> {
    const values = [
      int8Array(entries.map((e) => e.log)),
      int8Array(entries.map((e) => e.seq)),
      int8Array(entries.map((e) => e.ts)),
      int8Array(entries.map((e) => e.ord)),
      int8Array(entries.map((e) => e.author)),
      int8Array(entries.map((e) => this.#fold.key(e.author, e.clientEntryId))),
      int2Array(entries.map((e) => e.kind | (e.flags << kindBits))),
      byteaArray(entries.map(bodyColumn)),
    ];
    return query({ name: 'entries-insert', text: insert, values });
  }

  /** Seqs of the keys that are stored already, by the keys' index. */
  async findKnown(query: Query, keys: readonly AppendKey[]): Promise<Map<number, number>> {
    const values = [int8Array(keys.map((k) => k.log)), int8Array(keys.map((k) => this.#fold.key(k.author, k.clientEntryId)))];
    const { rows } = await query({ name: 'entries-known', text: findKnown, values });
    return new Map(rows.map((r: { i: bigint; seq: bigint }) => [Number(r.i) - 1, Number(r.seq)]));
  }

  /** Where an author's append with this id is; undefined when it is not stored here. */
  async findOne(query: Query, author: bigint, clientEntryId: bigint): Promise<{ log: bigint; seq: number } | undefined> {
    const { rows } = await query({ name: 'entries-find-one', text: findOne, values: [this.#fold.key(author, clientEntryId)] });
    return rows.map((r: { log_id: bigint; seq: bigint }) => ({ log: r.log_id, seq: Number(r.seq) }))[0];
  }

  /** Headers (bodies empty) at these positions. `epochsOf` tells the epochs of a log. */
  async readHeaders(
    query: Query,
    at: readonly { log: bigint; seq: number }[],
    epochsOf: (log: bigint) => readonly EpochStart[],
  ): Promise<Entry[]> {
    const values = [int8Array(at.map((x) => x.log)), int8Array(at.map((x) => x.seq))];
    const { rows } = await query({ name: 'entries-headers', text: readHeaders, values, ...rowsAsText });
    return (rows as EntryRow[]).map((row) => {
      const log = BigInt(row[6] as string);
      return this.#toEntry(row, { log, epochs: epochsOf(log), body: noBody });
    });
  }

  /** Whole entries at these positions. */
  async readTargets(
    query: Query,
    at: readonly { log: bigint; seq: number }[],
    epochsOf: (log: bigint) => readonly EpochStart[],
  ): Promise<Entry[]> {
    const values = [int8Array(at.map((x) => x.log)), int8Array(at.map((x) => x.seq))];
    const { rows } = await query({ name: 'entries-targets', text: readTargets, values, ...rowsAsText });
    return (rows as [...EntryRow, string][]).map((row) => {
      const log = BigInt(row[7]);
      return this.#toEntry(row.slice(0, 7) as unknown as EntryRow, { log, epochs: epochsOf(log), body: row[6] as Buffer });
    });
  }

  /** Bodies go, their hashes stay. */
  empty(query: Query, emptied: readonly Entry[]): Promise<unknown> {
    const values = [
      int8Array(emptied.map((e) => e.log)),
      int8Array(emptied.map((e) => e.seq)),
      int2Array(emptied.map((e) => e.kind | (e.flags << kindBits))),
      byteaArray(emptied.map(bodyColumn)),
    ];
    return query({ name: 'entries-empty', text: emptyText, values });
  }

  /** from <= seq <= to, ascending. */
  async readForwards(query: Query, range: Range, epochs: readonly EpochStart[]): Promise<FreshEntry[]> {
    const values = [range.log, range.from, range.to, range.limit];
    const { rows } = await query({ name: 'entries-forwards', text: readForwards, values, ...rowsAsText });
    return (rows as EntryRow[]).map((row) => this.#toEntry(row, { log: range.log, epochs, body: row[6] as Buffer }));
  }

  /**
   * Of each range first <= seq <= last, ascending, and before them what proves them: nothing where `isProved` says that the hash
   * before the first is known. `take` gets each, with the place of its range and the log's epoch when it was read.
   */
  ranges(
    asked: readonly RangeToProve[],
    epochsOf: (at: number) => readonly EpochStart[],
    take: (at: number, ...found: Parameters<TakeEntry>) => void,
  ): PreparedStatement {
    const read = (row: BinaryRow): void => {
      const at = row.number() - 1;
      take(at, this.#readEntry(row, (asked[at] as RangeToProve).log, epochsOf(at)), row.int8());
    };
    const values = [
      int8Array(asked.map(({ log }) => log)),
      int8Array(asked.map(({ first }) => first)),
      int8Array(asked.map(({ last }) => last)),
      int8Array(asked.map(({ first, isProved }) => provedAfter(first, isProved))),
      limits.frameEntriesMax + checkPointEvery,
    ];
    return { name: 'entries-ranges', text: readRangesText, values, read };
  }

  #readEntry(row: BinaryRow, log: bigint, epochs: readonly EpochStart[]): FreshEntry {
    const seq = row.number();
    const ts = row.number();
    const ord = row.number();
    const author = row.int8();
    const clientEntryId = this.#fold.clientEntryId(author, row.int8());
    const kind = row.int2();
    const made = { log, epoch: epochAt(epochs, seq), seq, ts, author, clientEntryId, ord };
    return withBody(made, kind, row.bytes());
  }

  /** Entries that change the log's state, up to and including `upTo`, ascending. */
  async readState(query: Query, at: { readonly log: bigint; readonly upTo: number }, epochs: readonly EpochStart[]): Promise<Entry[]> {
    const { rows } = await query({ name: 'entries-state', text: readState, values: [at.log, at.upTo], ...rowsAsText });
    return (rows as EntryRow[]).map((row) => this.#toEntry(row, { log: at.log, epochs, body: row[6] as Buffer }));
  }

  #toEntry(row: EntryRow, of: { readonly log: bigint; readonly epochs: readonly EpochStart[]; readonly body: Buffer }): FreshEntry {
    const author = BigInt(row[3]);
    const seq = Number(row[0]);
    return withBody(
      {
        log: of.log,
        epoch: epochAt(of.epochs, seq),
        seq,
        ts: Number(row[1]),
        author,
        clientEntryId: this.#fold.clientEntryId(author, BigInt(row[4])),
        ord: Number(row[2]),
      },
      row[5],
      of.body,
    );
  }
}
