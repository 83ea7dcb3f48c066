import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answerHealth, Health } from './observability.ts';

test('a process is ready when every part it named is, and not before it named one', () => {
  const health = new Health();
  assert.deepEqual(health.report(), { ready: false, draining: false, not_ready: ['start'] });
  health.set('sql', false);
  health.set('nats', true);
  assert.deepEqual(health.report(), { ready: false, draining: false, not_ready: ['sql'] });
  health.set('sql', true);
  assert(health.ready);
  health.set('nats', false);
  assert(!health.ready);
});

test('draining is red and stays red', () => {
  const health = new Health();
  health.set('sql', true);
  health.draining();
  health.set('sql', true);
  assert.deepEqual(health.report(), { ready: false, draining: true, not_ready: [] });
});

test('/ready answers 503 with the parts that are not ready, /live always 200', () => {
  const health = new Health();
  health.set('sql', false);
  assert.deepEqual(answerHealth(health, '/ready'), { status: 503, body: '{"ready":false,"draining":false,"not_ready":["sql"]}' });
  assert.equal(answerHealth(health, '/live')?.status, 200);
  health.set('sql', true);
  assert.equal(answerHealth(health, '/ready')?.status, 200);
  assert.equal(answerHealth(health, '/other'), undefined);
});
