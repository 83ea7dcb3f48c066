// Every guard, switched off: the checker of the simulation has to notice within the number of seeds its row names.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { tryMutation } from './simulation/mutation-table.ts';
import { mutations } from './simulation/mutations.ts';

for (const guard of Object.keys(mutations)) {
  test(`without its guard it is noticed: ${guard}`, async (t) => {
    const { seed, by } = await tryMutation(guard);
    assert.ok(seed, `nothing was noticed in ${mutations[guard]?.seedsMax} seeds`);
    t.diagnostic(`seed ${seed}: ${by}`);
  });
}

test('the table of mutations names each of them', () => {
  const table = readFileSync(new URL('../docs/mutations.md', import.meta.url), 'utf8');
  const named = table
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) => line.split(' | ')[0]?.slice(2));
  assert.deepEqual(named.slice(1), Object.keys(mutations));
  assert.ok(Object.keys(mutations).length >= 20);
});
