import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PushOrder } from './push-order.ts';

test('pushes in order are nothing, a hole, what comes late and what comes again are told', () => {
  const order = new PushOrder();
  assert.equal(order.pushed(5, undefined), undefined);
  assert.deepEqual(order.pushed(8, undefined), { what: 'hole', from: 6, to: 7 });
  assert.deepEqual(order.pushed(6, undefined), { what: 'late', seq: 6 });
  assert.deepEqual(order.pushed(6, undefined), { what: 'again', seq: 6 });
  assert.deepEqual(order.giveUp(6, 7), { from: 7, to: 7 });
});

test('what this connection began with is no hole', () => {
  assert.deepEqual(new PushOrder().pushed(8, 5), { what: 'hole', from: 6, to: 7 });
  assert.equal(new PushOrder().pushed(8, 8), undefined, 'the push of a head that was told');
});

test('Accepted stands for a push, and the push may come all the same: the append was sent again', () => {
  const order = new PushOrder();
  order.pushed(4, undefined);
  order.accepted(5);
  assert.equal(order.pushed(5, undefined), undefined);
  order.accepted(6);
  assert.equal(order.pushed(7, undefined), undefined);
  order.accepted(7);
  assert.deepEqual(order.pushed(7, undefined), { what: 'again', seq: 7 });
});
