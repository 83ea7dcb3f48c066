import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Entry as WireEntry } from '@weft/proto/gen/weft/client/v1/client.ts';
import fc from 'fast-check';
import { type Entry, kinds } from '../delivery/entry.ts';
import { decodeEntry, entryBytes, fromWire, toWire } from './entry-codec.ts';

const id = fc.bigInt({ min: 1n, max: 2n ** 63n - 1n });
const safe = fc.maxSafeNat();

/** Absent in pending entries, and where no body was emptied. */
const hash = fc.option(
  fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes)),
  { nil: undefined },
);

const textBody = fc.string({ unit: 'grapheme', maxLength: 300 }).map((text) => ({ kind: kinds.text as number, body: Buffer.from(text) }));
const dataBody = fc.uint8Array({ maxLength: 300 }).map((body) => ({ kind: kinds.data as number, body: Buffer.from(body) }));

/** Any entry of the delivery code. */
const entries: fc.Arbitrary<Entry> = fc
  .record({
    log: id,
    epoch: id,
    seq: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    ts: safe,
    author: id,
    clientEntryId: id,
    ord: safe,
    flags: fc.constantFrom(0, 1, 2),
    prev: hash,
    bodyHash: hash,
    content: fc.oneof(textBody, dataBody),
  })
  .map(({ content, prev, bodyHash, ...header }) => ({ ...header, ...content, ...(prev && { prev }), ...(bodyHash && { bodyHash }) }));

/** Any entry as the generated codec knows it. */
const wireEntries: fc.Arbitrary<WireEntry> = fc.record({
  log: id,
  epoch: id,
  seq: fc.bigInt({ min: 1n, max: 2n ** 53n - 1n }),
  ts: safe.map(BigInt),
  author: id,
  clientEntryId: id,
  ord: safe.map(BigInt),
  flags: fc.constantFrom(0, 1),
  prev: hash,
  bodyHash: hash,
  body: fc.oneof(
    fc.string({ unit: 'binary', maxLength: 100 }).map((value) => ({ $case: 'text' as const, value })),
    fc.uint8Array({ maxLength: 100 }).map((value) => ({ $case: 'data' as const, value: Buffer.from(value) })),
    fc.array(id, { maxLength: 5 }).map((users) => ({ $case: 'membersRemoved' as const, value: { users } })),
    fc.record({ log: id, until: safe.map(BigInt) }).map((value) => ({ $case: 'logLeft' as const, value })),
  ),
});

/** A field this version does not know: number and wire type, with fitting bytes. */
const unknownField = fc.constantFrom(
  Buffer.from([0xf8, 0x07, 0x96, 0x01]), // 127, varint
  Buffer.from([0xf9, 0x07, 1, 2, 3, 4, 5, 6, 7, 8]), // 127, 64 bits
  Buffer.from([0xfd, 0x07, 1, 2, 3, 4]), // 127, 32 bits
);

test('what is written by hand the generated codec reads as the same entry', () => {
  fc.assert(
    fc.property(entries, (entry) => {
      const wire = WireEntry.decode(entryBytes(entry));
      assert.deepEqual(
        { log: wire.log, epoch: wire.epoch, seq: Number(wire.seq), ts: Number(wire.ts), ord: Number(wire.ord), flags: wire.flags },
        { log: entry.log, epoch: entry.epoch, seq: entry.seq, ts: entry.ts, ord: entry.ord, flags: entry.flags },
      );
      assert.deepEqual([wire.author, wire.clientEntryId], [entry.author, entry.clientEntryId]);
      const value = wire.body?.value;
      assert.deepEqual(Buffer.from(typeof value === 'string' ? value : (value as Uint8Array)), Buffer.from(entry.body));
      assert.equal(wire.body?.$case, entry.kind === kinds.text ? 'text' : 'data');
    }),
  );
});

test('what the generated codec writes is read by hand, and comes back as the same message', () => {
  fc.assert(
    fc.property(wireEntries, (wire) => {
      assert.deepEqual(toWire(fromWire(wire)), WireEntry.decode(Buffer.from(WireEntry.encode(wire).finish())));
    }),
  );
});

test('an entry is written, read and written again with the same bytes', () => {
  fc.assert(
    fc.property(entries, (entry) => {
      const read = decodeEntry(Buffer.from(entryBytes(entry)));
      assert.deepEqual({ ...read, body: Buffer.from(read.body) }, { ...entry, body: Buffer.from(entry.body) });
      assert.deepEqual(entryBytes({ ...read }), entryBytes(entry));
    }),
  );
});

test('fields of a later version are skipped, wherever they stand', () => {
  fc.assert(
    fc.property(entries, unknownField, (entry, field) => {
      const read = decodeEntry(Buffer.concat([field, entryBytes(entry), field]));
      assert.deepEqual({ ...read, body: Buffer.from(read.body) }, { ...entry, body: Buffer.from(entry.body) });
    }),
  );
});

test('truncated or arbitrary bytes are an entry or a RangeError, and nothing else', () => {
  const broken = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
    fc.tuple(entries, fc.nat()).map(([entry, cut]) => Buffer.from(entryBytes(entry).subarray(0, cut % entryBytes(entry).length))),
    fc.tuple(entries, fc.nat(), fc.nat(255)).map(([entry, at, byte]) => {
      const bytes = Buffer.from(entryBytes(entry));
      bytes[at % bytes.length] = byte;
      return bytes;
    }),
  );
  fc.assert(
    fc.property(broken, (bytes) => {
      try {
        const entry = decodeEntry(bytes);
        assert.ok(entry.log > 0n && Number.isSafeInteger(entry.seq) && entry.seq > 0 && entry.kind > 0);
      } catch (error) {
        assert.ok(error instanceof RangeError, String(error));
      }
    }),
    { numRuns: 500 },
  );
});
