import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { epochParts, makeEpoch } from './positions.ts';

const bits = (n: number) => fc.oneof(fc.integer({ min: 0, max: 2 ** n - 1 }), fc.constantFrom(0, 1, 2 ** n - 1));

test('an epoch has the parts it was made of, and sorts as they do', () => {
  const parts = fc.record({ count: bits(31), cell: bits(12), generation: bits(20) });
  fc.assert(
    fc.property(parts, parts, (a, b) => {
      assert.deepEqual(epochParts(makeEpoch(a)), { ...a });
      const [before] = [a.count - b.count, a.cell - b.cell, a.generation - b.generation].filter((difference) => difference !== 0);
      assert.equal(makeEpoch(a) < makeEpoch(b), (before ?? 0) < 0);
    }),
    { numRuns: 2_000 },
  );
});
