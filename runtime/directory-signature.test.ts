import assert from 'node:assert/strict';
import { test } from 'node:test';
import { directoryPublicKey, directorySigningKey, openChanges, rawPublicKey, signChanges } from './directory-signature.ts';

const key = directorySigningKey(Buffer.alloc(32, 1));
const pinned = directoryPublicKey(rawPublicKey(key));
const list = { changes: [], positions: [{ shard: 1, n: 7n }], sentAt: 5n };

test('the raw public key is that of RFC 8032, test 1', () => {
  const seed = Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex');
  assert.equal(rawPublicKey(directorySigningKey(seed)).toString('hex'), 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a');
});

test('a list opens under the key that signed it', () => {
  assert.deepEqual(openChanges(signChanges(list, key, 1), pinned), list);
});

test('another key, other bytes, no signature or no list open nothing', () => {
  const signed = signChanges(list, key, 1);
  assert.equal(openChanges(signChanges(list, directorySigningKey(Buffer.alloc(32, 2)), 1), pinned), undefined);
  assert.equal(openChanges({ ...signed, changes: Buffer.concat([signed.changes, Buffer.from([0])]) }, pinned), undefined);
  assert.equal(openChanges({ ...signed, signature: Buffer.alloc(0) }, pinned), undefined);
  assert.equal(openChanges({ ...signed, signature: Buffer.alloc(64) }, pinned), undefined);
});
