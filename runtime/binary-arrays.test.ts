import assert from 'node:assert/strict';
import { test } from 'node:test';
import { byteaArray, int2Array, int8Array, textArray } from './binary-arrays.ts';

test('the layout is that of array_send', () => {
  const head = (oid: string, length: string, nulls = '00000000') => `00000001${nulls}${oid}${length}00000001`;
  assert.equal(int8Array([1n, -1]).toString('hex'), `${head('00000014', '00000002')}00000008000000000000000100000008ffffffffffffffff`);
  assert.equal(int2Array([-2, null]).toString('hex'), `${head('00000015', '00000002', '00000001')}00000002fffeffffffff`);
  assert.equal(
    byteaArray([new Uint8Array([1, 2]), new Uint8Array()]).toString('hex'),
    `${head('00000011', '00000002')}00000002010200000000`,
  );
  assert.equal(textArray(['ä', null]).toString('hex'), `${head('00000019', '00000002', '00000001')}00000002c3a4ffffffff`);
  assert.equal(int8Array([]).toString('hex'), '000000000000000000000014');
});

test('what does not fit its type is refused', () => {
  assert.throws(() => int8Array([2n ** 63n]), RangeError);
  assert.throws(() => int8Array([-(2n ** 63n) - 1n]), RangeError);
  assert.throws(() => int8Array([2 ** 53]), RangeError);
  assert.throws(() => int8Array([0.5]), RangeError);
  assert.throws(() => int2Array([32_768]), RangeError);
  assert.throws(() => int2Array([0.5]), RangeError);
});
