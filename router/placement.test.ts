import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CellRecord } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import { seededRandom } from '@weft/runtime/random.ts';
import { place } from './placement.ts';

const cell = (name: string, over: Partial<CellRecord> = {}): CellRecord =>
  CellRecord.fromPartial({ name, number: 1, region: name.slice(0, 2), urls: ['http://x'], state: 'CELL_STATE_OPEN', weight: 100, ...over });

const names = (cells: CellRecord[], wish: Parameters<typeof place>[1], times = 1_000): Map<string, number> => {
  const random = seededRandom(7);
  const counts = new Map<string, number>();
  for (let i = 0; i < times; i++) {
    const name = place(cells, wish, random)?.name ?? 'none';
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
};

test('a new account is placed in the nearest region while a cell is open there', () => {
  const cells = [cell('eu-1'), cell('eu-2'), cell('us-1')];
  assert.deepEqual([...names(cells, { region: 'us' }).keys()], ['us-1']);
  assert.deepEqual([...names(cells, { region: 'eu' }).keys()].sort(), ['eu-1', 'eu-2']);
});

test('with no open cell in the nearest region the others take the account', () => {
  const cells = [cell('eu-1', { state: 'CELL_STATE_DRAINING' }), cell('eu-2', { weight: 0 }), cell('eu-3', { urls: [] }), cell('us-1')];
  assert.deepEqual([...names(cells, { region: 'eu' }).keys()], ['us-1']);
  assert.deepEqual([...names(cells, { region: 'nowhere' }).keys()], ['us-1']);
});

test('a residency is never traded for another region', () => {
  const cells = [cell('eu-1', { state: 'CELL_STATE_RETIRED' }), cell('us-1')];
  assert.deepEqual([...names(cells, { region: 'us', residency: 'eu' }).keys()], ['none']);
  assert.deepEqual([...names(cells, { region: 'eu', residency: 'us' }).keys()], ['us-1']);
});

test('weights share the accounts of a region', () => {
  const counts = names([cell('eu-1', { weight: 300 }), cell('eu-2', { weight: 100 })], { region: 'eu' }, 4_000);
  const share = (counts.get('eu-1') ?? 0) / 4_000;
  assert(share > 0.72 && share < 0.78, `eu-1 got ${share}`);
});

test('the same chance gives the same cell', () => {
  const cells = [cell('eu-1'), cell('eu-2'), cell('eu-3')];
  const run = (): string[] => {
    const random = seededRandom(42);
    return Array.from({ length: 20 }, () => place(cells, { region: 'eu' }, random)?.name ?? '');
  };
  assert.deepEqual(run(), run());
});

test('without cells there is no place', () => {
  assert.equal(place([], { region: 'eu' }, seededRandom(1)), undefined);
});
