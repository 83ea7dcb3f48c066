// The cell itself: its generation, the lanes of its nodes, frames nobody understood.
import { randomBytes } from 'node:crypto';
import type { Query } from './entries-table.ts';

const insertCell = `
insert into cell (name, number, generation, fold_secret, beat, raised_ms, homes_generation)
values ($1, $2, 1, $3, 0, 0, 1)
on conflict (name) do nothing`;

const readCell = `
select name, number, generation, fold_secret from cell`;

const insertLanes = `
insert into lanes (node, lane)
select $1::smallint, l from unnest($2::bigint[]) as x (l)
on conflict (node, lane) do nothing`;

const insertParked = `
insert into parked (src, id, class, why, parked_ms, bytes)
values ($1, $2, $3, $4, $5, $6)
on conflict (src, id) do nothing`;

export interface CellRow {
  readonly name: string;
  readonly number: number;
  readonly generation: number;
  /** Of this store only: see entry-key.ts. */
  readonly foldSecret: bigint;
}

/** The row of this store; made at the first start. Throws when the store belongs to another cell. */
export async function openCell(query: Query, name: string, number: number): Promise<CellRow> {
  await query({ text: insertCell, values: [name, number, randomBytes(8).readBigInt64BE()] });
  const { rows } = await query({ text: readCell });
  const found = rows.map((r: { name: string; number: number; generation: bigint; fold_secret: bigint }) => ({
    name: r.name,
    number: r.number,
    generation: Number(r.generation),
    foldSecret: r.fold_secret,
  }));
  const [own] = found;
  if (found.length !== 1 || own?.name !== name || own.number !== number) {
    throw new Error(
      `this database belongs to cell ${own?.name} (number ${own?.number}), not to ${name} (number ${number}): check WEFT_PG_URL, WEFT_CELL and WEFT_CELL_NUMBER`,
    );
  }
  return own;
}

export function openLanes(query: Query, node: number, lanes: readonly number[]): Promise<unknown> {
  return query({ text: insertLanes, values: [node, `{${lanes.join(',')}}`] });
}

export function parkFrame(
  query: Query,
  frame: { src: number; id: bigint; cls: string; bytes: Uint8Array },
  why: string,
  nowMs: number,
): Promise<unknown> {
  return query({
    text: insertParked,
    values: [frame.src, BigInt.asIntN(64, frame.id), frame.cls, why.slice(0, 500), nowMs, Buffer.from(frame.bytes)],
  });
}
