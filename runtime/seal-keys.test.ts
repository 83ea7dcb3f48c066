import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deriveSealKey, makeSealKey, publicSealKey, type SealEnd } from './seal-keys.ts';

const eu = makeSealKey();
const us = makeSealKey();
const src: SealEnd = { cell: 'eu-1', generation: 1, version: 1 };
const dst: SealEnd = { cell: 'us-1', generation: 1, version: 1 };

test('both ends derive the same key for a direction', () => {
  assert(deriveSealKey(eu.privateKey, us.publicKey, { src, dst }).equals(deriveSealKey(us.privateKey, eu.publicKey, { src, dst })));
});

test('no name, generation, version or direction shares its key with another', () => {
  const ends: readonly { readonly src: SealEnd; readonly dst: SealEnd }[] = [
    { src, dst },
    { src: dst, dst: src },
    { src: { ...src, cell: 'eu-2' }, dst },
    { src: { ...src, generation: 2 }, dst },
    { src: { ...src, version: 2 }, dst },
    { src, dst: { ...dst, cell: 'us-2' } },
    { src, dst: { ...dst, generation: 2 } },
    { src, dst: { ...dst, version: 2 } },
  ];
  const keys = ends.map((each) => deriveSealKey(eu.privateKey, us.publicKey, each).export().toString('hex'));
  assert.equal(new Set(keys).size, ends.length);
  assert(keys.every((key) => key.length === 64));
});

test('a public key belongs to its private key; bytes that are no key are refused', () => {
  assert.deepEqual(Buffer.from(publicSealKey(eu.privateKey)), Buffer.from(eu.publicKey));
  assert.throws(() => publicSealKey(new Uint8Array(31)), RangeError);
  assert.throws(() => deriveSealKey(eu.privateKey, new Uint8Array(32), { src, dst }));
});
