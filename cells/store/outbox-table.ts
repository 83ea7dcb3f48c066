// Frames without an end-to-end acknowledgement. A row names ranges of logs, never bodies: the owner's entries are the
// durable copy (R13). Envelopes carry their payload.

import { idTimeMs, makeId } from '@weft/proto/ids.ts';
import type { FrameClass } from '@weft/proto/subjects.ts';
import { byteaArray, int2Array, int8Array } from '@weft/runtime/binary-arrays.ts';
import type { LogRange, OutboxRow } from '../delivery/ports.ts';
import type { Query } from './entries-table.ts';

const insert = `
insert into outbox (dst, id, class, lane, due, payload)
select d, i, c, l, u, p
from unnest($1::smallint[], $2::bigint[], $3::smallint[], $4::smallint[], $5::bigint[], $6::bytea[]) as x (d, i, c, l, u, p)`;

// Only the rows that really go are counted: every node of the cell hears every acknowledgement.
const removeText = `
with gone as (
  delete from outbox where dst = $1::smallint and id = any ($2::bigint[]) returning class, lane, due
)
insert into books (peer, class, what, node, lane, n)
select $1::smallint, 1, 2, $3::smallint, lane, sum(due)::bigint from gone where class = 1 group by lane order by lane
on conflict (peer, class, what, node, lane) do update set n = books.n + excluded.n`;

const readOld = `
select dst, id, class, lane, payload
from outbox
where dst = $1 and id < $2
order by id
limit $3`;

const readBetween = `
select id, payload
from outbox
where dst = $1 and id >= $2 and id < $3 and class = 1
order by id
limit $4`;

/** Rows looked at for one entry: what a busy link writes in a few seconds. */
const betweenMax = 4_096;

const dropText = `
with gone as (
  delete from outbox
  where dst = $1::smallint and id in (select id from outbox where dst = $1::smallint and class = 1 order by id limit $2)
  returning lane, due
),
counted as (
  insert into books (peer, class, what, node, lane, n)
  select $1::smallint, 1, 5, 0, lane, sum(due)::bigint from gone group by lane order by lane
  on conflict (peer, class, what, node, lane) do update set n = books.n + excluded.n
)
select count(*) as dropped from gone`;

const countText = `
select dst, count(*) as waiting from outbox group by dst`;

const classNumbers = { e: 1, i: 2, v: 3, m: 4 } as const;
const classNames: readonly FrameClass[] = ['e', 'e', 'i', 'v', 'm'];
const rangeBytes = 20;

export function insertOutbox(query: Query, rows: readonly OutboxRow[]): Promise<unknown> {
  const values = [
    int2Array(rows.map((r) => r.dst)),
    int8Array(rows.map((r) => r.id)),
    int2Array(rows.map((r) => classNumbers[r.class])),
    int2Array(rows.map((r) => r.lane)),
    int8Array(rows.map((r) => r.due ?? 0)),
    byteaArray(rows.map((r) => (r.class === 'v' ? packEnvelopes(r.envelopes) : packRanges(r.ranges)))),
  ];
  return query({ name: 'outbox-insert', text: insert, values });
}

/** Acknowledged frames go, and are settled in the books of this node. */
export function deleteOutbox(query: Query, { dst, node }: { dst: number; node: number }, ids: readonly bigint[]): Promise<unknown> {
  return query({ name: 'outbox-delete', text: removeText, values: [dst, int8Array(ids), node] });
}

/** Rows whose id was made before `beforeMs`, lowest first. Never "above the last seen": rows commit out of order. */
export async function readOutbox(query: Query, dst: number, beforeMs: number, limit: number): Promise<OutboxRow[]> {
  const { rows } = await query({ name: 'outbox-read', text: readOld, values: [dst, makeId(beforeMs, 0, 0, 0), limit] });
  return rows.map((r: { dst: number; id: bigint; class: number; lane: number; payload: Buffer }) => ({
    id: r.id,
    dst: r.dst,
    class: classNames[r.class] ?? 'e',
    lane: r.lane,
    ranges: r.class === classNumbers.v ? [] : unpackRanges(r.payload),
    envelopes: r.class === classNumbers.v ? unpackEnvelopes(r.payload) : [],
  }));
}

/** Frames of entries whose ids lie in this range. */
export async function readOutboxBetween(
  query: Query,
  dst: number,
  { from, to }: { from: bigint; to: bigint },
): Promise<{ dst: number; id: bigint; sinceMs: number; ranges: LogRange[] }[]> {
  const { rows } = await query({ name: 'outbox-between', text: readBetween, values: [dst, from, to, betweenMax] });
  return rows.map((r: { id: bigint; payload: Buffer }) => ({ dst, id: r.id, sinceMs: idTimeMs(r.id), ranges: unpackRanges(r.payload) }));
}

/** Drops the oldest frames of entries of one destination: it pulls them when it is back (R28). Envelopes stay. */
export async function dropOldestFrames(query: Query, dst: number, limit: number): Promise<number> {
  const { rows } = await query({ name: 'outbox-drop', text: dropText, values: [dst, limit] });
  return Number(rows[0]?.dropped ?? 0);
}

/** Frames that wait, by destination. */
export async function countOutbox(query: Query): Promise<Map<number, number>> {
  const { rows } = await query({ name: 'outbox-count', text: countText });
  return new Map(rows.map((r: { dst: number; waiting: bigint }) => [r.dst, Number(r.waiting)]));
}

function packRanges(ranges: readonly LogRange[]): Buffer {
  const bytes = Buffer.allocUnsafe(ranges.length * rangeBytes);
  ranges.forEach(({ log, first, last }, i) => {
    bytes.writeBigInt64BE(log, i * rangeBytes);
    bytes.writeBigInt64BE(BigInt(first), i * rangeBytes + 8);
    bytes.writeUInt32BE(last - first + 1, i * rangeBytes + 16);
  });
  return bytes;
}

function unpackRanges(bytes: Buffer): LogRange[] {
  return Array.from({ length: Math.floor(bytes.length / rangeBytes) }, (_, i) => {
    const first = Number(bytes.readBigInt64BE(i * rangeBytes + 8));
    return { log: bytes.readBigInt64BE(i * rangeBytes), first, last: first + bytes.readUInt32BE(i * rangeBytes + 16) - 1 };
  });
}

function packEnvelopes(envelopes: readonly Uint8Array[]): Buffer {
  return Buffer.concat(envelopes.flatMap((e) => [uint32(e.length), e]));
}

function unpackEnvelopes(bytes: Buffer): Uint8Array[] {
  const envelopes: Uint8Array[] = [];
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = bytes.readUInt32BE(at);
    envelopes.push(bytes.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return envelopes;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
