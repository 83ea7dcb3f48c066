import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Pair, pairKey } from '../delivery/log-state.ts';
import { KnownPairs } from './known-pairs.ts';

const pair = (low: bigint): Pair => ({ low, high: 100n });

/** A store in which every pair but the seventh is open, and what it was asked. */
function store(): { readonly asked: bigint[][]; readonly ask: (pairs: readonly Pair[]) => Promise<Map<string, bigint>> } {
  const asked: bigint[][] = [];
  return {
    asked,
    ask: async (pairs) => {
      asked.push(pairs.map(({ low }) => low));
      return new Map(pairs.filter(({ low }) => low !== 7n).map((each) => [pairKey(each), each.low + 1_000n]));
    },
  };
}

test('an open pair is asked for once, and one that is not open each time', async () => {
  const known = new KnownPairs(10);
  const { asked, ask } = store();
  known.remember(pairKey(pair(1n)), 1_001n);
  for (let time = 0; time < 2; time++) {
    const found = await known.find([pair(1n), pair(2n), pair(7n)], ask);
    assert.deepEqual(
      [1n, 2n, 7n].map((low) => found.get(pairKey(pair(low)))),
      [1_001n, 1_002n, undefined],
    );
  }
  assert.deepEqual(asked, [[2n, 7n], [7n]]);
});

test('beyond the bound the pair known longest is forgotten', async () => {
  const known = new KnownPairs(2);
  const { asked, ask } = store();
  await known.find([pair(1n), pair(2n), pair(3n)], ask);
  await known.find([pair(2n), pair(3n)], ask);
  await known.find([pair(1n)], ask);
  assert.deepEqual(asked, [[1n, 2n, 3n], [1n]]);
});
