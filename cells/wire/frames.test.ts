import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClientFrame, Page, ServerFrame } from '@weft/proto/gen/weft/client/v1/client.ts';
import { EntriesFrame } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import fc from 'fast-check';
import { type Entry, kinds } from '../delivery/entry.ts';
import { toWire } from './entry-codec.ts';
import { decodeAppend, decodeRuns, encodeAccepted, encodePage, encodePush, encodeRuns, runsOf } from './frames.ts';

const id = fc.bigInt({ min: 1n, max: 2n ** 63n - 1n });
const requestId = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });

const entryOf = (log: bigint, seq: number, text: string): Entry => ({
  log,
  epoch: 4_296_015_873n,
  seq,
  ts: 1_795_255_697_988,
  author: 7n,
  clientEntryId: BigInt(seq),
  ord: seq - 1,
  kind: kinds.text,
  flags: 0,
  body: Buffer.from(text),
});

/** Entries of one log in order, texts from none to larger than a two-byte length. */
const run = fc
  .tuple(
    id,
    fc.array(fc.oneof(fc.string({ unit: 'grapheme', maxLength: 40 }), fc.constant('x'.repeat(17_000))), { minLength: 1, maxLength: 6 }),
  )
  .map(([log, texts]) => ({ log, entries: texts.map((text, i) => entryOf(log, i + 1, text)) }));

test('a push is the frame the generated codec would write', () => {
  fc.assert(
    fc.property(run, ({ entries }) => {
      const event = { $case: 'push' as const, value: { entries: entries.map(toWire) } };
      assert.deepEqual(encodePush(entries), Buffer.from(ServerFrame.encode({ re: 0n, event }).finish()));
    }),
  );
});

test('a page is the frame the generated codec would read', () => {
  fc.assert(
    fc.property(requestId, run, (re, { log, entries }) => {
      const page = { log, head: undefined, visibleFrom: 3n, end: true, pending: [], epochs: [], entries: [] };
      const frame = ServerFrame.decode(encodePage(re, Page.encode(page).finish(), entries));
      assert.deepEqual(frame, { re: BigInt(re), event: { $case: 'page', value: { ...page, entries: entries.map(toWire) } } });
    }),
  );
});

test('Accepted is the frame the generated codec would write', () => {
  fc.assert(
    fc.property(requestId, id, fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), (re, log, seq) => {
      const entry = entryOf(log, seq, '');
      const { epoch, ts, clientEntryId, ord } = entry;
      const value = { log, epoch, seq: BigInt(seq), ts: BigInt(ts), clientEntryId, ord: BigInt(ord) };
      const expected = ServerFrame.encode({ re: BigInt(re), event: { $case: 'accepted', value } }).finish();
      assert.deepEqual(encodeAccepted({ re, entry }), Buffer.from(expected));
    }),
  );
});

test('runs between cells are the frame the generated codec would write, and read back', () => {
  fc.assert(
    fc.property(fc.array(run, { maxLength: 4 }), (runs) => {
      const bytes = encodeRuns(runs);
      const expected = EntriesFrame.encode(
        EntriesFrame.fromPartial({ runs: runs.map(({ log, entries }) => ({ log, entries: entries.map(toWire) })) }),
      ).finish();
      assert.deepEqual(bytes, Buffer.from(expected));
      assert.deepEqual(
        decodeRuns(bytes).map(({ log, entries }) => ({ log, entries: entries.map(toWire) })),
        runs.map(({ log, entries }) => ({ log, entries: entries.map(toWire) })),
      );
    }),
  );
});

test('a run that holds another log’s entry is no frame', () => {
  const bytes = encodeRuns([{ log: 5n, entries: [entryOf(6n, 1, 'x')] }]);
  assert.throws(() => decodeRuns(bytes), RangeError);
});

const appends = fc
  .record({
    id: requestId,
    target: fc.oneof(
      id.map((value) => ({ $case: 'log' as const, value })),
      id.map((value) => ({ $case: 'peer' as const, value })),
    ),
    clientEntryId: id,
    followedBy: fc.array(id, { maxLength: 3 }),
    content: fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 200 }).map((value) => ({ $case: 'text' as const, value })),
      fc.uint8Array({ maxLength: 200 }).map((value) => ({ $case: 'data' as const, value: Buffer.from(value) })),
    ),
  })
  .map(({ id: frameId, ...value }): ClientFrame => ({ id: BigInt(frameId), request: { $case: 'append', value } }));

/** What the hand codec must say of a frame that the generated one wrote. */
function fieldsOf(frame: ClientFrame): unknown {
  if (frame.request?.$case !== 'append') throw new Error('not an append');
  const { target, clientEntryId, followedBy, content } = frame.request.value;
  return {
    id: Number(frame.id),
    log: target?.$case === 'log' ? target.value : 0n,
    peer: target?.$case === 'peer' ? target.value : 0n,
    clientEntryId,
    followedBy,
    kind: content?.$case === 'text' ? kinds.text : kinds.data,
    body: Buffer.from((content?.value ?? '') as string),
  };
}

test('an append reads by hand as the generated codec wrote it', () => {
  fc.assert(
    fc.property(appends, (frame) => {
      assert.deepEqual(decodeAppend(Buffer.from(ClientFrame.encode(frame).finish())), fieldsOf(frame));
    }),
  );
});

test('an append of a later version, and one with its fields in another order, is still an append', () => {
  const unknown = Buffer.from([0xf8, 0x07, 0x01]);
  fc.assert(
    fc.property(appends, (frame) => {
      const whole = Buffer.from(ClientFrame.encode(frame).finish());
      const front = Buffer.from(ClientFrame.encode({ id: frame.id, request: undefined }).finish());
      const body = whole.subarray(front.length);
      const expected = fieldsOf(frame);
      assert.deepEqual(decodeAppend(Buffer.concat([unknown, body, unknown, front])), expected);
      // Inside the append: field 127 after the others, its length one byte longer.
      const inner = ClientFrame.encode(frame).finish().subarray(front.length);
      const payload = inner.subarray(1 + ((inner[1] as number) >= 0x80 ? 2 : 1));
      const longer = Buffer.concat([payload, unknown]);
      const length = longer.length < 0x80 ? [longer.length] : [(longer.length & 0x7f) | 0x80, longer.length >> 7];
      assert.deepEqual(decodeAppend(Buffer.concat([front, Buffer.from([0x1a, ...length]), longer])), expected);
    }),
  );
});

test('of two targets the last counts, as in the generated codec', () => {
  const frame = Buffer.from([0x08, 1, 0x1a, 18, 0x09, 5, 0, 0, 0, 0, 0, 0, 0, 0x11, 6, 0, 0, 0, 0, 0, 0, 0]);
  const { request } = ClientFrame.decode(frame);
  assert.deepEqual(request?.$case === 'append' && request.value.target, { $case: 'peer', value: 6n });
  const fields = decodeAppend(frame);
  assert.deepEqual([fields?.log, fields?.peer], [0n, 6n]);
});

test('other requests are left to the generated codec, and broken bytes are no append', () => {
  const other = ClientFrame.encode({ id: 1n, request: { $case: 'readBuckets', value: {} } }).finish();
  assert.equal(decodeAppend(Buffer.from(other)), undefined);
  assert.equal(decodeAppend(Buffer.alloc(0)), undefined);
  fc.assert(
    fc.property(fc.tuple(appends, fc.nat(), fc.option(fc.nat(255))), ([frame, at, byte]) => {
      const bytes = Buffer.from(ClientFrame.encode(frame).finish());
      const broken = byte === null ? bytes.subarray(0, at % bytes.length) : bytes;
      if (byte !== null) broken[at % bytes.length] = byte;
      try {
        decodeAppend(broken);
      } catch (error) {
        assert.ok(error instanceof RangeError, String(error));
      }
    }),
    { numRuns: 500 },
  );
});

test('a request id above 2^53 is refused rather than rounded', () => {
  const frame = ClientFrame.encode({
    id: 2n ** 53n + 1n,
    request: { $case: 'append', value: { target: undefined, clientEntryId: 1n, followedBy: [], content: undefined } },
  });
  assert.throws(() => decodeAppend(Buffer.from(frame.finish())), RangeError);
});

test('a run is in the order of its log, whatever was stored first', () => {
  const [old, other, fresh] = [entryOf(7n, 15, 'old'), entryOf(8n, 1, 'other'), entryOf(7n, 25, 'fresh')];
  assert.deepEqual(runsOf([fresh, other, old]), [
    { log: 7n, entries: [old, fresh] },
    { log: 8n, entries: [other] },
  ]);
});
