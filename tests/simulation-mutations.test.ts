// Every guard, switched off: the checker of the simulation has to notice within the number of seeds its row names.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { tryMutation } from './simulation/mutation-table.ts';
import { mutations } from './simulation/mutations.ts';

/** Rows of docs/mutations.md: the guard, and the seed that noticed when the table was written. */
const rows = readFileSync(new URL('../docs/mutations.md', import.meta.url), 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| '))
  .map((line) => line.slice(2, -2).split(' | '))
  .slice(1);
const noticedIn = new Map(rows.map(([guard = '', , seed]) => [guard, Number(seed)]));

for (const guard of Object.keys(mutations)) {
  test(`without its guard it is noticed: ${guard}`, async (t) => {
    const { seed, by } = await tryMutation(guard, noticedIn.get(guard));
    assert.ok(seed, `nothing was noticed in ${mutations[guard]?.seedsMax} seeds`);
    t.diagnostic(`seed ${seed}: ${by}`);
  });
}

test('the table of mutations names each of them, and all were noticed', () => {
  assert.deepEqual([...noticedIn.keys()], Object.keys(mutations));
  assert.ok([...noticedIn.values()].every((seed) => seed > 0));
  assert.ok(noticedIn.size >= 20);
});
