// Where a new account lives. A pure function: chance is an argument.
import type { CellRecord } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import type { Random } from '@weft/runtime/random.ts';

export interface PlacementWish {
  /** Where the client is, or believes to be nearest to: preferred, not required. */
  readonly region: string;
  /** Where the person's data must lie: required. */
  readonly residency?: string | undefined;
}

/**
 * One of the open cells that have a weight and a node: only of the residency's region, if one is wished; else of the nearest region, as long as
 * one there is open; else of any. Within these, by weight. Undefined: there is none.
 */
export function place(cells: readonly CellRecord[], wish: PlacementWish, random: Random): CellRecord | undefined {
  const open = cells.filter((cell) => cell.state === 'CELL_STATE_OPEN' && cell.weight > 0 && cell.urls.length > 0);
  if (wish.residency !== undefined) return byWeight(within(open, wish.residency), random);
  const near = within(open, wish.region);
  return byWeight(near.length > 0 ? near : open, random);
}

const within = (cells: readonly CellRecord[], region: string): CellRecord[] => cells.filter((cell) => cell.region === region);

function byWeight(cells: readonly CellRecord[], random: Random): CellRecord | undefined {
  const total = cells.reduce((sum, cell) => sum + cell.weight, 0);
  if (total === 0) return undefined;
  let left = random.int(total);
  return cells.find((cell) => {
    left -= cell.weight;
    return left < 0;
  });
}
