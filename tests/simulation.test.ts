// The whole fabric under virtual time: the code production runs, over ports in memory that fail as the seed says.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { restoreKind } from './simulation/fault.ts';
import { forbidRealWorld, RealWorldTouched } from './simulation/real-world.ts';
import { runSeeds } from './simulation/run-seeds.ts';
import { inMacrotask, SimulatedTime } from './simulation/simulated-time.ts';
import { simulate, World } from './simulation/world.ts';

/** As many as there is time for. */
const seeds = 2_000;
const secondsMax = 120;
const main = fileURLToPath(new URL('./simulation/main.ts', import.meta.url));

test('one seed gives one run, whatever ran before it', async () => {
  const first = await simulate({ seed: 1 });
  const other = await simulate({ seed: 2 });
  const again = await simulate({ seed: 1 });
  assert.equal(first.hash, again.hash);
  assert.notEqual(first.hash, other.hash);
});

test('one seed gives one run in two processes', async () => {
  const run = promisify(execFile);
  const printed = await Promise.all([1, 2].map(() => run(process.execPath, [main, '--seed', '42'], { timeout: 60_000 })));
  const [one, two] = printed.map(({ stdout }) => /trace ([0-9a-f]{16})/.exec(stdout)?.[1]);
  assert.ok(one);
  assert.equal(one, two);
});

test('keeping the trace changes nothing', async () => {
  const world = new World({ seed: 1 });
  world.trace.keeps = true;
  const { hash } = await world.run();
  assert.equal(hash, (await simulate({ seed: 1 })).hash);
  assert.ok(world.trace.lines.some(({ text }) => text.startsWith('commit')));
});

test('whoever touches the real world inside of a simulation fails', async () => {
  // By its name in the module: an import keeps up with what stands there.
  const crypto = await import('node:crypto');
  await inMacrotask(() => {
    using _ = forbidRealWorld();
    const touches = [
      () => Date.now(),
      () => new Date(),
      () => Math.random(),
      () => setTimeout(() => undefined),
      () => setImmediate(() => undefined),
    ];
    for (const touch of [
      ...touches,
      () => performance.now(),
      () => crypto.randomBytes(1),
      () => AbortSignal.timeout(1),
      () => fetch('http://localhost'),
    ])
      assert.throws(touch, RealWorldTouched, String(touch));
    assert.equal(new Date(7).getTime(), 7);
  });
  assert.ok(Date.now() > 0 && crypto.randomBytes(1).length === 1, 'and it is there again afterwards');
});

test('virtual time does not run inside of a promise, where nothing would settle', async () => {
  const time = new SimulatedTime();
  await Promise.resolve();
  assert.throws(() => time.run(1_000), /macrotask/);
});

test(`seeds 1 to ${seeds}: nothing is lost, doubled, reordered or invented, and all comes to rest`, async (t) => {
  let restoring = 0;
  const { ran, sum, violation, seconds } = await runSeeds({
    from: 1,
    to: seeds,
    secondsMax,
    ran: ({ faults }) => {
      restoring += faults.some(({ kind }) => kind === restoreKind) ? 1 : 0;
    },
  });
  t.diagnostic(`${ran} seeds, ${restoring} of them with restores, in ${seconds.toFixed(1)} s: ${JSON.stringify(sum)}`);
  assert.equal(violation, undefined, violation?.wrong.join('\n'));
  // An empty list of violations means little where little happened.
  assert.ok(ran >= 20 && sum.accepted / ran > 10 && sum.pending / ran > 5 && sum.shown / ran > 50, JSON.stringify(sum));
  // Seed 15 is the first that restores a cell.
  assert.ok(restoring > 0);
});
