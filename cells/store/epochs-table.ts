// The ownerships of a log before its current one, which is in its row. Most logs have none.

import type { EpochStart } from '@weft/proto/positions.ts';
import { int8Array } from '@weft/runtime/binary-arrays.ts';
import type { Query } from './entries-table.ts';

const readEarlier = `
select log_id, epoch, base
from log_epochs
where log_id = any ($1::bigint[])
order by log_id, base`;

const forget = `
delete from log_epochs where log_id = any ($1::bigint[])`;

const insert = `
insert into log_epochs (log_id, epoch, base)
select l, e, b from unnest($1::bigint[], $2::bigint[], $3::bigint[]) as x (l, e, b)`;

const moveCurrent = `
update logs
set epoch = x.e, epoch_base = x.b
from unnest($1::bigint[], $2::bigint[], $3::bigint[]) as x (l, e, b)
where logs.log_id = any ($1::bigint[]) and logs.log_id = x.l`;

const readCurrent = `
select epoch from logs where log_id = $1`;

export async function readEarlierEpochs(query: Query, logs: readonly bigint[]): Promise<Map<bigint, EpochStart[]>> {
  const found = new Map<bigint, EpochStart[]>();
  if (logs.length === 0) return found;
  const { rows } = await query({ name: 'epochs-earlier', text: readEarlier, values: [int8Array(logs)] });
  for (const row of rows as { log_id: bigint; epoch: bigint; base: bigint }[]) {
    const list = found.get(row.log_id) ?? [];
    found.set(row.log_id, list);
    list.push({ epoch: row.epoch, base: Number(row.base) });
  }
  return found;
}

/** Replaces the lists of these logs. */
export function writeEpochs(query: Query, lists: readonly { log: bigint; epochs: readonly EpochStart[] }[]): Promise<unknown>[] {
  const arrays = (rows: readonly { log: bigint; epoch: bigint; base: number }[]): Buffer[] => [
    int8Array(rows.map((r) => r.log)),
    int8Array(rows.map((r) => r.epoch)),
    int8Array(rows.map((r) => r.base)),
  ];
  const earlier = lists.flatMap(({ log, epochs }) => epochs.slice(0, -1).map((start) => ({ log, ...start })));
  const current = lists.flatMap(({ log, epochs }) => epochs.slice(-1).map((start) => ({ log, ...start })));
  return [
    query({ name: 'epochs-forget', text: forget, values: [int8Array(lists.map((l) => l.log))] }),
    query({ name: 'epochs-insert', text: insert, values: arrays(earlier) }),
    query({ name: 'epochs-move', text: moveCurrent, values: arrays(current) }),
  ];
}

export async function readCurrentEpoch(query: Query, log: bigint): Promise<bigint | undefined> {
  const { rows } = await query({ name: 'epochs-current', text: readCurrent, values: [log] });
  return (rows[0] as { epoch: bigint } | undefined)?.epoch;
}
