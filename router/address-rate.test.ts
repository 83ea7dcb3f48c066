import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AddressRate, networkOf } from './address-rate.ts';

test('an address may burst, then gets what time gives back', () => {
  const rate = new AddressRate({ perSecond: 10, burst: 3, addressesMax: 10 });
  assert.deepEqual([rate.take('a', 0), rate.take('a', 0), rate.take('a', 0)], [0, 0, 0]);
  assert.equal(rate.take('a', 0), 100);
  assert.equal(rate.take('a', 50), 50);
  assert.equal(rate.take('a', 100), 0);
  assert.equal(rate.take('a', 100), 100);
});

test('one address does not use up what another may do', () => {
  const rate = new AddressRate({ perSecond: 1, burst: 1, addressesMax: 10 });
  assert.equal(rate.take('a', 0), 0);
  assert(rate.take('a', 0) > 0);
  assert.equal(rate.take('b', 0), 0);
});

test('no more addresses are remembered than allowed, and the busy ones stay', () => {
  const rate = new AddressRate({ perSecond: 1, burst: 1, addressesMax: 100 });
  rate.take('busy', 0);
  for (let i = 0; i < 1_000; i++) {
    rate.take(`other-${i}`, 0);
    assert(rate.take('busy', 0) > 0);
  }
  assert.equal(rate.size, 100);
});

test('the addresses of one IPv6 subscriber count as one', () => {
  assert.equal(networkOf('2001:db8:1:2:aaaa::1'), networkOf('2001:db8:1:2::7'));
  assert.notEqual(networkOf('2001:db8:1:2::7'), networkOf('2001:db8:1:3::7'));
  assert.equal(networkOf('::1'), networkOf('0:0:0:0:0:0:0:2'));
  assert.equal(networkOf('::ffff:192.0.2.1'), '192.0.2.1');
  assert.equal(networkOf('192.0.2.1'), '192.0.2.1');
});
