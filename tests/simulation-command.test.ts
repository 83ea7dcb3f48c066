// `npm run simulate` as its user meets it: what it prints, and how it ends.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { handoversAndTakeovers } from './simulation/owner-changes.ts';
import { World } from './simulation/world.ts';

const main = fileURLToPath(new URL('./simulation/main.ts', import.meta.url));

const simulate = (...args: string[]): Promise<{ code: unknown; said: string }> =>
  new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], { timeout: 120_000, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) =>
      resolve({ code: error?.code ?? 0, said: stdout + stderr }),
    );
  });

test('a guard that is off is told with the few faults it needs', async () => {
  const { code, said } = await simulate('--seed', '5', '--mutation', 'client: what it sends again');
  assert.equal(code, 1, said);
  const [, all, needed] = /^(\d+) faults, of which it needs (\d+)$/m.exec(said) ?? [];
  assert.ok(Number(needed) < Number(all), said.slice(0, 500));
  assert.match(said, /the checker saw:\n/);
  assert.match(said, /sends m\d/);
});

test('many seeds run in several processes', async () => {
  const { code, said } = await simulate('--seeds', '1..30', '--jobs', '2');
  assert.equal(code, 0, said);
  assert.match(said, /^30 seeds, [\s\S]*nothing wrong was found/m);
});

test('a seed whose owners change is named like any other', async () => {
  const traceOf = async (...args: string[]): Promise<string | undefined> => {
    const { code, said } = await simulate('--seed', '26', ...args);
    assert.equal(code, 0, said);
    return /trace ([0-9a-f]{16})/.exec(said)?.[1];
  };
  const { hash } = await new World({ seed: 26, owners: handoversAndTakeovers }).run();
  assert.equal(await traceOf('--owners'), hash);
  assert.notEqual(await traceOf(), hash);
});

test('an order that means nothing is answered with what would', async () => {
  for (const args of [['--mutation', 'x'], ['--seeds', '1..2', '--mutation', 'client'], ['--jobs', '0'], ['--what']]) {
    const { code, said } = await simulate(...args);
    assert.equal(code, 2, said);
    assert.match(said, /npm run simulate/);
  }
});

test('whoever asks for help gets the usage, and no error', async () => {
  const { code, said } = await simulate('--help');
  assert.equal(code, 0, said);
  assert.match(said, /^npm run simulate -- /);
});
