// What a power cut needs of the machine.
import { execFileSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { isRoot } from '@weft/local/defaults.ts';
import { needsShim, processorShim } from './processor-shim.ts';

const programs = [
  ['linux.uml', 'user-mode-linux'],
  ['ip', 'iproute2'],
  ['mkfs.ext4', 'e2fsprogs'],
  ['setpriv', 'util-linux'],
] as const;

/** Every reason why this machine cannot do it, each with the way out; empty when it can. */
export function powercutLacks(): string[] {
  const lacks: string[] = [];
  if (!isRoot()) lacks.push('it needs root: it makes a network device and runs PostgreSQL as another user');
  const missing = programs.filter(([program]) => !has(program));
  if (missing.length > 0)
    lacks.push(
      `${missing.map(([program]) => program).join(', ')} missing: apt-get install --no-install-recommends ${missing.map(([, name]) => name).join(' ')} (Debian), or npm run powercut -- --install`,
    );
  if (!can('/dev/net/tun')) lacks.push('there is no /dev/net/tun');
  if (needsShim() && processorShim() === undefined)
    lacks.push('this processor needs a shim for User-Mode Linux, and there is no working C compiler: apt-get install gcc libc6-dev');
  return lacks;
}

/** The Debian packages; throws when they could not be installed. */
export function installPackages(): void {
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', DEBIAN_FRONTEND: 'noninteractive' };
  const apt = (...args: readonly string[]): void => void execFileSync('apt-get', [...args], { stdio: 'inherit', env });
  apt('update', '-qq');
  apt('install', '-y', '-qq', '--no-install-recommends', ...programs.map(([, name]) => name), ...(needsShim() ? ['gcc', 'libc6-dev'] : []));
}

function has(program: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function can(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
