// Intake at home (numbered, until decided) and what the owner has decided of other cells' intake.
import { byteaArray, int2Array, int8Array } from '@weft/runtime/binary-arrays.ts';
import { type Stream, streamKey } from '../delivery/log-state.ts';
import type { ClosedIntake, DecidedKey, IntakeRow, OpenIntake, Writes } from '../delivery/ports.ts';
import { columnNumbers } from './books-table.ts';
import type { Query } from './entries-table.ts';

const openStreams = `
insert into intake_streams (stream_a, stream_b, generation, next_n)
select a, b, $3::bigint, 1 from unnest($1::bigint[], $2::bigint[]) as x (a, b)
on conflict (stream_a, stream_b, generation) do nothing`;

const lockStreams = `
select s.stream_a, s.stream_b, s.next_n
from intake_streams s
where s.generation = $3::bigint
  and (s.stream_a, s.stream_b) in (select a, b from unnest($1::bigint[], $2::bigint[]) as x (a, b))
order by s.stream_a, s.stream_b
for update`;

const moveStreams = `
update intake_streams s
set next_n = x.n
from unnest($1::bigint[], $2::bigint[], $3::bigint[]) as x (a, b, n)
where s.stream_a = x.a and s.stream_b = x.b and s.generation = $4::bigint`;

const findWaiting = `
select i.author_id, i.client_entry_id, i.stream_a, i.stream_b, i.n
from unnest($1::bigint[], $2::bigint[]) as x (a, c)
cross join lateral (
  select author_id, client_entry_id, stream_a, stream_b, n from intake where author_id = x.a and client_entry_id = x.c offset 0
) as i`;

const countOpen = `
select author_id, count(*) as open
from intake
where author_id = any ($1::bigint[])
group by author_id`;

const countBytes = `
select dst, sum(octet_length(body)) + count(*) * $1::bigint as bytes
from intake
group by dst`;

const insert = `
insert into intake
  (stream_a, stream_b, generation, n, log_id, dst, author_id, client_entry_id, kind, body, created_ms)
select a, b, $11::bigint, n, l, d, u, c, k, y, t
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::smallint[], $6::bigint[], $7::bigint[], $8::smallint[],
  $9::bytea[], $10::bigint[]) as x (a, b, n, l, d, u, c, k, y, t)`;

const close = `
with gone as (
  delete from intake
  where author_id = any ($1::bigint[])
    and (author_id, client_entry_id, stream_a, stream_b) in (
      select u, c, a, b from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) as x (u, c, a, b)
    )
  returning dst
)
insert into books (peer, class, what, node, lane, n)
select dst, 2, $5::smallint, $6::smallint, $7::smallint, count(*) from gone group by dst order by dst
on conflict (peer, class, what, node, lane) do update set n = books.n + excluded.n`;

const readDecided = `
select d.stream_a, d.stream_b, d.cell, d.generation, d.n
from unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::bigint[]) as x (a, b, c, g), decided d
where d.stream_a = x.a and d.stream_b = x.b and d.cell = x.c and d.generation = x.g`;

const upsertDecided = `
insert into decided (stream_a, stream_b, cell, generation, n)
select a, b, c, g, n
from unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::bigint[], $5::bigint[]) as x (a, b, c, g, n)
on conflict (stream_a, stream_b, cell, generation) do update set n = excluded.n`;

// Whole streams whose lowest open number has waited: a decision needs every number below it, so the young ones behind an
// old one go out with it. The first of each stream come before the second of any.
// The epoch of the same snapshot: numbers change when it does (R24).
const readOpen = `
select i.stream_a, i.stream_b, i.n, i.log_id, i.dst, i.author_id, i.client_entry_id, i.kind, i.body, i.created_ms, i.lowest,
  coalesce((select l.epoch from logs l where l.log_id = i.log_id), 0) as epoch
from (
  select stream_a, stream_b, generation, n, log_id, dst, author_id, client_entry_id, kind, body, created_ms,
    min(n) over (partition by stream_a, stream_b, generation) as lowest,
    min(created_ms) over (partition by stream_a, stream_b, generation) as oldest_ms
  from intake
  where dst = $1
) as i
where i.oldest_ms < $2
order by i.n - i.lowest, i.stream_a, i.stream_b
limit $3`;

const readOfAuthor = `
select stream_a, stream_b, generation, n, log_id, dst, author_id, client_entry_id, kind, body, created_ms
from intake
where stream_a = $1 and stream_b = $2 and author_id = $3
order by n
limit $4`;

const lowestOpen = `
select i.stream_a, i.stream_b, min(i.n) as lowest
from unnest($1::bigint[], $2::bigint[]) as x (a, b), intake i
where i.stream_a = x.a and i.stream_b = x.b and i.generation = $3::bigint
group by i.stream_a, i.stream_b`;

const allDecided = `
select d.stream_a, d.stream_b, d.cell, d.generation, d.n
from unnest($1::bigint[], $2::bigint[]) as x (a, b), decided d
where d.stream_a = any ($1::bigint[]) and d.stream_a = x.a and d.stream_b = x.b`;

const readOwn = `
select stream_a, stream_b, generation, n, log_id, dst, author_id, client_entry_id, kind, body, created_ms
from intake
where stream_a = $1 and stream_b = $2 and generation = $3
order by n
limit $4`;

const readdress = `
update intake
set dst = $5::smallint, n = n + $4::bigint
where stream_a = $1 and stream_b = $2 and generation = $3`;
const readOne = `
select i.stream_a, i.stream_b, i.n, i.log_id, i.dst, i.author_id, i.client_entry_id, i.kind, i.body, i.created_ms,
  (select min(j.n) from intake j where j.stream_a = i.stream_a and j.stream_b = i.stream_b and j.generation = i.generation) as lowest
from intake i
where i.author_id = $1 and i.client_entry_id = $2
order by i.created_ms
limit 1`;

interface Row {
  stream_a: bigint;
  stream_b: bigint;
  n: bigint;
  log_id: bigint;
  dst: number;
  author_id: bigint;
  client_entry_id: bigint;
  kind: number;
  body: Buffer;
  created_ms: bigint;
  lowest?: bigint;
}

const streamArrays = (streams: readonly Stream[]): [Buffer, Buffer] => [
  int8Array(streams.map((s) => s.a)),
  int8Array(streams.map((s) => s.b)),
];

/** Locks the streams, opening those that are new, and tells their next numbers. */
export async function lockIntakeStreams(query: Query, streams: readonly Stream[], generation: number): Promise<Map<string, number>> {
  const values = [...streamArrays(streams), generation];
  const opened = query({ name: 'intake-streams-open', text: openStreams, values });
  const locked = query({ name: 'intake-streams-lock', text: lockStreams, values });
  const [, { rows }] = await Promise.all([opened, locked]);
  return new Map(
    rows.map((r: { stream_a: bigint; stream_b: bigint; next_n: bigint }) => [
      streamKey({ a: r.stream_a, b: r.stream_b }),
      Number(r.next_n),
    ]),
  );
}

/** The numbers of those of these appends that wait. */
export async function findWaitingIntake(
  query: Query,
  ids: readonly { author: bigint; clientEntryId: bigint }[],
): Promise<Map<string, number>> {
  const values = [int8Array(ids.map((i) => i.author)), int8Array(ids.map((i) => BigInt.asIntN(64, i.clientEntryId)))];
  const { rows } = await query({ name: 'intake-waiting', text: findWaiting, values });
  return new Map(
    rows.map((r: { author_id: bigint; client_entry_id: bigint; stream_a: bigint; stream_b: bigint; n: bigint }) => [
      waitingKey(r.author_id, r.client_entry_id, { a: r.stream_a, b: r.stream_b }),
      Number(r.n),
    ]),
  );
}

/** An append waits at most once in each stream. */
export const waitingKey = (author: bigint, clientEntryId: bigint, stream: Stream): string =>
  `${author}:${BigInt.asIntN(64, clientEntryId)}:${streamKey(stream)}`;

export async function countOpenIntake(query: Query, authors: readonly bigint[]): Promise<Map<bigint, number>> {
  const { rows } = await query({ name: 'intake-count', text: countOpen, values: [int8Array(authors)] });
  return new Map(rows.map((r: { author_id: bigint; open: bigint }) => [r.author_id, Number(r.open)]));
}

/** Bytes that a row takes beside its body, with its share of the indexes. */
const rowBytes = 200;

export const intakeBytesOf = (row: IntakeRow): number => row.body.length + rowBytes;

/** Bytes of open intake, by destination. Reads the whole table. */
export async function countIntakeBytes(query: Query): Promise<Map<number, number>> {
  const { rows } = await query({ name: 'intake-bytes', text: countBytes, values: [rowBytes] });
  return new Map(rows.map((r: { dst: number; bytes: bigint | string }) => [r.dst, Number(r.bytes)]));
}

/** What waits goes elsewhere first, so that what is offered again finds its place before it; then new rows. */
export function writeIntake(
  query: Query,
  { readdressed, intake }: Pick<Writes, 'readdressed' | 'intake'>,
  generation: number,
): Promise<unknown>[] {
  const sent = readdressed.map((moved) => readdressIntake(query, moved, generation));
  if (intake.length > 0) sent.push(...insertIntake(query, intake, generation));
  const shifted = readdressed.filter(({ shift }) => shift > 0);
  if (shifted.length > 0) sent.push(moveIntakeStreams(query, shifted, generation));
  return sent;
}

function insertIntake(query: Query, rows: readonly IntakeRow[], generation: number): Promise<unknown>[] {
  const values = [
    ...streamArrays(rows.map((r) => r.stream)),
    int8Array(rows.map((r) => r.n)),
    int8Array(rows.map((r) => r.log)),
    int2Array(rows.map((r) => r.dst)),
    int8Array(rows.map((r) => r.author)),
    int8Array(rows.map((r) => BigInt.asIntN(64, r.clientEntryId))),
    int2Array(rows.map((r) => r.kind)),
    byteaArray(rows.map((r) => r.body)),
    int8Array(rows.map((r) => r.createdMs)),
    generation,
  ];
  const next = new Map(rows.map((r) => [streamKey(r.stream), { stream: r.stream, n: r.n + 1 }]));
  for (const r of rows)
    if (r.n + 1 > (next.get(streamKey(r.stream))?.n ?? 0)) next.set(streamKey(r.stream), { stream: r.stream, n: r.n + 1 });
  const moved = [...next.values()];
  return [
    query({ name: 'intake-insert', text: insert, values }),
    moveIntakeStreams(
      query,
      moved.map(({ stream, n: after }) => ({ stream, next: after })),
      generation,
    ),
  ];
}

/** The decided rows go, and are counted in the books of the lane: as applied or as refused. */
export function closeIntake(query: Query, closed: readonly ClosedIntake[], by: { node: number; lane: number }): Promise<unknown>[] {
  const sets = [closed.filter((c) => !c.refused), closed.filter((c) => c.refused)].filter((set) => set.length > 0);
  return sets.map((ids) => {
    const what = ids[0]?.refused ? columnNumbers.refused : columnNumbers.applied;
    const values = [
      int8Array(ids.map((i) => i.author)),
      int8Array(ids.map((i) => BigInt.asIntN(64, i.clientEntryId))),
      ...streamArrays(ids.map((i) => i.stream)),
      ...[what, by.node, by.lane],
    ];
    return query({ name: 'intake-close', text: close, values });
  });
}

/** Lowest open number of each stream that has one. */
export async function readLowestIntake(query: Query, streams: readonly Stream[], generation: number): Promise<Map<string, number>> {
  const { rows } = await query({ name: 'intake-lowest', text: lowestOpen, values: [...streamArrays(streams), generation] });
  return new Map(
    rows.map((r: { stream_a: bigint; stream_b: bigint; lowest: bigint }) => [
      streamKey({ a: r.stream_a, b: r.stream_b }),
      Number(r.lowest),
    ]),
  );
}

/** Open intake of one stream, in its order. */
export async function readOwnIntake(query: Query, stream: Stream, generation: number, limit: number): Promise<IntakeRow[]> {
  const { rows } = await query({ name: 'intake-own', text: readOwn, values: [stream.a, stream.b, generation, limit] });
  return rows.map(toRow);
}

/** Open intake of a stream goes elsewhere, with numbers higher by `shift`. Before the statement that inserts what comes first. */
function readdressIntake(query: Query, of: { stream: Stream; dst: number; shift: number }, generation: number): Promise<unknown> {
  const { stream, dst, shift } = of;
  return query({ name: 'intake-readdress', text: readdress, values: [stream.a, stream.b, generation, shift, dst] });
}

function moveIntakeStreams(query: Query, moved: readonly { stream: Stream; next: number }[], generation: number): Promise<unknown> {
  const values = [...streamArrays(moved.map((m) => m.stream)), int8Array(moved.map((m) => m.next)), generation];
  return query({ name: 'intake-streams-move', text: moveStreams, values });
}

/** Everything decided of these streams, for any cell. */
export async function readAllDecided(query: Query, streams: readonly Stream[]): Promise<{ key: DecidedKey; n: number }[]> {
  const { rows } = await query({ name: 'decided-all', text: allDecided, values: streamArrays(streams) });
  return rows.map((r: { stream_a: bigint; stream_b: bigint; cell: number; generation: bigint; n: bigint }) => ({
    key: { stream: { a: r.stream_a, b: r.stream_b }, cell: r.cell, generation: Number(r.generation) },
    n: Number(r.n),
  }));
}

export const decidedKeyText = (key: DecidedKey): string => `${streamKey(key.stream)}:${key.cell}:${key.generation}`;

const decidedArrays = (keys: readonly DecidedKey[]): Buffer[] => [
  ...streamArrays(keys.map((k) => k.stream)),
  int2Array(keys.map((k) => k.cell)),
  int8Array(keys.map((k) => k.generation)),
];

export async function readDecidedNumbers(query: Query, keys: readonly DecidedKey[]): Promise<Map<string, number>> {
  const { rows } = await query({ name: 'decided-read', text: readDecided, values: decidedArrays(keys) });
  return new Map(
    rows.map((r: { stream_a: bigint; stream_b: bigint; cell: number; generation: bigint; n: bigint }) => [
      decidedKeyText({ stream: { a: r.stream_a, b: r.stream_b }, cell: r.cell, generation: Number(r.generation) }),
      Number(r.n),
    ]),
  );
}

export function upsertDecidedNumbers(query: Query, rows: readonly { key: DecidedKey; n: number }[]): Promise<unknown> {
  const values = [...decidedArrays(rows.map((r) => r.key)), int8Array(rows.map((r) => r.n))];
  return query({ name: 'decided-upsert', text: upsertDecided, values });
}

export async function readOpenIntake(query: Query, dst: number, beforeMs: number, limit: number): Promise<OpenIntake[]> {
  const { rows } = await query({ name: 'intake-open', text: readOpen, values: [dst, beforeMs, limit] });
  return rows.map((r: Row & { epoch: bigint }) => ({ row: toRow(r), lowestOpen: Number(r.lowest), epoch: r.epoch }));
}

/** A user's undecided appends to one stream, in the order sent. */
export async function readPendingOf(query: Query, stream: Stream, author: bigint, limit: number): Promise<IntakeRow[]> {
  const { rows } = await query({ name: 'intake-of-author', text: readOfAuthor, values: [stream.a, stream.b, author, limit] });
  return rows.map(toRow);
}

/** The append of an author that waits under this id. */
export async function readIntakeOf(
  query: Query,
  author: bigint,
  clientEntryId: bigint,
): Promise<{ row: IntakeRow; lowestOpen: number } | undefined> {
  const { rows } = await query({ name: 'intake-one', text: readOne, values: [author, BigInt.asIntN(64, clientEntryId)] });
  return rows.map((r: Row) => ({ row: toRow(r), lowestOpen: Number(r.lowest) }))[0];
}

const toRow = (r: Row): IntakeRow => ({
  stream: { a: r.stream_a, b: r.stream_b },
  n: Number(r.n),
  log: r.log_id,
  dst: r.dst,
  author: r.author_id,
  clientEntryId: BigInt.asUintN(64, r.client_entry_id),
  kind: r.kind,
  body: r.body,
  createdMs: Number(r.created_ms),
});
