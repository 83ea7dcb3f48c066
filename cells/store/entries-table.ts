// Entries: the truth at the owner, an unbroken run at a replica.
import { byteaArray, int2Array, int8Array } from '@weft/runtime/binary-arrays.ts';
import type pg from 'pg';
import type { Entry } from '../delivery/entry.ts';
import type { AppendKey } from '../delivery/ports.ts';
import { clientEntryIdOf, entryKey } from './entry-key.ts';

const insert = `
insert into entries (log_id, seq, ts, ord, author_id, entry_key, kind, body)
select l, s, t, o, a, k, d, b
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::smallint[], $8::bytea[])
  as x (l, s, t, o, a, k, d, b)`;

// A correlated sub-select on the unique index: written as a join, the planner reads a growing, not yet analysed table whole.
const findKnown = `
select i, seq
from (
  select i, (select e.seq from entries e where e.log_id = l and e.entry_key = k) as seq
  from unnest($1::bigint[], $2::bigint[]) with ordinality as x (l, k, i)
) as found
where seq is not null`;

const columns = 'log_id, seq, ts, ord, author_id, entry_key, kind';

const readHeaders = `
select e.log_id, e.seq, e.ts, e.ord, e.author_id, e.entry_key, e.kind
from unnest($1::bigint[], $2::bigint[]) as x (l, s), entries e
where e.log_id = x.l and e.seq = x.s`;

const readForwards = `
select ${columns}, body
from entries
where log_id = $1 and seq >= $2 and seq <= $3
order by seq
limit $4`;

const readBackwards = `
select ${columns}, body
from entries
where log_id = $1 and seq >= $2 and seq < $3
order by seq desc
limit $4`;

const readState = `
select ${columns}, body
from entries
where log_id = $1 and seq <= $2 and kind in (16, 17, 18)
order by seq`;

export type Query = (statement: pg.QueryConfig) => Promise<pg.QueryResult>;

interface EntryRow {
  log_id: bigint;
  seq: bigint;
  ts: bigint;
  ord: bigint;
  author_id: bigint;
  entry_key: bigint;
  kind: number;
  body?: Buffer;
}

/** The flags live in the high bits of the stored kind. */
const kindBits = 8;

export function insertEntries(query: Query, entries: readonly Entry[]): Promise<unknown> {
  const values = [
    int8Array(entries.map((e) => e.log)),
    int8Array(entries.map((e) => e.seq)),
    int8Array(entries.map((e) => e.ts)),
    int8Array(entries.map((e) => e.ord)),
    int8Array(entries.map((e) => e.author)),
    int8Array(entries.map((e) => entryKey(e.author, e.clientEntryId))),
    int2Array(entries.map((e) => e.kind | (e.flags << kindBits))),
    byteaArray(entries.map((e) => e.body)),
  ];
  return query({ name: 'entries-insert', text: insert, values });
}

/** Seqs of the keys that are stored already, by the keys' index. */
export async function findKnownSeqs(query: Query, keys: readonly AppendKey[]): Promise<Map<number, number>> {
  const values = [int8Array(keys.map((k) => k.log)), int8Array(keys.map((k) => entryKey(k.author, k.clientEntryId)))];
  const { rows } = await query({ name: 'entries-known', text: findKnown, values });
  return new Map(rows.map((r: { i: bigint; seq: bigint }) => [Number(r.i) - 1, Number(r.seq)]));
}

/** Headers (bodies empty) at these positions. `epochOf` tells the epoch of a log. */
export async function readEntryHeaders(
  query: Query,
  at: readonly { log: bigint; seq: number }[],
  epochOf: (log: bigint) => bigint,
): Promise<Entry[]> {
  const values = [int8Array(at.map((x) => x.log)), int8Array(at.map((x) => x.seq))];
  const { rows } = await query({ name: 'entries-headers', text: readHeaders, values });
  return rows.map((row: EntryRow) => toEntry(row, epochOf(row.log_id)));
}

export interface Range {
  readonly log: bigint;
  readonly from: number;
  readonly to: number;
  readonly limit: number;
}

/** from <= seq <= to, ascending. */
export async function readEntriesForwards(query: Query, range: Range, epoch: bigint): Promise<Entry[]> {
  const { rows } = await query({ name: 'entries-forwards', text: readForwards, values: [range.log, range.from, range.to, range.limit] });
  return rows.map((row: EntryRow) => toEntry(row, epoch));
}

/** from <= seq < to, the last `limit`, ascending. */
export async function readEntriesBackwards(query: Query, range: Range, epoch: bigint): Promise<Entry[]> {
  const { rows } = await query({ name: 'entries-backwards', text: readBackwards, values: [range.log, range.from, range.to, range.limit] });
  return rows.reverse().map((row: EntryRow) => toEntry(row, epoch));
}

/** Entries that change the log's state, up to and including `upTo`, ascending. */
export async function readStateEntries(query: Query, at: { readonly log: bigint; readonly upTo: number }, epoch: bigint): Promise<Entry[]> {
  const { rows } = await query({ name: 'entries-state', text: readState, values: [at.log, at.upTo] });
  return rows.map((row: EntryRow) => toEntry(row, epoch));
}

const noBody = Buffer.alloc(0);

function toEntry(row: EntryRow, epoch: bigint): Entry {
  return {
    log: row.log_id,
    epoch,
    seq: Number(row.seq),
    ts: Number(row.ts),
    author: row.author_id,
    clientEntryId: clientEntryIdOf(row.author_id, row.entry_key),
    ord: Number(row.ord),
    kind: row.kind & ((1 << kindBits) - 1),
    flags: row.kind >> kindBits,
    body: row.body ?? noBody,
  };
}
