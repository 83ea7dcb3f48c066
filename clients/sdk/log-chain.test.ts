import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Chain, chainStart } from '@weft/proto/chain.ts';
import { chainedOf } from './chained.ts';
import type { Entry } from './entry.ts';
import { isBroken, linksOf } from './log-chain.ts';
import { nodeSha256 } from './sha256-node.ts';

const chain = new Chain(nodeSha256);

const entry = (seq: number, prev: Uint8Array): Entry => ({
  ...{ log: 7n, epoch: 1n, seq, ts: 1_000 + seq, author: 5n, id: BigInt(seq), ord: seq, readable: true, kind: 'text', text: `word ${seq}` },
  ...{ body: { $case: 'text', value: `word ${seq}` }, prev },
});

/** Entries 1 to 6, each with the hash of the one before. */
function page(): Entry[] {
  const made: Entry[] = [];
  let hash: Uint8Array = chainStart;
  for (let seq = 1; seq <= 6; seq++) {
    const next = entry(seq, hash);
    made.push(next);
    hash = chain.next(chainedOf(next) as NonNullable<ReturnType<typeof chainedOf>>, hash);
  }
  return made;
}

test('a page whose entries continue one another is whole, also where one cannot be hashed or comes without a hash', () => {
  const whole = page();
  assert.equal(isBroken(chain, whole), false);
  assert.equal(linksOf(chain, whole)?.length, 6);
  assert.equal(isBroken(chain, whole.with(2, { ...(whole[2] as Entry), body: undefined, kind: 'unknown' })), false);
  assert.equal(isBroken(chain, whole.with(2, { ...(whole[2] as Entry), prev: undefined })), false);
});

test('a page is broken where an entry is not what the next one says it is', () => {
  const words = page().with(2, { ...(page()[2] as Entry), body: { $case: 'text', value: 'words that nobody said' } });
  assert.equal(isBroken(chain, words), true);
  assert.equal(linksOf(chain, words), undefined);
});

test('a hash of words that were taken back stands for them where no words are, and nowhere else', () => {
  const isBrokenWith = (body: Entry['body'], kind: Entry['kind'] = 'text'): boolean => {
    const at2 = page()[1] as Entry;
    const original: Entry = kind === 'edited' ? { ...at2, kind, body: { $case: 'edited', value: { seq: 1n, text: 'better words' } } } : at2;
    const bytes = (chainedOf(original) as NonNullable<ReturnType<typeof chainedOf>>).body;
    const hash = chain.next(chainedOf(original) as NonNullable<ReturnType<typeof chainedOf>>, original.prev as Uint8Array);
    const left: Entry = { ...original, body, bodyHash: nodeSha256(bytes) };
    return isBroken(chain, [left, { ...(page()[2] as Entry), prev: hash }]);
  };
  assert.equal(isBrokenWith({ $case: 'text', value: '' }), false);
  assert.equal(isBrokenWith({ $case: 'text', value: 'words that nobody said' }), true);
  assert.equal(isBrokenWith({ $case: 'edited', value: { seq: 1n, text: '' } }, 'edited'), false);
  assert.equal(isBrokenWith({ $case: 'edited', value: { seq: 2n ** 40n, text: '' } }, 'edited'), false);
  assert.equal(isBrokenWith({ $case: 'edited', value: { seq: 1n, text: 'words that nobody said' } }, 'edited'), true);
});
