import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { Writable } from 'node:stream';
import { describe, test } from 'node:test';
import { Outbound, WriteGatherer } from './outbound.ts';

/** What the kernel does to a socket: takes what is written, or nothing while the reader sleeps. */
class Reader extends Writable {
  taken = 0;
  writes = 0;
  #waiting: (() => void)[] = [];
  asleep = false;

  constructor() {
    super({ highWaterMark: 1_000 });
  }

  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    const take = (): void => {
      this.writes += 1;
      for (const { chunk } of chunks) this.taken += chunk.length;
      done();
    };
    if (this.asleep) this.#waiting.push(take);
    else take();
  }

  wake(): void {
    this.asleep = false;
    for (const take of this.#waiting.splice(0)) take();
  }
}

function open(gatherer = new WriteGatherer()): { reader: Reader; out: Outbound; seen: string[] } {
  const reader = new Reader();
  const seen: string[] = [];
  const out: Outbound = new Outbound(reader as unknown as Socket, gatherer, {
    bytesMax: 10_000,
    onLag: () => void seen.push('lag'),
    onRelief: () => {
      seen.push('resync');
      out.answer(Buffer.alloc(10));
    },
    onDrain: () => void seen.push('drain'),
  });
  return { reader, out, seen };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const message = (size: number): Buffer => Buffer.alloc(size);

describe('one socket', () => {
  test('what falls due in one turn leaves in one write', async () => {
    const { reader, out } = open();
    for (let i = 0; i < 5; i++) out.push(message(100));
    out.answer(message(50));
    assert.equal(reader.writes, 0);
    await turn();
    assert.deepEqual([reader.writes, reader.taken], [1, 550]);
  });

  test('who does not read has a bounded buffer, and is told to resync once and in its place', async () => {
    const { reader, out, seen } = open();
    reader.asleep = true;
    for (let i = 0; i < 1_000; i++) {
      out.push(message(100));
      if (i % 10 === 0) await turn();
    }
    assert.ok(reader.writableLength <= 10_000, `${reader.writableLength} bytes wait`);
    assert.equal(out.lagging, true);
    assert.deepEqual(seen, ['lag']);
    reader.wake();
    await turn();
    await turn();
    assert.deepEqual(seen.slice(0, 2), ['lag', 'resync']);
    assert.equal(out.lagging, false);
    out.push(message(7));
    await turn();
    assert.equal(reader.taken % 100, 17);
  });

  test('answers go in spite of the lag, and say when nothing more should be asked', async () => {
    const { reader, out } = open();
    reader.asleep = true;
    out.answer(message(9_000));
    assert.equal(out.full, false);
    out.answer(message(2_000));
    assert.equal(out.full, true);
    reader.wake();
    await turn();
    await turn();
    assert.equal(out.full, false);
    assert.equal(reader.taken, 11_000);
  });

  test('a push above the bound still goes to whoever has read everything', async () => {
    const { reader, out, seen } = open();
    out.push(message(20_000));
    await turn();
    assert.equal(reader.taken, 20_000);
    assert.deepEqual(seen.includes('lag'), false);
  });

  test('a socket that is gone takes nothing and breaks nothing', async () => {
    const { reader, out } = open();
    reader.destroy();
    out.push(message(10));
    out.answer(message(10));
    await turn();
    assert.equal(reader.taken, 0);
  });
});

test('nobody else notices a socket that does not read', async () => {
  const gatherer = new WriteGatherer();
  const slow = open(gatherer);
  const fast = open(gatherer);
  slow.reader.asleep = true;
  for (let i = 0; i < 500; i++) {
    slow.out.push(message(100));
    fast.out.push(message(100));
    if (i % 5 === 0) await turn();
  }
  await turn();
  assert.equal(fast.reader.taken, 50_000);
  assert.equal(fast.out.lagging, false);
});
