// Owners change in the simulated fabric while it breaks and heals: nothing is lost, doubled, reordered or invented, and all
// comes to rest.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { handovers, type OwnerScenario, takeovers } from './simulation/owner-changes.ts';
import { World } from './simulation/world.ts';

const seeds = 6;

const both: OwnerScenario = (world, of) => {
  handovers(world, of);
  takeovers(world, of);
};

// A request to open left intake that nobody may decide; what lay between two epochs was shown twice.
for (const seed of [26, 40])
  test(`seed ${seed} of handovers and takeovers`, async () => {
    const { wrong } = await new World({ seed, owners: both }).run();
    assert.deepEqual(wrong, [], wrong.join('\n\n'));
  });

for (const [name, owners] of Object.entries({ handovers, takeovers })) {
  test(`${seeds} seeds of ${name}`, async () => {
    const wrong: string[] = [];
    for (let seed = 1; seed <= seeds; seed++) {
      const verdict = await new World({ seed, owners }).run();
      if (verdict.wrong.length > 0) wrong.push(`seed ${seed}:\n${verdict.wrong.join('\n')}`);
    }
    assert.deepEqual(wrong, [], wrong.join('\n\n'));
  });
}
