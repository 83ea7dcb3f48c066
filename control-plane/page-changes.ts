// Cutting the log into pages: as many changes as fit, never a hole, always at least one when there is one.
import { Change } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import type { ChangeRow } from './store/changes-table.ts';

export interface PageRoom {
  changes: number;
  bytes: number;
}

/** Takes rows from the front while there is room, which it diminishes. A first row of any size fits an untouched page. */
export function takeRows(rows: readonly ChangeRow[], room: PageRoom): Change[] {
  const taken: Change[] = [];
  for (const row of rows) {
    if (room.changes < 1 || room.bytes <= 0) break;
    room.changes--;
    room.bytes -= row.body.length;
    taken.push(Change.decode(row.body));
  }
  return taken;
}
