// Every guard of the delivery core, switched off: the judge of the simulation has to notice.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mutations } from './simulation/mutations.ts';
import { simulate } from './simulation/world.ts';

const seedsMax = 200;

for (const [guard, mutate] of Object.entries(mutations)) {
  test(`without its guard it is caught: ${guard}`, async (t) => {
    for (let seed = 1; seed <= seedsMax; seed++) {
      const { wrong } = await simulate(seed, mutate());
      if (wrong.length === 0) continue;
      t.diagnostic(`seed ${seed}: ${wrong[0]?.split('\n')[0]}`);
      return;
    }
    assert.fail(`nothing was noticed in ${seedsMax} seeds`);
  });
}
