import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EventQueue } from './simulation/event-queue.ts';

test('what is earliest comes first, and of one moment what was added first, whatever is taken in between', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.nat(20), fc.constant('take')), { maxLength: 3_000, size: 'max' }), (steps) => {
      const queue = new EventQueue<{ readonly at: number; readonly order: number }>();
      const waiting: { readonly at: number; readonly order: number }[] = [];
      const takeBoth = (): void => {
        waiting.sort((a, b) => a.at - b.at || a.order - b.order);
        assert.equal(queue.nextMs, waiting[0]?.at ?? Number.POSITIVE_INFINITY);
        assert.equal(queue.take(Number.POSITIVE_INFINITY), waiting.shift());
      };
      for (const [order, step] of steps.entries()) {
        if (typeof step === 'string') takeBoth();
        else {
          const event = { at: step, order };
          queue.add(event);
          waiting.push(event);
        }
      }
      while (waiting.length > 0) takeBoth();
      assert.equal(queue.take(Number.POSITIVE_INFINITY), undefined);
    }),
    { numRuns: 50 },
  );
});

test('what is not due yet stays', () => {
  const queue = new EventQueue<{ readonly at: number }>();
  const event = { at: 5 };
  queue.add(event);
  assert.equal(queue.take(4.9), undefined);
  assert.equal(queue.take(5), event);
});
