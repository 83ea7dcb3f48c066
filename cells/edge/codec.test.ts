import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ServerFrame } from '@weft/proto/gen/weft/client/v1/client.ts';
import { protoCodec, type ServerEvent } from './codec.ts';

const opened = (log: bigint): ServerEvent => ({ $case: 'opened', value: { log } });
/** A WebSocket message of less than 126 bytes has a head of two. */
const decoded = (message: Buffer): ServerFrame => ServerFrame.decode(message.subarray(2));

test('a message is whole whatever was written before it, and stays as it is when the next is written', () => {
  const first = protoCodec.encode(1, opened(1n));
  assert.throws(() => protoCodec.encode(2, { $case: 'opened', value: { log: 'no number' as unknown as bigint } }));
  const second = protoCodec.encode(3, opened(3n));
  assert.deepEqual(
    [decoded(first), decoded(second)],
    [
      { re: 1n, event: opened(1n) },
      { re: 3n, event: opened(3n) },
    ],
  );
});
