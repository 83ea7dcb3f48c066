// Seeds that showed something wrong when they were first run. A seed's story changes with the code, so each bug has a test of
// its own beside the code as well, where one fits.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { handoversAndTakeovers } from './simulation/owner-changes.ts';
import { simulate, type WorldOptions } from './simulation/world.ts';

const restores = { restores: true };
const owners = { owners: handoversAndTakeovers };

const found: readonly (readonly [seed: number, what: string, more?: Omit<WorldOptions, 'seed'>])[] = [
  [165, 'a shared transaction whose answer was lost is told to the sockets all the same'],
  [187, 'a commit whose answer was lost is told to the sockets all the same'],
  [202, 'so it is when the database was away meanwhile'],
  [219, 'of two marks that cross on their way to the table the further one waits'],
  [295, 'an old removal that comes late does not end a newer membership'],
  [336, 'what was accepted while its home cell was out of the log is not refused afterwards'],
  [345, 'a membership that a page shows begun is not ended by an older removal'],
  [389, 'marks for a cell that left the log are let go'],
  [496, 'a new entry in a frame behind an old one is not acknowledged unseen'],
  [1004, 'a mark that is stored at home waits for the other cells as well, whatever fails'],
  [1007, 'an append that was refused while it had to come again does not hold up those behind it'],
  [31371, 'what was pending when its user was out of the log is asked for, also where that is heard behind what came after'],
  [805927, 'what a restored owner gave up ends, in a cell that had left by then, where its people left'],
  [804145, 'a cell that holds only what a restored owner gave up reads the log from its first entry', restores],
  [1_000_018, 'what a restored owner begins comes after what it had given to a cell that never heard of it', { ...restores, ...owners }],
  [2_100_308, 'what is handed to a restored cell that lacks it still is asked for again', { ...restores, ...owners }],
  [2_410_006, 'a cell restored to before a takeover gives up what that one gave up, and no more', { ...restores, ...owners }],
  [3_200_427, 'a cell restored to before an earlier restore gives up what that one took, and no more', restores],
  [804379, 'what is known of a new owner’s epoch stays known while the one before comes in', owners],
];

for (const [seed, what, more] of found) {
  test(`seed ${seed}: ${what}`, async () => {
    const { wrong } = await simulate({ seed, ...more });
    assert.deepEqual(wrong, [], wrong.join('\n'));
  });
}
