import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { test } from 'node:test';
import { endOnce } from './edge.ts';

/** Counts how often it is ended, and hears of errors that Node makes of it. */
class Receiver extends Writable {
  readonly taken: string[] = [];
  readonly told: unknown[] = [];

  override _write(chunk: Buffer, _: string, done: () => void): void {
    this.taken.push(chunk.toString());
    done();
  }

  /** As `ws` does, twice. */
  finish(): void {
    // Node makes an error of the second, which only who waits for it sees.
    (this.end as (done: (error?: unknown) => void) => void)((error) => this.told.push(error));
  }
}

test('a receiver that is ended twice ends once, with what was written to it', async () => {
  for (const isOnce of [true, false]) {
    const receiver = new Receiver();
    if (isOnce) endOnce({ _receiver: receiver });
    receiver.write('a frame');
    receiver.end();
    await finished(receiver);
    receiver.finish();
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual([receiver.taken, receiver.told.length], [['a frame'], isOnce ? 0 : 1]);
  }
});

test('a socket without such a receiver is left as it is', () => {
  const other = { _receiver: { end: () => 'its own' } };
  endOnce(other);
  endOnce({});
  assert.equal(other._receiver.end(), 'its own');
});
