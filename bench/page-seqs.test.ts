import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ServerFrame } from '@weft/proto/gen/weft/client/v1/client.ts';
import { readPageSeqs } from './page-seqs.ts';

const frame = (seqs: readonly number[], end: boolean, re = 300n): Buffer => {
  const entries = seqs.map((seq) => ({ log: 5n, epoch: 1n, seq: BigInt(seq), author: 7n, prev: new Uint8Array(32), text: 'a text' }));
  const head = { log: 5n, epoch: 1n, seq: 90_000n };
  const value = {
    log: 5n,
    head,
    entries: entries.map(({ text, ...entry }) => ({ ...entry, body: { $case: 'text' as const, value: text } })),
    end,
  };
  return Buffer.from(ServerFrame.encode(ServerFrame.fromPartial({ re, event: { $case: 'page', value } })).finish());
};
const read = (bytes: Buffer): unknown => readPageSeqs(Buffer.concat([Buffer.from([1, 2]), bytes]), 2, 2 + bytes.length);

test('the seqs of a page are read in place as the generated code wrote them', () => {
  const seqs = [127, 128, 129, 130];
  assert.deepEqual(read(frame(seqs, false)), { re: 300, page: { entries: 4, first: 127, last: 130, isDense: true, end: false } });
  assert.deepEqual(read(frame([1], true)), { re: 300, page: { entries: 1, first: 1, last: 1, isDense: true, end: true } });
  assert.deepEqual(read(frame([], true)), { re: 300, page: { entries: 0, first: 0, last: 0, isDense: true, end: true } });
});

test('a hole, a double and a wrong order are seen', () => {
  for (const seqs of [
    [1, 3],
    [5, 5],
    [70_000, 69_999],
    [1, 2, 4, 5],
  ])
    assert.equal(readPageSeqs(frame(seqs, false), 0, frame(seqs, false).length)?.page.isDense, false, String(seqs));
});

test('another frame is none of its', () => {
  const done = Buffer.from(ServerFrame.encode(ServerFrame.fromPartial({ re: 4n, event: { $case: 'done', value: {} } })).finish());
  assert.equal(readPageSeqs(done, 0, done.length), undefined);
});
