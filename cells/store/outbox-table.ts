// Frames without an end-to-end acknowledgement. A row names ranges of logs, never bodies: the owner's entries are the
// durable copy (R13). Envelopes carry their payload.

import { makeId } from '@weft/proto/ids.ts';
import type { FrameClass } from '@weft/proto/subjects.ts';
import { byteaArray, int2Array, int8Array } from '@weft/runtime/binary-arrays.ts';
import type { LogRange, OutboxRow } from '../delivery/ports.ts';
import type { Query } from './entries-table.ts';

const insert = `
insert into outbox (dst, id, class, lane, payload)
select d, i, c, l, p from unnest($1::smallint[], $2::bigint[], $3::smallint[], $4::smallint[], $5::bytea[]) as x (d, i, c, l, p)`;

const removeText = `
delete from outbox where dst = $1 and id = any ($2::bigint[])`;

const readOld = `
select dst, id, class, lane, payload
from outbox
where dst = $1 and id < $2
order by id
limit $3`;

const dropText = `
delete from outbox
where dst = $1 and id in (select id from outbox where dst = $1 and class = 1 order by id limit $2)`;

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
    byteaArray(rows.map((r) => (r.class === 'v' ? packEnvelopes(r.envelopes) : packRanges(r.ranges)))),
  ];
  return query({ name: 'outbox-insert', text: insert, values });
}

export function deleteOutbox(query: Query, dst: number, ids: readonly bigint[]): Promise<unknown> {
  return query({ name: 'outbox-delete', text: removeText, values: [dst, int8Array(ids)] });
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

/** Drops the oldest frames of entries of one destination: it pulls them when it is back (R28). Envelopes stay. */
export async function dropOldestFrames(query: Query, dst: number, limit: number): Promise<number> {
  const { rowCount } = await query({ name: 'outbox-drop', text: dropText, values: [dst, limit] });
  return rowCount ?? 0;
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
