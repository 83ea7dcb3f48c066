// Whether a store is the one that was left (R25).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeLife } from './store-life.ts';

const found = { generation: 2, beat: 100, system: 'a' };
const kindOf = (...given: Parameters<typeof judgeLife>): string => judgeLife(...given).kind;

test('a store that is where it was left is the same', () => {
  assert.equal(kindOf(found, { generation: 2, beat: 100, system: 'a' }, 2), 'same');
  assert.equal(kindOf(found, { generation: 2, beat: 90, system: 'a' }, 0), 'same', 'another node beat on');
  assert.equal(kindOf(found, undefined, 2), 'same', 'a node without a memory');
  assert.equal(kindOf(found, { generation: 1, beat: 900, system: 'b' }, 1), 'same', 'another node has begun the new life');
});

test('a store behind what is remembered outside was restored, and its new generation is above all that were', () => {
  assert.deepEqual(judgeLife(found, { generation: 2, beat: 101, system: 'a' }, 2), {
    kind: 'restored',
    why: 'the store has lost commits',
    generation: 3,
  });
  assert.equal(kindOf(found, { generation: 2, beat: 100, system: 'b' }, 2), 'restored', 'another server');
  assert.equal(kindOf(found, undefined, 3), 'restored', 'the directory knows more');
  const later = judgeLife(found, { generation: 4, beat: 0, system: 'a' }, 3);
  assert.equal(later.kind === 'restored' && later.generation, 5);
});
