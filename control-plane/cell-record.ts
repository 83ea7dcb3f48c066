import type { CellRecord } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import type { Registered } from './merge-registration.ts';
import type { CellRow, CellStateName } from './store/cells-table.ts';

const states: Readonly<Record<CellStateName, CellRecord['state']>> = {
  open: 'CELL_STATE_OPEN',
  draining: 'CELL_STATE_DRAINING',
  retired: 'CELL_STATE_RETIRED',
};

/** The record that is published: the cell's row with its urls and keys. */
export const cellRecord = (row: CellRow, { urls, keys }: Pick<Registered, 'urls' | 'keys'>): CellRecord => ({
  name: row.name,
  number: row.number,
  region: row.region,
  urls: urls.map(({ url }) => url),
  generation: row.generation,
  heir: row.heir,
  keys: [...keys],
  state: states[row.state],
  weight: row.weight,
  version: row.version,
});
