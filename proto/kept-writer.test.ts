import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Edited, LogLeft } from './gen/weft/client/v1/client.ts';
import { KeptWriter } from './kept-writer.ts';

test('what a kept writer encodes is what a fresh one does, and stays the caller’s own', () => {
  const writer = new KeptWriter();
  const messages = ['a', 'b'.repeat(1_000), '', 'é'].map((text, i) => ({ seq: BigInt(i), text }));
  const encoded = messages.map((message) => writer.encode(Edited, message));
  assert.deepEqual(
    encoded,
    messages.map((message) => Edited.encode(message).finish()),
  );
});

test('a message that cannot be encoded leaves nothing in what follows', () => {
  const writer = new KeptWriter();
  writer.encode(LogLeft, { log: 1n, until: 2n });
  assert.throws(() => writer.encode(Edited, { seq: 2n ** 64n, text: 'a' }));
  assert.deepEqual(writer.encode(Edited, { seq: 7n, text: 'b' }), Edited.encode({ seq: 7n, text: 'b' }).finish());
});
