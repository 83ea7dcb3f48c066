// `npm run check`: everything that can be known without running Weft. All checks run, whatever the others say.
import { contractIsCompatible, generatedIsCurrent } from './contract.ts';
import { type Result, run } from './run.ts';

interface Check {
  readonly name: string;
  readonly look: () => Promise<Result & { readonly skipped?: string }>;
}

const rooms = ['bin', 'tools', 'proto', 'runtime', 'cells', 'router', 'control-plane', 'local', 'clients', 'tests', 'bench'];

const checks: readonly Check[] = [
  { name: 'types', look: () => run('tsc', ['-p', '.']) },
  { name: 'walls', look: () => run('depcruise', ['--config', '.dependency-cruiser.mjs', '--no-progress', ...rooms]) },
  { name: 'format and lint', look: () => run('biome', ['ci', '--error-on-warnings', '--colors=off', '--max-diagnostics=100']) },
  { name: 'unused', look: () => run('knip', ['--no-progress']) },
  { name: 'tidy', look: () => run(process.execPath, ['tools/tidy.ts']) },
  { name: 'proto lint', look: () => run('buf', ['lint']) },
  { name: 'proto generated', look: generatedIsCurrent },
  { name: 'proto breaking', look: contractIsCompatible },
  { name: 'lockfile', look: () => run(process.execPath, ['tools/complete-lock.mjs', '--check']) },
];

/** Two at a time: as many as the smallest machine has cores. */
const checksAtOnce = 2;

async function look({ name, look }: Check): Promise<boolean> {
  const startedMs = performance.now();
  const { ok, output, skipped } = await look();
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  console.log(`${ok ? 'ok  ' : 'FAIL'}  ${name.padEnd(16)} ${skipped === undefined ? `${seconds} s` : `skipped: ${skipped}`}`);
  if (!ok) console.log(output.trimEnd().replaceAll(/^/gm, '      '));
  return ok;
}

const waiting = [...checks];
const failed: string[] = [];

async function lookUntilNoneIsLeft(): Promise<void> {
  for (let check = waiting.shift(); check !== undefined; check = waiting.shift()) {
    if (!(await look(check))) failed.push(check.name);
  }
}

await Promise.all(Array.from({ length: checksAtOnce }, lookUntilNoneIsLeft));
console.log(failed.length === 0 ? 'check: all ok' : `check: ${failed.length} of ${checks.length} failed: ${failed.join(', ')}`);
if (failed.length > 0) process.exitCode = 1;
