import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { noHashingOption, shareReport } from './hashing-share.ts';

const hashed = (options: string): string => {
  const script = "import { sha256 } from '@weft/runtime/sha256.ts'; console.log(sha256(Buffer.from('x')).toString('hex'));";
  return execFileSync(process.execPath, ['--input-type=module', '-e', script], {
    cwd: import.meta.dirname,
    env: { ...process.env, NODE_OPTIONS: options },
    encoding: 'utf8',
  }).trim();
};

test('a node without hashing gives one constant hash, and one with it does not', () => {
  assert.equal(hashed(noHashingOption), '01'.repeat(32));
  assert.equal(hashed(''), '2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881');
});

test('the share is that of the medians, and a smoke run has no bound', () => {
  const cpu = { hashing: [52, 51, 99, 50], without: [50, 49, 10, 51] };
  const { figures, notes } = shareReport(cpu, { wrong: [], isSmoke: false });
  const [withIt, without, share] = figures;
  assert.match(notes.join(), /differ by up to 410 %/);
  assert.deepEqual([withIt?.value, without?.value, share?.must], [51.5, 49.5, 3]);
  assert.ok(Math.abs((share?.value ?? 0) - 4.04) < 0.01);
  assert.equal(shareReport(cpu, { wrong: [], isSmoke: true }).figures[2]?.must, undefined);
});
