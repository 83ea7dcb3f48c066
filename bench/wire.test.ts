import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClientFrame, type Entry, ServerFrame } from '@weft/proto/gen/weft/client/v1/client.ts';
import { AppendTemplate, type EntryView, HotReader, halves, idFirst, whole } from './wire.ts';

const big = 0x7edcba9876543210n;

/** What the payload of a client's WebSocket frame says by the generated code. */
function decode(frame: Buffer): ClientFrame {
  const length = (frame[1] ?? 0) & 0x7f;
  const header = length === 126 ? 8 : 6;
  assert.equal(frame[0], 0x82);
  assert.equal(frame.length - header, length === 126 ? frame.readUInt16BE(2) : length);
  return ClientFrame.decode(frame.subarray(header));
}

test('an append by hand is what the generated code reads', () => {
  for (const text of ['', 'x', 'grüße', 'y'.repeat(100), 'z'.repeat(16_384)]) {
    const { id, request } = decode(new AppendTemplate({ log: big }, text).frame(1_000_003, halves(big - 1n)));
    assert.equal(id, BigInt(idFirst + 1_000_003));
    assert.deepEqual(request, {
      $case: 'append',
      value: { target: { $case: 'log', value: big }, clientEntryId: big - 1n, followedBy: [], content: { $case: 'text', value: text } },
    });
  }
});

test('an append to a peer names the peer, and request ids wrap before they need a fifth byte', () => {
  const template = new AppendTemplate({ peer: 77n }, 'hi');
  const frames = [0, 1, (1 << 28) - idFirst - 1, (1 << 28) - idFirst].map((n) => decode(template.frame(n, halves(5n))));
  assert.deepEqual(
    frames.map(({ id }) => Number(id)),
    [idFirst, idFirst + 1, (1 << 28) - 1, idFirst],
  );
  assert.ok(frames.every(({ request }) => request?.$case === 'append' && request.value.target?.$case === 'peer'));
});

test('halves of a number make it whole again', () => {
  for (const value of [0n, 1n, 0xffff_ffffn, 0x1_0000_0000n, big]) assert.equal(whole(halves(value)), value);
});

function read(frame: ServerFrame): { readonly hot: boolean; readonly seen: (EntryView & { kind: string })[] } {
  const seen: (EntryView & { kind: string })[] = [];
  const reader = new HotReader({
    accepted: (entry) => void seen.push({ kind: 'accepted', ...entry }),
    pushed: (entry) => void seen.push({ kind: 'pushed', ...entry }),
  });
  // Not at the start of its buffer: the reader gets a part of a chunk.
  const payload = Buffer.concat([Buffer.alloc(3), ServerFrame.encode(frame).finish(), Buffer.alloc(2)]);
  return { hot: reader.read(payload, 3, payload.length - 2), seen };
}

const entry = (seq: bigint, body: Entry['body']): Entry => ({
  log: big,
  epoch: 1n << 33n,
  seq,
  ts: 1_900_000_000_000n,
  author: 9n,
  clientEntryId: big - seq,
  ord: 3n,
  flags: 1,
  body,
});

test('Accepted is read in place', () => {
  const { hot, seen } = read({
    re: 268_435_455n,
    event: { $case: 'accepted', value: { log: big, epoch: 7n, seq: 5_000_000_000n, ts: 1n, clientEntryId: big, ord: 1n } },
  });
  assert.ok(hot);
  assert.deepEqual(
    seen.map(({ kind, seq }) => [kind, seq]),
    [['accepted', 5_000_000_000]],
  );
  assert.equal(whole({ lo: seen[0]!.entryIdLo, hi: seen[0]!.entryIdHi }), big);
  assert.equal(whole({ lo: seen[0]!.logLo, hi: seen[0]!.logHi }), big);
});

test('every entry of a push is read in its order, with or without text', () => {
  const created: Entry['body'] = {
    $case: 'created',
    value: { kind: 'LOG_KIND_GROUP', title: 't', members: [{ user: 1n, home: 1, from: 1n }], membersMax: 9 },
  };
  const entries = [
    entry(1n, created),
    entry(2n, { $case: 'text', value: 'a'.repeat(300) }),
    entry(3n, { $case: 'data', value: new Uint8Array(5) }),
    entry(4n, { $case: 'text', value: '' }),
  ];
  const { hot, seen } = read({ re: 0n, event: { $case: 'push', value: { entries } } });
  assert.ok(hot);
  assert.deepEqual(
    seen.map(({ seq, textBytes }) => [seq, textBytes]),
    [
      [1, -1],
      [2, 300],
      [3, -1],
      [4, 0],
    ],
  );
  assert.deepEqual(
    seen.map((one) => whole({ lo: one.entryIdLo, hi: one.entryIdHi })),
    entries.map(({ clientEntryId }) => clientEntryId),
  );
});

test('other frames are left to the generated code, and so is the acceptance of an append that was none of a template', () => {
  const value = { log: big, epoch: 7n, seq: 5n, ts: 1n, clientEntryId: big, ord: 1n };
  assert.equal(read({ re: BigInt(idFirst - 1), event: { $case: 'accepted', value } }).hot, false);
  assert.equal(read({ re: 0n, event: { $case: 'heartbeat', value: { digest: big, cursor: new Uint8Array(9), now: 1n } } }).hot, false);
  assert.equal(read({ re: 3n, event: { $case: 'pending', value: { log: big, clientEntryId: 1n } } }).hot, false);
  assert.equal(read({ re: 3n, event: { $case: 'done', value: {} } }).hot, false);
});

test('bytes that are cut off or no protobuf at all are an error, not a loop', () => {
  const reader = new HotReader({ accepted: () => {}, pushed: () => {} });
  assert.throws(() => reader.read(Buffer.from([0xa2, 0x01, 0x7f, 0x0a, 0x05]), 0, 5), RangeError);
  assert.throws(() => reader.read(Buffer.from([0x22, 0x03, 0xff, 0xff, 0xff]), 0, 5), RangeError);
  assert.throws(() => reader.read(Buffer.from([0x08, ...Array<number>(11).fill(0xff)]), 0, 12), RangeError);
});
