// What is looked at before anything starts, so that a newcomer is told what to do instead of seeing ten processes fail.
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, statfsSync, statSync, writeSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { limits } from './limits.ts';
import type { PlannedProcess } from './plan.ts';
import { portAnswers } from './ports.ts';
import { signalOne } from './processes.ts';
import { postgresUser } from './servers.ts';

/** Something the person at the keyboard can put right; the message says how. */
export class StartRefused extends Error {
  override readonly name = 'StartRefused';
}

export interface DataClaim extends Disposable {
  /** The one before us on this data was killed; what it had started may take a moment to end. */
  readonly afterCrash: boolean;
}

/** Makes the data folder ours until disposed. Throws StartRefused when another live fabric has it. */
export function claimData(dataDir: string): DataClaim {
  makeReachable(dataDir);
  const file = join(dataDir, 'up.pid');
  const afterCrash = removeDeadClaim(file, dataDir);
  try {
    const handle = openSync(file, 'wx', 0o644);
    writeSync(handle, `${process.pid} ${bornAt(process.pid)}\n`);
    closeSync(handle);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw new StartRefused(`another fabric is starting on ${dataDir}`);
    throw error;
  }
  return {
    afterCrash,
    // Only our own: after a second dispose the file may be somebody else's.
    [Symbol.dispose]: () => {
      if (claimHolder(dataDir) === process.pid) rmSync(file, { force: true });
    },
  };
}

/** The process that holds this data folder; undefined when none lives. */
export function claimHolder(dataDir: string): number | undefined {
  try {
    const [pid = 0, born = ''] = readFileSync(join(dataDir, 'up.pid'), 'utf8')
      .trim()
      .split(' ')
      .map((word, at) => (at === 0 ? Number(word) : word)) as [number, string];
    // The time of birth tells a new process that happens to have the old number.
    return signalOne(pid, 0) && bornAt(pid) === born ? pid : undefined;
  } catch {
    return undefined;
  }
}

function removeDeadClaim(file: string, dataDir: string): boolean {
  const holder = claimHolder(dataDir);
  if (holder !== undefined) {
    throw new StartRefused(
      `a fabric already runs on ${dataDir} as process ${holder}.\n  Stop it (Ctrl-C in its terminal, or: kill ${holder}), or start a second one beside it: npm start -- --data DIR --port-base N`,
    );
  }
  const existed = statSync(file, { throwIfNoEntry: false }) !== undefined;
  rmSync(file, { force: true });
  return existed;
}

/** Field 22 of /proc/<pid>/stat; empty off Linux, where the number alone must do. */
function bornAt(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

/** As root PostgreSQL runs as another user, who must be able to enter every folder above its own. */
function makeReachable(dataDir: string): void {
  mkdirSync(dataDir, { recursive: true, mode: 0o755 });
  if (postgresUser() === undefined) return;
  for (let dir = resolve(dataDir); ; dir = dirname(dir)) {
    if ((statSync(dir).mode & 0o001) === 0) {
      throw new StartRefused(
        `PostgreSQL does not run as root, and its user cannot enter ${dir}.\n  Choose another folder: npm start -- --data DIR, or: chmod o+x ${dir}`,
      );
    }
    if (dir === dirname(dir)) return;
  }
}

/** Throws StartRefused unless the disk of the folder has room. */
export function checkDisk(dir: string): void {
  const { bavail, bsize } = statfsSync(dir);
  const freeMb = Math.floor((bavail * bsize) / 1e6);
  if (freeMb >= limits.freeDiskMbMin) return;
  throw new StartRefused(
    `the disk of ${dir} has ${freeMb} MB free, and ${limits.freeDiskMbMin} MB are needed.\n  Free some, or choose another disk: npm start -- --data DIR (and WEFT_CACHE_DIR for fetched servers)`,
  );
}

/** Throws StartRefused naming every port that is taken and who wants it; waits a moment for what a crash left to end. */
export async function checkPorts(processes: readonly PlannedProcess[], afterCrash: boolean): Promise<void> {
  const deadline = performance.now() + (afterCrash ? limits.leftoverMsMax : 0);
  for (;;) {
    const wanted = processes.flatMap(({ name, host, ports }) => ports.map((port) => ({ name, host, port })));
    const answers = await Promise.all(wanted.map(async (one) => ({ ...one, taken: await portAnswers(one.port, one.host) })));
    const taken = answers.filter((one) => one.taken);
    if (taken.length === 0) return;
    if (performance.now() > deadline) {
      const list = taken.slice(0, 5).map(({ name, host, port }) => `  port ${port} on ${host} is taken, and ${name} wants it`);
      const more = taken.length > 5 ? `\n  and ${taken.length - 5} more` : '';
      throw new StartRefused(
        `${taken.length === 1 ? 'a port is' : 'ports are'} taken:\n${list.join('\n')}${more}\n  Find who has it (ss -ltnp, or lsof -i :PORT) and stop it, or use other ports: npm start -- --port-base N`,
      );
    }
    await sleep(limits.portPollMs);
  }
}

/** Empties the data folder. Throws StartRefused when a fabric runs on it or when it does not look like one's data. */
export function resetData(dataDir: string): void {
  const entries = statSync(dataDir, { throwIfNoEntry: false }) === undefined ? [] : readdirSync(dataDir);
  if (entries.length === 0) return;
  const holder = claimHolder(dataDir);
  if (holder !== undefined) throw new StartRefused(`a fabric runs on ${dataDir} as process ${holder}; stop it before --reset`);
  if (!entries.includes('credentials.json') && !entries.includes('fabric.json') && !entries.includes('up.pid')) {
    throw new StartRefused(
      `${dataDir} does not look like a fabric's data; --reset will not empty it. Remove it yourself, or choose another --data`,
    );
  }
  for (const entry of entries) rmSync(join(dataDir, entry), { recursive: true, force: true });
}
