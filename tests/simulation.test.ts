// The delivery core under virtual time: the code production runs, over ports in memory that fail as the seed says.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { simulate, type Verdict, World } from './simulation/world.ts';

const firstSeed = 1;
const seeds = 200;

const describe = ({ seed, wrong, restMs, hash }: Verdict): string =>
  `seed ${seed} (trace ${hash}, rest after ${restMs} ms):\n${wrong.join('\n')}`;

test('one seed gives one run', async () => {
  const [first, second, other] = [await simulate(firstSeed), await simulate(firstSeed), await simulate(firstSeed + 1)];
  assert.equal(first.hash, second.hash);
  assert.notEqual(first.hash, other.hash);
});

test('the trace of a seed can be kept and read', async () => {
  const world = new World(firstSeed);
  const trace = world.keepTrace();
  const { hash } = await world.run(firstSeed);
  assert.equal(hash, (await simulate(firstSeed)).hash, 'keeping the trace changes nothing');
  assert.ok(trace.some((line) => line.includes('commit')));
});

test(`${seeds} seeds: nothing is lost, doubled, reordered or invented, and all comes to rest`, async (t) => {
  const sum = { events: 0, sent: 0, accepted: 0, pending: 0, refused: 0, shown: 0 };
  const wrong: string[] = [];
  let restMs = 0;
  for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
    const verdict = await simulate(seed);
    for (const key of Object.keys(sum) as (keyof typeof sum)[]) sum[key] += verdict.counts[key];
    restMs = Math.max(restMs, verdict.restMs);
    if (verdict.wrong.length > 0) wrong.push(describe(verdict));
  }
  t.diagnostic(`${JSON.stringify(sum)}, at rest at most ${restMs} virtual ms after the healing`);
  assert.deepEqual(wrong, [], wrong.join('\n\n'));
  // An empty list of violations means little where little happened.
  assert.ok(sum.accepted > 10_000 && sum.pending > 5_000 && sum.refused > 500 && sum.shown > 50_000, JSON.stringify(sum));
});
