import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WeftError } from '@weft/proto/faults.ts';
import type { PublicKey } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import { limits } from './limits.ts';
import { mergeRegistration, type Registered, type Registration } from './merge-registration.ts';

const nowMs = 1_800_000_000_000;
const key = (version: number, over: Partial<PublicKey> = {}): PublicKey => ({
  use: 'KEY_USE_SEAL',
  version,
  key: Buffer.alloc(32, version),
  ends: 0n,
  ...over,
});
const held = (over: Partial<Registered> = {}): Registered => ({ generation: 3n, urls: [], keys: [], ...over });
const given = (over: Partial<Registration> = {}): Registration => ({ generation: 3n, urls: [], keys: [], ...over });

function merged(before: Registered, registration: Registration): { next: Registered; changed: boolean } {
  const result = mergeRegistration(before, registration, nowMs);
  assert(result.kind === 'merged');
  return result;
}

test('the urls of several nodes are joined', () => {
  const { next, changed } = merged(held({ urls: [{ url: 'http://a', seenMs: nowMs - 1_000 }] }), given({ urls: ['http://b'] }));
  assert.deepEqual(
    next.urls.map(({ url }) => url),
    ['http://a', 'http://b'],
  );
  assert.equal(changed, true);
});

test('a url that nobody named for a while leaves', () => {
  const old = { url: 'http://a', seenMs: nowMs - limits.urlFreshMsMax - 1 };
  const { next } = merged(held({ urls: [old] }), given({ urls: ['http://b'] }));
  assert.deepEqual(next.urls, [{ url: 'http://b', seenMs: nowMs }]);
});

test('naming the same again is no change for others, but keeps the url fresh', () => {
  const { next, changed } = merged(
    held({ urls: [{ url: 'http://a', seenMs: nowMs - 1_000 }], keys: [key(1)] }),
    given({ urls: ['http://a'] }),
  );
  assert.equal(changed, false);
  assert.equal(next.urls[0]?.seenMs, nowMs);
  assert.equal(next.keys.length, 1);
});

test('a lower generation is told so and changes nothing, a higher one is taken', () => {
  assert.deepEqual(mergeRegistration(held(), given({ generation: 2n, urls: ['http://a'] }), nowMs), { kind: 'stale' });
  assert.equal(merged(held(), given({ generation: 4n })).next.generation, 4n);
});

test('keys of all nodes are joined by use and version', () => {
  const token = key(1, { use: 'KEY_USE_TOKEN' });
  const { next } = merged(held({ keys: [key(1)] }), given({ keys: [token, key(2)] }));
  assert.deepEqual(next.keys, [key(1), key(2), token]);
});

test('the bytes of a published key never change', () => {
  assert.throws(() => merged(held({ keys: [key(1)] }), given({ keys: [key(1, { key: Buffer.alloc(32, 9) })] })), WeftError);
});

test('an ended key is not brought back by a node that does not know, and leaves some time after its end', () => {
  const ending = key(1, { ends: BigInt(nowMs + 1_000) });
  assert.deepEqual(merged(held({ keys: [ending] }), given({ keys: [key(1)] })).next.keys, [ending]);
  const gone = key(1, { ends: BigInt(nowMs - limits.endedKeyMs - 1) });
  assert.deepEqual(merged(held({ keys: [gone] }), given()).next.keys, []);
});

test('more urls or keys than allowed are refused', () => {
  const urls = Array.from({ length: limits.urlsPerCellMax + 1 }, (_, i) => `http://n${i}`);
  assert.throws(() => merged(held(), given({ urls })), WeftError);
  const keys = Array.from({ length: limits.keysPerCellMax + 1 }, (_, i) => key(i + 1));
  assert.throws(() => merged(held(), given({ keys })), WeftError);
});
