import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BoundedQueue } from './bounded-queue.ts';
import { seededRandom } from './random.ts';

test('what does not fit, in items or bytes, is not taken in', () => {
  const queue = new BoundedQueue<string>({ itemsMax: 3, bytesMax: 10 });
  assert(queue.offer('a', 6));
  assert(!queue.offer('b', 5));
  assert(queue.offer('c', 4));
  assert(queue.offer('d'));
  assert(!queue.offer('e'));
  assert.deepEqual([queue.length, queue.bytes], [3, 10]);
});

test('a batch is bounded in items and bytes, but never empty while something waits', () => {
  const queue = new BoundedQueue<number>({ itemsMax: 10 });
  for (const bytes of [5, 5, 5, 100, 1]) queue.offer(bytes, bytes);
  assert.deepEqual(queue.take(10, 10), [5, 5]);
  assert.deepEqual(queue.take(1, 10), [5]);
  assert.deepEqual(queue.take(10, 10), [100]);
  assert.deepEqual(queue.take(10, 10), [1]);
  assert.deepEqual(queue.take(10, 10), []);
  assert.deepEqual([queue.length, queue.bytes], [0, 0]);
});

test('order and sizes hold over a hundred thousand random steps', () => {
  const random = seededRandom(5);
  const queue = new BoundedQueue<number>({ itemsMax: 500, bytesMax: 5_000 });
  const expected: number[] = [];
  for (let i = 0; i < 100_000; i++) {
    if (random.int(5) > 0) {
      const bytes = i % 20;
      const fits = expected.length < 500 && expected.reduce((sum, each) => sum + (each % 20), 0) + bytes <= 5_000;
      if (i % 100 === 0) assert.equal(queue.offer(i, bytes), fits);
      else if (!queue.offer(i, bytes)) continue;
      if (i % 100 !== 0 || fits) expected.push(i);
    } else {
      const taken = queue.take(random.int(8));
      assert.deepEqual(taken, expected.splice(0, taken.length));
    }
    assert.equal(queue.length, expected.length);
  }
});
