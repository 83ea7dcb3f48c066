import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { hashingOption, shareReport } from './hashing-share.ts';

const hashed = (options: string): string => {
  const script = "import { sha256 } from '@weft/runtime/sha256.ts'; console.log(sha256(Buffer.from('x')).toString('hex'));";
  return execFileSync(process.execPath, ['--input-type=module', '-e', script], {
    cwd: import.meta.dirname,
    env: { ...process.env, NODE_OPTIONS: options },
    encoding: 'utf8',
  }).trim();
};

test('a node that never hashes gives one constant, and one that hashes often what one gives that hashes once', () => {
  assert.equal(hashed(hashingOption(0)), '01'.repeat(32));
  for (const times of [1, 9])
    assert.equal(hashed(hashingOption(times)), '2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881');
});

test('the share is told from what eight more hashes add to the medians, and a smoke run has no bound', () => {
  const cpu = { once: [52, 51, 99, 50], never: [50, 49, 10, 51], often: [60, 59, 59, 59] };
  const { figures, notes } = shareReport('direct', cpu, { wrong: [], isSmoke: false });
  const [once, never, often, beside, share] = figures;
  assert.match(notes.join(), /differ by up to 410 %/);
  assert.deepEqual([once?.value, never?.value, often?.value, beside?.must, share?.must], [51.5, 49.5, 59, undefined, 3]);
  assert.ok(Math.abs((beside?.value ?? 0) - 4.04) < 0.01);
  assert.ok(Math.abs((share?.value ?? 0) - (0.9375 / 50.5625) * 100) < 1e-9);
  assert.equal(shareReport('direct', cpu, { wrong: [], isSmoke: true }).figures[4]?.must, undefined);
});
