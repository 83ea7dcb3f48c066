import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failpoints } from './failpoints.ts';

test('a point acts once, at the pass it was armed for; a harmless one ends nothing', () => {
  const died: string[] = [];
  const points = new Failpoints(['after-commit-before-tell:2', 'drop-push'], (name) => died.push(name));
  const reached = [1, 2, 3].map(() => points.reach('after-commit-before-tell'));
  assert.deepEqual([reached, died], [[false, true, false], ['after-commit-before-tell']]);
  assert.deepEqual([points.reach('drop-push'), points.reach('drop-push'), died.length], [true, false, 1]);
  assert.equal(points.reach('signup-after-reserve'), false);
});

test('a guard is off for good when it is named, and on otherwise', () => {
  const points = new Failpoints(['no-dedupe'], assert.fail);
  assert.deepEqual([points.isOff('dedupe'), points.isOff('dedupe'), points.isOff('pull'), points.any], [true, true, false, true]);
  assert.equal(new Failpoints([], assert.fail).any, false);
});

test('what is misspelled is refused, and the message names all there are', () => {
  for (const text of ['no-such', 'dedupe', 'drop-push:0', 'drop-push:x', ''])
    assert.throws(() => new Failpoints([text], assert.fail), /no failpoint .*drop-push.*no-dedupe/);
});
