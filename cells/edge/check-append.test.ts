import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kinds } from '../delivery/entry.ts';
import { checkAppend } from './check-append.ts';

const good = { id: 1, log: 7n, peer: 0n, clientEntryId: 5n, followedBy: [], kind: kinds.text, body: Buffer.from('hello') };

test('an append that is in order is let through, with as many ids of what followed it as a socket has under way', () => {
  assert.equal(checkAppend(good), undefined);
  assert.equal(checkAppend({ ...good, followedBy: Array.from({ length: 32 }, (_, at) => BigInt(at + 6)) }), undefined);
});

test('one that is not is told what is wrong with it', () => {
  const wrong: readonly (readonly [object, string])[] = [
    [{ peer: 3n }, 'exactly one of log and peer'],
    [{ log: 0n }, 'exactly one of log and peer'],
    [{ clientEntryId: 0n }, 'client_entry_id must be 1 to 2^63-1'],
    [{ followedBy: Array.from({ length: 33 }, (_, at) => BigInt(at + 6)) }, '33 ids in followed_by, 32 allowed'],
    [{ followedBy: [6n, 1n << 63n] }, 'followed_by must be 1 to 2^63-1'],
    [{ kind: 0 }, 'text or data is missing'],
    [{ body: Buffer.alloc(16_385) }, '16385 bytes, 16384 allowed'],
  ];
  for (const [by, text] of wrong)
    assert.match(checkAppend({ ...good, ...by })?.message ?? '', new RegExp(`: ${text.replace('^', '\\^')}$`));
});
