// A late cell counts when it is late again and again; everything else counts at once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { untilSure } from './repeats.ts';
import type { Found, Trial } from './result.ts';

const late = (lateCell: string): Found => ({ invariant: 'I12', text: `${lateCell}: late`, lateCell });
const lost: Found = { invariant: 'I1', text: 'lost' };

/** Trials with these violations, one after the other. */
function trials(...all: readonly (readonly Found[])[]) {
  let made = 0;
  const make = async (): Promise<Trial> => {
    const violations = all[made++] ?? [];
    return { violations, notes: [], result: violations.length > 0 ? 'violated' : 'held' } as unknown as Trial;
  };
  return { make, made: () => made };
}

test('a trial without a violation, or with one that is not latency, is made once', async () => {
  for (const violations of [[], [lost], [lost, late('eu-1')]]) {
    const { make, made } = trials(violations);
    assert.deepEqual((await untilSure(make)).violations, violations);
    assert.equal(made(), 1);
  }
});

test('the same cell late three times in a row is a violation', async () => {
  const { make, made } = trials([late('eu-1'), late('eu-2')], [late('eu-1')], [late('eu-1')]);
  assert.equal((await untilSure(make)).result, 'violated');
  assert.equal(made(), 3);
});

test('another cell each time is none, and it is told', async () => {
  const { make, made } = trials([late('eu-1')], [late('eu-2')]);
  const { result, notes } = await untilSure(make);
  assert.equal(result, 'held');
  assert.equal(notes.length, 2);
  assert.equal(made(), 2);
});

test('what is lost in a trial that was made again counts', async () => {
  const { make } = trials([late('eu-1')], [lost]);
  assert.deepEqual((await untilSure(make)).violations, [lost]);
});
