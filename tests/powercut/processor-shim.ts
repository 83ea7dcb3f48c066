// User-Mode Linux of Debian 12 does not start a program on a processor that has more state than it knows; xstate.c makes up for it.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheDirDefault } from '@weft/local/defaults.ts';

/** Whether this processor needs it: one with tiles has 11 KB of state. */
export const needsShim = (): boolean => existsSync('/proc/cpuinfo') && /\bamx_tile\b/.test(readFileSync('/proc/cpuinfo', 'utf8'));

/** The compiled library; undefined without a working C compiler. */
export function processorShim(): string | undefined {
  const place = join(cacheDirDefault(), 'compiled', 'powercut-xstate.so');
  mkdirSync(dirname(place), { recursive: true });
  try {
    execFileSync('cc', ['-O2', '-shared', '-fPIC', '-o', place, fileURLToPath(new URL('xstate.c', import.meta.url))], { stdio: 'ignore' });
    return place;
  } catch {
    return undefined;
  }
}
