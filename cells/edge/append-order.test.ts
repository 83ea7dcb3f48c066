import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AppendOrder } from './append-order.ts';

test('after "later" only the faulted append itself may run, and behind it the others', () => {
  const order = new AppendOrder(10);
  order.faulted(5n, 1n, 'busy');
  assert.equal(order.mayRun(5n, 2n), false);
  assert.equal(order.mayRun(6n, 2n), true);
  assert.equal(order.mayRun(5n, 1n), true);
  order.arrived(5n, 1n);
  assert.equal(order.mayRun(5n, 2n), true);
});

test('a final fault holds nobody up', () => {
  const order = new AppendOrder(10);
  order.faulted(5n, 1n, 'entry_too_large');
  order.faulted(5n, 2n, 'not_a_member');
  assert.equal(order.mayRun(5n, 3n), true);
});

test('the first of several faulted appends is the one that has to come first', () => {
  const order = new AppendOrder(10);
  order.faulted(5n, 1n, 'rate_limited');
  order.faulted(5n, 2n, 'busy');
  order.faulted(5n, 3n, 'earlier_faulted');
  assert.equal(order.mayRun(5n, 2n), false);
  order.arrived(5n, 2n);
  assert.equal(order.mayRun(5n, 3n), false);
  assert.equal(order.mayRun(5n, 1n), true);
});

test('what is remembered is bounded: beyond it other logs wait too, and go on once one has come again', () => {
  const order = new AppendOrder(2);
  order.faulted(5n, 1n, 'busy');
  order.faulted(6n, 1n, 'busy');
  assert.equal(order.mayRun(7n, 1n), false);
  assert.equal(order.mayRun(6n, 1n), true);
  order.arrived(6n, 1n);
  assert.equal(order.mayRun(7n, 1n), true);
});

test('whatever faults come, the appends of a log are decided in the order sent', () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 60 }), fc.integer({ min: 1, max: 5 }), (faults, window) => {
      const order = new AppendOrder(10);
      const decided: number[] = [];
      const sent = Array.from({ length: 12 }, (_, i) => i + 1);
      const fault = faults[Symbol.iterator]();
      // A device sends what is unanswered in order, `window` at a time, until everything is decided.
      for (let left = sent; left.length > 0; left = sent.filter((each) => !decided.includes(each))) {
        for (const each of left.slice(0, window)) {
          if (!order.mayRun(5n, BigInt(each))) continue;
          order.arrived(5n, BigInt(each));
          if (fault.next().value === true) order.faulted(5n, BigInt(each), 'busy');
          else decided.push(each);
        }
      }
      assert.deepEqual(decided, sent);
    }),
  );
});
