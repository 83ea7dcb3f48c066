import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Latency } from './latency.ts';

test('quantiles are right within one per cent, and the highest is exact', () => {
  const latency = new Latency();
  for (let ms = 1; ms <= 1_000; ms++) latency.add(ms);
  const { count, p50, p95, p99, max } = latency.table();
  assert.equal(count, 1_000);
  for (const [found, wanted] of [
    [p50, 500],
    [p95, 950],
    [p99, 990],
  ] as const)
    assert.ok(Math.abs(found - wanted) / wanted < 0.01, `${found} for ${wanted}`);
  assert.equal(max, 1_000);
});

test('nothing measured gives no number, and extremes stay in range', () => {
  const latency = new Latency();
  assert.ok(Number.isNaN(latency.quantile(0.5)));
  latency.add(0);
  latency.add(-1);
  latency.add(10_000_000);
  assert.equal(latency.table().max, 10_000_000);
});
