// Which life of this store it is (R25): its generation and beat, and all that has to change when a new life begins.
import type { Query } from './entries-table.ts';

const read = `
select generation, beat, raised_ms, homes_generation from cell`;

const beat = `
update cell set beat = beat + 1
where generation = $1 and beat >= $2
returning beat`;

const lock = `
select generation, beat from cell for update`;

const raise = `
update cell set generation = $1, beat = $2, raised_ms = $3`;

// Whoever still writes in the life before finds its lane gone.
const dropLanes = `
delete from lanes`;

// Every log of this cell, the self logs too: no seq until a new epoch begins.
const stopLogs = `
update logs set status = 4
where ((epoch >> 20) & 4095) = $1 and status in (0, 3)`;

// Old numbers mean nothing to the owners any more: what waits is counted anew, in its order.
const renumberIntake = `
update intake i
set generation = $1, n = x.n
from (
  select stream_a, stream_b, generation, n as old_n,
    row_number() over (partition by stream_a, stream_b order by generation, n) as n
  from intake
  where generation < $1
) as x
where i.stream_a = x.stream_a and i.stream_b = x.stream_b and i.generation = x.generation and i.n = x.old_n`;

const countStreams = `
insert into intake_streams (stream_a, stream_b, generation, next_n)
select stream_a, stream_b, $1::bigint, max(n) + 1
from intake
where generation = $1
group by stream_a, stream_b
on conflict (stream_a, stream_b, generation) do nothing`;

// A session may have been ended in the time that was lost: everybody logs in anew.
const endSessions = `
update sessions set ended_ms = $1, ended_reason = 'restored'
where ended_ms is null`;

const homesCompared = `
update cell set homes_generation = $1 where generation = $1`;

const usersPage = `
select user_id from users where user_id > $1 order by user_id limit $2`;

const systemId = `
select system_identifier::text as id from pg_control_system()`;

export interface StoredLife {
  readonly generation: number;
  readonly beat: number;
  /** When this life began, Unix milliseconds; 0 for the first. */
  readonly raisedMs: number;
  /** Generation in which the homes were compared with the directory last. */
  readonly homesGeneration: number;
}

interface Row {
  generation: bigint;
  beat: bigint;
  raised_ms: bigint;
  homes_generation: bigint;
}

export async function readLife(query: Query): Promise<StoredLife> {
  const row = (await query({ name: 'life-read', text: read })).rows[0] as Row;
  return {
    generation: Number(row.generation),
    beat: Number(row.beat),
    raisedMs: Number(row.raised_ms),
    homesGeneration: Number(row.homes_generation),
  };
}

/** The next beat; undefined when the store is not the one that was known: another life, or behind this beat. */
export async function takeBeat(query: Query, of: { generation: number; beat: number }): Promise<number | undefined> {
  const { rows } = await query({ name: 'life-beat', text: beat, values: [of.generation, of.beat] });
  return rows[0] === undefined ? undefined : Number((rows[0] as { beat: bigint }).beat);
}

/** Which server this is; empty where it does not say. */
export async function readSystemId(query: Query): Promise<string> {
  try {
    return ((await query({ text: systemId })).rows[0] as { id: string } | undefined)?.id ?? '';
  } catch {
    return '';
  }
}

/** Begins a new life, in the caller's transaction; false when another node has done so. */
export async function raiseLife(
  query: Query,
  to: { readonly cell: number; readonly generation: number; readonly beat: number; readonly nowMs: number },
): Promise<boolean> {
  const { rows } = await query({ text: lock });
  const held = rows[0] as { generation: bigint; beat: bigint };
  if (Number(held.generation) >= to.generation) return false;
  await query({ text: dropLanes });
  await query({ text: raise, values: [to.generation, Math.max(to.beat, Number(held.beat)) + 1, to.nowMs] });
  await query({ text: stopLogs, values: [to.cell] });
  await query({ text: renumberIntake, values: [to.generation] });
  await query({ text: countStreams, values: [to.generation] });
  await query({ text: endSessions, values: [to.nowMs] });
  return true;
}

export function noteHomesCompared(query: Query, generation: number): Promise<unknown> {
  return query({ text: homesCompared, values: [generation] });
}

/** Ids of people homed here, by id. */
export async function readUserIds(query: Query, page: { after: bigint; limit: number }): Promise<bigint[]> {
  const { rows } = await query({ text: usersPage, values: [page.after, page.limit] });
  return rows.map((row: { user_id: bigint }) => row.user_id);
}
