import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '@weft/runtime/manual-clock.ts';
import { Early } from './early.ts';

function open(max = 10): { early: Early<number>; clock: ManualClock; released: [string, number[], boolean][] } {
  const clock = new ManualClock(0);
  const released: [string, number[], boolean][] = [];
  const early = new Early<number>({ clock, keepMs: 300, max, release: (key, things, late) => released.push([key, things, late]) });
  return { early, clock, released };
}

test('what was kept is released when its key gets on', () => {
  const { early, clock, released } = open();
  early.keep('a', 1);
  early.keep('b', 2);
  early.keep('a', 3);
  early.progressed('a');
  assert.deepEqual(released, [['a', [1, 3], false]]);
  clock.advance(299);
  assert.equal(released.length, 1);
  clock.advance(1);
  assert.deepEqual(released[1], ['b', [2], true]);
  early.progressed('b');
  assert.equal(released.length, 2);
  assert.equal(clock.waiting, 0);
});

test('the first of a key sets the time for all of it', () => {
  const { early, clock, released } = open();
  early.keep('a', 1);
  clock.advance(200);
  early.keep('a', 2);
  clock.advance(100);
  assert.deepEqual(released, [['a', [1, 2], true]]);
});

test('no more than its room is kept, and room comes back', () => {
  const { early, released } = open(2);
  assert.deepEqual([early.keep('a', 1), early.keep('b', 2), early.keep('a', 3)], [true, true, false]);
  early.progressed('a');
  assert.equal(early.keep('c', 4), true);
  assert.deepEqual(released, [['a', [1], false]]);
});

test('after its end nothing fires', () => {
  const { early, clock, released } = open();
  early.keep('a', 1);
  early[Symbol.dispose]();
  clock.advance(1_000);
  assert.deepEqual([released, clock.waiting], [[], 0]);
});
