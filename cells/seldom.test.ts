import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Seldom } from './seldom.ts';

test('of thousands of a kind the first is told at once, and how many came, each second while they come', () => {
  const lines: unknown[] = [];
  let due: (() => void) | undefined;
  const tick = (): void => {
    const fn = due;
    due = undefined;
    fn?.();
  };
  const timer = (_ms: number, fn: () => void): Disposable => {
    due = fn;
    return { [Symbol.dispose]: () => undefined };
  };
  const seldom = new Seldom({ clock: { timer }, write: ({ why, times }) => void lines.push([why, times]) });
  for (let n = 0; n < 4_000; n++) seldom.say({ src: 'eu-1', why: 'unsealed' });
  seldom.say({ src: 'eu-1', why: 'stale' });
  assert.deepEqual(lines.splice(0), [
    ['unsealed', 1],
    ['stale', 1],
  ]);
  tick();
  assert.deepEqual(lines.splice(0), [['unsealed', 3_999]]);
  tick();
  tick();
  assert.equal(due, undefined);
  seldom.say({ src: 'eu-1', why: 'unsealed' });
  assert.deepEqual(lines, [['unsealed', 1]]);
});
