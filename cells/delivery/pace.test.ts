import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pace } from './pace.ts';

const limits = { resendEntriesMin: 100, resendEntriesMax: 800, paceLateMs: 50 };

function looks(pace: Pace, ...acknowledgedMs: readonly number[]): number[] {
  return acknowledgedMs.map((ms) => {
    pace.acknowledged(ms);
    pace.look(0);
    return pace.entries;
  });
}

test('a backlog begins slowly and goes faster while acknowledgements come as they do at rest', () => {
  const pace = new Pace(limits);
  assert.deepEqual(looks(pace, 120, 130, 150, 120, 120), [100, 200, 400, 800, 800]);
});

test('it gives way when they come late, never below the least, and comes back', () => {
  const pace = new Pace(limits);
  assert.deepEqual(looks(pace, 100, 100, 100, 100, 251, 400, 900, 900, 250), [100, 200, 400, 800, 400, 200, 100, 100, 200]);
});

test('a long way is not taken for a busy cell', () => {
  const pace = new Pace(limits);
  assert.deepEqual(looks(pace, 700, 800, 1_400), [100, 200, 400]);
});

test('what is not acknowledged at all makes it give way too', () => {
  const pace = new Pace(limits);
  looks(pace, 100, 100, 100);
  assert.equal(pace.entries, 400);
  pace.look(300);
  assert.equal(pace.entries, 200);
});

test('the next backlog begins slowly again', () => {
  const pace = new Pace(limits);
  looks(pace, 100, 100);
  pace.rest();
  assert.deepEqual(looks(pace, 500, 500), [100, 200]);
});
