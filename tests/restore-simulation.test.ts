// A cell of the simulated fabric is restored from a backup while everything else breaks and heals (R24, R25): it raises its
// generation, takes its tails back, gives no seq twice in one epoch, offers orphans again and tells every client. The judge
// forgives only what docs/reliability.md does not promise.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Fault, restoreKind } from './simulation/fault.ts';
import { handovers } from './simulation/owner-changes.ts';
import { World, type WorldOptions } from './simulation/world.ts';

const seeds = 150;

// Seeds that showed something wrong when they were first run; each of these restores is the only fault of its run.
const found: readonly (readonly [seed: number, what: string])[] = [
  [32, 'a conversation that others know is not opened a second time'],
  [57, 'a client that was away does not guess where an epoch began'],
  [78, 'what a restored home does not know yet is not refused for good'],
  [156, 'a replica that left and came back in what is given up begins where it did before'],
  [184, 'a cell whose first member came after the backup is asked for its tail'],
  [234, 'what a client holds back of an epoch that is over does not come after it'],
  [752, 'a cell whose first member joined in what was lost hears that the group goes on without it'],
  [31324, 'so does a cell that had left before the backup and was there once more'],
  [31215, 'what waits elsewhere is decided behind what the restore gave up, which is offered again'],
];

for (const [seed, what] of found) {
  test(`seed ${seed} of restores alone: ${what}`, async () => {
    const faults = new World({ seed, restores: true }).faults.filter(({ kind }) => kind === 'restore-cell');
    const { wrong } = await new World({ seed, faults }).run();
    assert.ok(faults.length > 0);
    assert.deepEqual(wrong, [], wrong.join('\n\n'));
  });
}

const amongOthers: readonly (readonly [seed: number, what: string])[] = [
  [151, 'what is sent to a log that a restore took whole is refused, not kept for ever'],
  [156, 'how far an epoch went that is over does not keep a replica behind'],
  [276, 'a conversation that is opened anew after a restore is another one to the client'],
  [306, 'marks in a log that a restore took whole are let go'],
  [3193, 'so are those that a cell which kept it has for one that never had it'],
  [3198, 'whichever cell that is'],
  [45222, 'and though it keeps some of it, where the user joined in what it never had'],
  [345, 'who left after the backup is in the log again, to its devices too'],
  [391, 'an append that came many times in one batch is answered once'],
  [628, 'what was pending when its writer left is asked for until it is decided, though its writer is back'],
  [50395, 'so it is where a restored home tells only that the writer is in the log'],
  [50604, 'a word of another node that came before the join it follows is told (no cell of this run is restored)'],
  [693, 'what others hold of a log that a restore took whole is over: its writers may be refused'],
  [1118, 'a tail goes on in an epoch that its owner began after an earlier restore'],
  [2360, 'what an older backup holds is not what the store held when it went back to that'],
  [3060, 'a seq of a conversation that a restore took whole says nothing of the one opened anew'],
  [3787, 'what was refused of an earlier life of a store is decided anew in this one'],
  [5901, 'so it is where its number is the same in both'],
  [1795, 'what was known of an epoch is forgotten with it, though its list comes before its entries'],
  [31939, 'what was answered and then lost, before anybody could be told so, is no cause'],
  [31632, 'what was refused after the backup, in which it waits, may be accepted'],
  [33355, 'behind what was sent after it'],
  [34376, 'a new epoch of a log that nobody watches any more while it is read is no trouble'],
  [44130, 'what was heard of a log before it was here, and a restore took, keeps nobody behind in it'],
  [33874, 'nothing is at rest before a cell restored at the very end has what others hold'],
];

for (const [seed, what] of amongOthers) {
  test(`seed ${seed} of restores among all faults: ${what}`, async () => {
    const { wrong } = await new World({ seed, restores: true }).run();
    assert.deepEqual(wrong, [], wrong.join('\n\n'));
  });
}

test('restores are drawn unless somebody wants none, or owners change; a seed that has them has the same ones where more are asked for', () => {
  const restoresOf = (of: Omit<WorldOptions, 'seed'>): Map<number, readonly Fault[]> => {
    const drawn = Array.from({ length: seeds }, (_, i): [number, readonly Fault[]] => {
      const { faults } = new World({ seed: i + 1, ...of });
      return [i + 1, faults.filter(({ kind }) => kind === restoreKind)];
    });
    return new Map(drawn.filter(([, faults]) => faults.length > 0));
  };
  const [few, more] = [restoresOf({}), restoresOf({ restores: true })];
  assert.ok(few.size > 0 && few.size < more.size);
  for (const [seed, faults] of few) assert.deepEqual(more.get(seed), faults);
  assert.equal(restoresOf({ restores: false }).size, 0);
  assert.equal(restoresOf({ owners: handovers }).size, 0);
  assert.deepEqual(restoresOf({ owners: handovers, restores: true }), more);
});

test(`seeds 1 to ${seeds} in which a cell is restored: what any other cell holds comes back, and all comes to rest`, async (t) => {
  let [restored, lost] = [0, 0];
  for (let seed = 1; seed <= seeds; seed++) {
    const world = new World({ seed, restores: true });
    if (!world.faults.some(({ kind }) => kind === 'restore-cell')) continue;
    const { wrong } = await world.run();
    restored += world.restores.cells.size;
    lost += world.restores.lost.size;
    assert.deepEqual(wrong, [], `seed ${seed}:\n${wrong.join('\n\n')}`);
  }
  t.diagnostic(`${restored} cells restored, ${lost} entries that nobody else held`);
  // Where nothing is lost, nothing had to be forgiven; where nothing is restored, nothing was shown.
  assert.ok(restored > 20 && lost > 20);
});
