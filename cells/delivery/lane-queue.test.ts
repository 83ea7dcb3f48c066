import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kinds } from './entry.ts';
import { LaneQueue } from './lane-queue.ts';
import type { Operation, Submission } from './operations.ts';

const limits = { batchEntriesMax: 2, batchBytesMax: 1_000_000, queueMax: 8, queueBytesMax: 1_000_000 };
const body = Buffer.from('words');

const submitted = (operation: Operation): Submission => ({ operation, settle: () => undefined });

const intake = (n: number, size = body.length): Submission =>
  submitted({
    type: 'intake',
    ...{ src: 2, generation: 1, target: { log: 7n }, stream: { a: 7n, b: 0n }, n, lowestOpen: 0 },
    ...{ author: 3n, clientEntryId: BigInt(n), kind: kinds.text, body: Buffer.alloc(size) },
  });

const append = (n: number): Submission =>
  submitted({
    type: 'append',
    ...{ target: { log: 7n }, author: 4n, connection: 5, clientEntryId: BigInt(n), kind: kinds.text, body },
  } as Operation);

/** How many of `make`, one after the other, find a place. */
function placesFor(queue: LaneQueue, make: (n: number) => Submission): number {
  for (let n = 1; ; n++) if (!queue.add(make(n))) return n - 1;
}

test('this cell’s people and other cells have places of their own, and neither takes the other’s', () => {
  const queue = new LaneQueue(limits);
  assert.equal(placesFor(queue, append), 8);
  assert.equal(placesFor(queue, intake), 8);
  assert.equal(queue.length, 16);
  queue.take();
  assert.equal(placesFor(queue, append) + placesFor(queue, intake), 2);
});

test('a queue half full of what other cells sent is crowded, and says once when three quarters are free again', () => {
  const queue = new LaneQueue(limits);
  let told = 0;
  const roomy = (): void => {
    told += 1;
  };
  for (let n = 1; n <= 4; n++) queue.add(intake(n));
  assert.equal(queue.mustWait(roomy), false);
  queue.add(intake(5));
  assert.equal(queue.mustWait(roomy), true);
  queue.take();
  assert.deepEqual([queue.length, queue.mustWait(roomy), told], [3, true, 0]);
  queue.take();
  assert.deepEqual([queue.length, queue.mustWait(roomy), told], [1, false, 1]);
  queue.take();
  assert.equal(told, 1);
});

test('bytes crowd it too, and what its own people say does not', () => {
  const queue = new LaneQueue(limits);
  placesFor(queue, append);
  assert.equal(
    queue.mustWait(() => undefined),
    false,
  );
  queue.add(intake(1, limits.queueBytesMax / 2));
  assert.equal(
    queue.mustWait(() => undefined),
    true,
  );
});

test('what is handed on when there is room may crowd it again', () => {
  const queue = new LaneQueue(limits);
  const waiting = [intake(9), intake(10), intake(11), intake(12), intake(13)];
  const handOn = (): void => {
    while (waiting.length > 0 && !queue.mustWait(handOn)) queue.add(waiting.shift() as Submission);
  };
  for (let n = 1; n <= 5; n++) queue.add(intake(n));
  assert.equal(queue.mustWait(handOn), true);
  const order: number[] = [];
  for (let batch = queue.take(); batch.length > 0; batch = queue.take())
    order.push(...batch.map(({ operation }) => (operation.type === 'intake' ? operation.n : 0)));
  assert.deepEqual(order, [1, 2, 3, 4, 5, 9, 10, 11, 12, 13]);
});
