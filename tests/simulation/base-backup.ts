// A base backup of one cell's SQL in memory, and its restore: every table is again what it was at the time of the backup.
import type { MemoryCell, StoredLog } from './memory-cell.ts';

/** Every table by its name, none of it shared with the living ones. */
export interface BaseBackup {
  readonly logs: ReadonlyMap<bigint, StoredLog>;
  readonly beat: number;
  readonly generation: number;
  readonly parked: number;
  readonly tables: ReadonlyMap<Table, unknown>;
  readonly orphans: MemoryCell['orphans'];
}

/** All that is a map of rows which are replaced, never changed; `logs` and what is derived from it stand by themselves. */
const tables = [
  'pairs',
  'userLogs',
  'intake',
  'openIntake',
  'nextIntake',
  'decided',
  'regained',
  'outbox',
  'behind',
  'marks',
  'marksOut',
  'leases',
  'witnessed',
] as const;
type Table = (typeof tables)[number];

export function baseBackup(cell: MemoryCell): BaseBackup {
  return {
    logs: copyOfLogs(cell.logs),
    beat: cell.beat,
    generation: cell.generation,
    parked: cell.parked,
    tables: new Map(tables.map((name) => [name, copyOf(cell[name])])),
    orphans: [...cell.orphans],
  };
}

/** Nobody is connected by then. What was committing is lost with the server. */
export function restoreBackup(cell: MemoryCell, backup: BaseBackup): void {
  cell.incarnation += 1;
  cell.abort(() => true);
  for (const name of tables) replace(cell[name] as Map<unknown, unknown>, copyOf(backup.tables.get(name)) as Map<unknown, unknown>);
  replace(cell.logs, copyOfLogs(backup.logs));
  cell.orphans.splice(0, cell.orphans.length, ...backup.orphans);
  Object.assign(cell, { beat: backup.beat, generation: backup.generation, parked: backup.parked, down: false });
  cell.indexAll();
}

const copyOfLogs = (logs: ReadonlyMap<bigint, StoredLog>): Map<bigint, StoredLog> =>
  new Map(
    [...logs].map(([log, stored]) => [
      log,
      { ...stored, row: { ...stored.row }, entries: new Map(stored.entries), byKey: new Map(stored.byKey) },
    ]),
  );

/** Maps of maps too. */
function copyOf(value: unknown): unknown {
  return value instanceof Map ? new Map([...value].map(([key, each]) => [key, copyOf(each)])) : value;
}

function replace<K, V>(table: Map<K, V>, rows: ReadonlyMap<K, V>): void {
  table.clear();
  for (const [key, row] of rows) table.set(key, row);
}
