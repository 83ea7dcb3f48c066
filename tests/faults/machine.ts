// What this machine can do: a fault that needs more is skipped, with the reason.
import { execFileSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { isRoot } from '@weft/local/defaults.ts';

export type Need = 'namespaces' | 'packet-filter' | 'pump' | 'loop-disk';

/** Why each need is not met; what is met is absent. */
export type Lacks = ReadonlyMap<Need, string>;

/** Looks at the machine, and tries what can be tried without a trace. */
export function lookAtMachine(): Lacks {
  const lacks = new Map<Need, string>();
  const say = (need: Need, reason: string | undefined): void => {
    if (reason !== undefined && !lacks.has(need)) lacks.set(need, reason);
  };
  const noRoot = isRoot() ? undefined : 'needs root';
  const noNamespaces =
    noRoot ?? lackOf('ip', 'iproute2') ?? lackOf('nsenter', 'util-linux') ?? cannot('namespaces', 'unshare', ['--net', 'true']);
  say('namespaces', noNamespaces);
  say('packet-filter', noNamespaces ?? lackOf('nft', 'nftables') ?? cannot('nftables', 'unshare', ['--net', 'nft', 'add table inet weft']));
  say('pump', noNamespaces ?? lackOf('python3', 'python3') ?? noTun());
  say('loop-disk', noRoot ?? lackOf('mkfs.ext4', 'e2fsprogs') ?? lackOf('mount', 'mount') ?? noLoop());
  return lacks;
}

/** The first reason why these needs are not all met. */
export const reasonAgainst = (lacks: Lacks, needs: readonly Need[]): string | undefined =>
  needs.map((need) => lacks.get(need)).find((reason) => reason !== undefined);

function lackOf(program: string, debianPackage: string): string | undefined {
  try {
    execFileSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' });
    return undefined;
  } catch {
    return `${program} is missing (Debian: apt-get install ${debianPackage})`;
  }
}

function cannot(what: string, program: string, args: readonly string[]): string | undefined {
  try {
    execFileSync(program, [...args], { stdio: 'ignore', timeout: tryMsMax });
    return undefined;
  } catch {
    return `this kernel or container gives no ${what}`;
  }
}

function noTun(): string | undefined {
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
    return undefined;
  } catch {
    return 'there is no /dev/net/tun';
  }
}

function noLoop(): string | undefined {
  try {
    accessSync('/dev/loop-control', constants.R_OK | constants.W_OK);
    return undefined;
  } catch {
    return 'there is no /dev/loop-control';
  }
}

const tryMsMax = 5_000;
