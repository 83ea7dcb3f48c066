// Seeds that showed something wrong when they were first run. A seed's story changes with the code, so each bug has a test of
// its own beside the code as well, where one fits.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { handovers, handoversAndTakeovers, takeovers } from './simulation/owner-changes.ts';
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
  [3_100_393, 'a device that was not told of an epoch sees that the next one follows another than it holds', owners],
  [3_421_337, 'a device that joins again, at another place, what a restore took whole begins anew', restores],
  [3_520_015, 'an epoch that follows what a lost life gave is not taken for what goes on from it', restores],
  [5_200_421, 'what an ended connection left in a lane lets nothing overtake what comes again', restores],
  [6_000_220, 'a cell that was handed a log it never heard of takes it from who keeps it', { ...restores, ...owners }],
  [6_000_353, 'a tail leads on from an epoch that gave nothing', { ...restores, ...owners }],
  [6_000_496, 'a cell that is taken for the owner by who never heard of a restore says which epochs there are', { ...restores, ...owners }],
  [7_000_652, 'a device that is in a log again believes what follows the epoch it had read on in', { ...restores, ...owners }],
  [8_000_931, 'a page with nothing for a cell ends what it had heard of', { ...restores, ...owners }],
  [7_301_276, 'who owned a log that nobody there was in is given back all of that', { ...restores, owners: handovers }],
  [8_300_236, 'who handed a log over brings it to the next owner, wherever it was born', { ...restores, owners: handovers }],
  [8_100_407, 'a log that comes after the directory’s word is asked for where that points', { ...restores, owners: takeovers }],
  [8_501_537, 'what came in between in a self log moves nothing', owners],
  [4_002_738, 'a device that comes back at another node is not taken for older than it was before'],
  [9_300_507, 'a handover that a lost life sent makes no second owner', { ...restores, owners: handovers }],
  [9_300_512, 'where an epoch begins is read again if that failed', { ...restores, owners: handovers }],
  [9_302_558, 'an epoch that a lost life of this cell began is not taken for one of the present', { ...restores, owners: handovers }],
  [9_003_833, 'a cell that is asked as the owner takes what made it that from who asks', { ...restores, ...owners }],
  [9_501_493, 'an entry of an epoch that a device was not told of does not tell where that begins', owners],
  [9_503_116, 'a device that has just joined goes back no further than that', owners],
  [9_503_971, 'what is in memory and does not stand goes', owners],
  [10_202_306, 'but to where it was before, if the leaving in between is undone', restores],
  [9_001_007, 'what a page corrects is seen to be decided', { ...restores, ...owners }],
  [10_101_254, 'who keeps more than a restored owner that took the log over is told', { ...restores, owners: takeovers }],
  [9_302_064, 'an owner that forgot that it is one keeps all of its log', { ...restores, owners: handovers }],
  [12_400_788, 'what is stored below in the same transaction hides nothing that came since'],
  [12_201_538, 'a joining that is given up with all it gave is told anew', restores],
  [14_005_102, 'a next owner gets what a restored owner before it gave from whoever handed the log over', { ...restores, ...owners }],
  [14_005_192, 'what an owner before refused is not taken behind what was sent after it', { ...restores, owners: takeovers }],
  [15_000_396, 'what was refused by an answer that never came is not taken behind what was sent after it'],
  [7_300_501, 'nor where restores and handovers come in between', { ...restores, owners: handovers }],
  [19_000_197, 'a tail leads through an older epoch to a newer one', { ...restores, owners: takeovers }],
  [20_002_157, 'a device that started since its user left a log asks for what is pending there'],
  [20_000_567, 'what two restored cells handed back and forth is older than what they begin', { ...restores, owners: handovers }],
  [17_002_142, 'a page of an epoch that a device was not told of hides nothing of what that gives up', owners],
  [22_000_993, 'so is who was told of it twice by takeovers', { owners: takeovers }],
  [17_003_138, 'who was told twice of a membership that was given up is told a third time when it comes back', restores],
  [
    18_005_169,
    'what a restored owner’s people wrote, and only a cell had that a takeover did not reach, is lost',
    { ...restores, ...owners },
  ],
  [14_002_740, 'a membership that is given up whole ends, and the next one begins anew', owners],
  [16_000_090, 'a restored owner is given what a run holds that broke off since', { ...restores, owners: handovers }],
  [14_000_396, 'a restored cell lacks nothing of a log that it took over before its owner heard', { ...restores, ...owners }],
  [15_000_285, 'nor of one that another cell took over', { ...restores, ...owners }],
  [13_000_229, 'a new owner that has not heard of the log yet is asked again', owners],
  [804379, 'what is known of a new owner’s epoch stays known while the one before comes in', owners],
];

for (const [seed, what, more] of found) {
  test(`seed ${seed}: ${what}`, async () => {
    const { wrong } = await simulate({ seed, ...more });
    assert.deepEqual(wrong, [], wrong.join('\n'));
  });
}
