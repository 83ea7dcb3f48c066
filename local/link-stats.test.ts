import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LinkStats, quantile } from './link-stats.ts';

test('the backlog of a link is what was sent and not shown', () => {
  const link = new LinkStats('eu-1', 'us-1');
  link.sent('1', 0);
  link.sent('2', 10);
  link.seen('1', 3);
  assert.deepEqual(link.numbers(12), { from: 'eu-1', to: 'us-1', shown: 1, backlog: 1, oldestMs: 2, p50: 3, p99: 3 });
});

test('a message shown twice or from an earlier run counts once or not at all', () => {
  const link = new LinkStats('eu-1', 'us-1');
  link.sent('1', 0);
  link.seen('1', 3);
  link.seen('1', 900);
  link.seen('of yesterday', 1_000);
  assert.equal(link.numbers(5).shown, 1);
  assert.equal(link.numbers(5).p99, 3);
});

test('quantiles are values that were measured', () => {
  const values = Array.from({ length: 100 }, (_, at) => at + 1);
  assert.equal(quantile(values, 0.5), 50);
  assert.equal(quantile(values, 0.99), 99);
  assert.equal(quantile([7], 0.99), 7);
  assert.equal(quantile([], 0.5), undefined);
});
