// What docs/protocol.md promises in numbers and bytes is what the code does.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { safetyNumber } from '@weft/client/safety-number.ts';
import { Chain, chainStart } from '@weft/proto/chain.ts';
import { closeCodes } from '@weft/proto/close-codes.ts';
import { faults } from '@weft/proto/faults.ts';
import { ClientFrame, ServerFrame } from '@weft/proto/gen/weft/client/v1/client.ts';
import { bucketOf, digestValue, toggleHead } from '@weft/proto/heads-digest.ts';
import { sha256 } from '@weft/runtime/sha256.ts';

const page = readFileSync(new URL('../docs/protocol.md', import.meta.url), 'utf8');
const hex16 = (value: bigint): string => value.toString(16).padStart(16, '0');

test('the vectors of the heads digest are those of the code', () => {
  const rows = [...page.matchAll(/^\| (\d+) \| (\d+) \| (\d+) \| `([0-9a-f]{16})` \| (\d+) \|$/gm)].map(
    ([, log = '', epoch = '', seq = '', hash = '', bucket = '']) => ({
      log: BigInt(log),
      epoch: BigInt(epoch),
      seq: Number(seq),
      hash,
      bucket,
    }),
  );
  assert.equal(rows.length, 7);
  for (const { log, epoch, seq, hash, bucket } of rows) {
    const digest = { hi: 0, lo: 0 };
    toggleHead(digest, log, epoch, seq);
    assert.equal(hex16(digestValue(digest)), hash);
    assert.equal(String(bucketOf(log)), bucket);
  }
  const both = { hi: 0, lo: 0 };
  for (const { log, epoch, seq } of rows.slice(2, 4)) toggleHead(both, log, epoch, seq);
  assert.equal(hex16(digestValue(both)), /of these heads together is `([0-9a-f]{16})`/.exec(page)?.[1]);
});

test('the vectors of the hash chain are those of the code', () => {
  const rows = [...page.matchAll(/^\| (\d+) \| (\d{13}) \| (\d+) \| (\d+) \| (\d+) \| `([0-9a-f]*)` \| `([0-9a-f]{64})` \|$/gm)];
  assert.equal(rows.length, 4);
  const chain = new Chain(sha256);
  const ids = { log: 362387865601026n, epoch: 4296015873n, author: 4194305024n };
  let prev = chainStart;
  for (const [, seq, ts, clientEntryId = '', ord, kind, body = '', hash] of rows) {
    const header = { ...ids, seq: Number(seq), ts: Number(ts), clientEntryId: BigInt(clientEntryId), ord: Number(ord), kind: Number(kind) };
    const entry = { ...header, body: Buffer.from(body, 'hex') };
    if (seq === '2')
      assert.equal(Buffer.from(chain.encode(entry, prev)).toString('hex'), /128 bytes of the second: `([0-9a-f]{256})`/.exec(page)?.[1]);
    prev = chain.next(entry, prev);
    assert.equal(Buffer.from(prev).toString('hex'), hash);
    // What was emptied keeps its place in the chain.
    const emptied = { ...entry, body: Buffer.alloc(0), bodyHash: chain.body(entry.body) };
    assert.deepEqual(chain.next(emptied, Buffer.from(chain.encode(entry, prev).subarray(96))), chain.next(entry, prev));
  }
});

test('the safety number of the page is the one a client shows', () => {
  const hash = /^\| 2 \| \d{13} .*`([0-9a-f]{64})` \|$/m.exec(page)?.[1] ?? '';
  const number = safetyNumber(sha256, { log: 362387865601026n, seq: 2, hash: Buffer.from(hash, 'hex') });
  assert.equal(number, /second entry above: `([\d ]+)`/.exec(page)?.[1]);
});

test('the example frames are the same frame in JSON and in protobuf, both ways', () => {
  const frames = [...page.matchAll(/^```frame\n(client|server) (\{.*\})\n([0-9a-f]+)\n```$/gm)];
  assert.equal(frames.length, 11);
  for (const [, side, text = '', hex = ''] of frames) {
    const codec = side === 'client' ? ClientFrame : ServerFrame;
    const json: unknown = JSON.parse(text);
    assert.deepEqual(codec.toJSON(codec.decode(Buffer.from(hex, 'hex')) as never), json);
    assert.equal(Buffer.from(codec.encode(codec.fromJSON(json) as never).finish()).toString('hex'), hex);
  }
});

test('the catalogues of faults and of close codes are complete', () => {
  const told = [...page.matchAll(/^\| `([a-z_]+)` \| (never|later|elsewhere) \| (\d{3}) \|/gm)].map((row) => row.slice(1).join(' '));
  assert.deepEqual(
    told,
    Object.entries(faults).map(([code, { retry, http }]) => `${code} ${retry} ${http}`),
  );
  const codes = [...page.matchAll(/^\| (\d{4}) \| `(\w+)` \|/gm)].map((row) => row.slice(1).join(' '));
  assert.deepEqual(
    codes,
    Object.entries(closeCodes).map(([name, { code }]) => `${code} ${name}`),
  );
});
