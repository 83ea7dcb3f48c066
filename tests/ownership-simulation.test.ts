// Owners change in the simulated fabric while it breaks and heals: nothing is lost, doubled, reordered or invented, and all
// comes to rest.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { handovers, handoversAndTakeovers, takeovers } from './simulation/owner-changes.ts';
import { World } from './simulation/world.ts';

const seeds = 6;

// Seeds that showed something wrong when they were first run; each bug has a test beside the code as well, where one fits.
const found: readonly (readonly [seed: number, what: string])[] = [
  [26, 'a request to open leaves no intake that nobody may decide'],
  [40, 'what lies between two epochs is not shown twice'],
  [28, 'what was given up and then refused is refused, not lost'],
  [49, 'marks above what was given up go back to where it began'],
  [61, 'a witness whose epoch was given up is believed no more than an owner in force'],
  [70, 'an epoch that was given up whole hides nothing of what stands in its place'],
  [72, 'nor does it at the device that was told of it'],
  [77, 'while owners change, a history is not called rewritten before somebody in force could be asked'],
  [119, 'who is given a log back gives no seq before it holds what was given meanwhile'],
  [129, 'what was given up and is offered again keeps its place before what was sent after it'],
  [164, 'an entry that moved to another place by a takeover is not called doubled'],
  [169, 'what is offered again and was decided before is found there'],
  [189, 'a frame behind the page that gave its place up is no fork'],
  [299, 'of two cells that each take the other for the owner, one learns better'],
  [218, 'a mark of an epoch that is heard of later is not cut where that epoch begins'],
  [20255, 'nor is it in a cell that owns the log in the end'],
  [20282, 'nor where several handovers lie before it'],
  [20315, 'nor are both kinds of it'],
  [21027, 'what was refused stays refused in the cell where its log was born, and which gave it away'],
  [21719, 'nothing overtakes what was given back behind an append that is seen decided'],
  [22015, 'a former owner that left and came back tells no state that it does not hold whole'],
  [22634, 'a node does not take the first entry it hears of an epoch for where that began'],
  [22352, 'nor does it where a page told its cell'],
  [23512, 'nor where the push that told it came late'],
  [23654, 'nor does a client, of an entry it only holds back'],
  [22335, 'what was shown before a run begins anew is not taken for what comes twice'],
  [22852, 'nor is what was shown of a membership before'],
  [23713, 'a page that is read for somebody tells where an epoch began before what it gave'],
  [24791, 'while a page is to tell where an epoch began, an entry of it in the place of another does not'],
  [23315, 'who has just joined is not told that the log begins anew'],
  [26118, 'an epoch begins where a page says, not where lists parted'],
  [25073, 'a cell that learns of a newer owner does not go on settling what it was given before'],
  [26177, 'a refusal of a number that an append had before refuses nothing'],
  [23138, 'what an owner refused is not taken by the one after it, whose own people it is of'],
  [22801, 'a page need not have what was accepted in a place that was given up'],
  [21544, 'the largest frame fits an inbound stream'],
  [21418, 'an owner that signed before the home cell heard of a newer epoch is asked again'],
  [22797, 'a mark that waits while its user is out of the log goes when they are back'],
  [20085, 'a mark that came before its entries is not left above where a takeover began'],
  [32451, 'a frame of what was given up brings no cell what stands in its place and is not for it'],
  [33177, 'an owner that slept through an epoch decides nothing sent in it before it holds what was given there'],
  [33445, 'nor where it is the one that the log was given back to'],
];

for (const [seed, what] of found)
  test(`seed ${seed} of handovers and takeovers: ${what}`, async () => {
    const { wrong } = await new World({ seed, owners: handoversAndTakeovers }).run();
    assert.deepEqual(wrong, [], wrong.join('\n\n'));
  });

for (const [name, owners] of Object.entries({ handovers, takeovers })) {
  for (const restores of [undefined, true]) {
    test(`${seeds} seeds of ${name}${restores ? ' and restores' : ''}`, async () => {
      const wrong: string[] = [];
      for (let seed = 1; seed <= seeds; seed++) {
        const verdict = await new World({ seed, owners, restores }).run();
        if (verdict.wrong.length > 0) wrong.push(`seed ${seed}:\n${verdict.wrong.join('\n')}`);
      }
      assert.deepEqual(wrong, [], wrong.join('\n\n'));
    });
  }
}
