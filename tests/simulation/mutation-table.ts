// Each guard switched off: after how many seeds somebody notices. Written as a table into docs/.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { mutations } from './mutations.ts';
import { runSeeds } from './run-seeds.ts';

const table = fileURLToPath(new URL('../../docs/mutations.md', import.meta.url));

export interface Caught {
  readonly guard: string;
  readonly seed: number | undefined;
  readonly by: string;
}

/** Runs seeds with this guard off until the checker notices, within the stated number. `likely`: the seed that noticed last time. */
export async function tryMutation(guard: string, likely?: number): Promise<Caught> {
  const { mutate, seedsMax, owners, restores = false } = mutations[guard] as (typeof mutations)[string];
  const how = { mutate, owners, restores };
  const again = likely === undefined ? undefined : (await runSeeds({ from: likely, to: likely, ...how })).violation;
  const violation = again ?? (await runSeeds({ from: 1, to: seedsMax, ...how })).violation;
  return { guard, seed: violation?.seed, by: violation?.wrong[0]?.split('\n')[0]?.replace(/\d{9,}/g, '…') ?? '' };
}

/** False when a guard's absence is not noticed. */
export async function writeMutations(say: (line: string) => void): Promise<boolean> {
  const rows: string[] = [];
  let all = true;
  for (const [guard, { breaks, seedsMax }] of Object.entries(mutations)) {
    const { seed, by } = await tryMutation(guard);
    all &&= seed !== undefined;
    say(`${seed === undefined ? 'NOT CAUGHT' : `seed ${seed}`.padEnd(10)} ${guard}: ${by}`);
    rows.push(`| ${guard} | ${breaks} | ${seed ?? 'not caught'} | ${seedsMax} | ${by.replaceAll('|', '/')} |`);
  }
  writeFileSync(table, `${head}${rows.join('\n')}\n`);
  return all;
}

const head = `# Mutations

Written by \`npm run simulate -- --mutations\`. Each row is a guard that is switched off from outside, the rule it stands for, the first seed in which the checker notices, and the number of seeds within which a test
expects that (\`tests/simulation-mutations.test.ts\`). A guard whose absence nobody notices does not count as tested.

| guard switched off | rule | noticed in seed | within | what the checker said |
|---|---|---|---|---|
`;
