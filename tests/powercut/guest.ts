// A machine whose power can be cut: User-Mode Linux with the servers of one cell. Its disk is a file; kill -9 ends it with
// everything that was not fsynced.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { portAnswers } from '@weft/local/ports.ts';
import type { ProcessPlan } from '@weft/local/processes.ts';
import { until } from '../until.ts';
import { needsShim, processorShim } from './processor-shim.ts';

const run = (program: string, ...args: readonly string[]): string =>
  execFileSync(program, [...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: 60_000 });

const diskMegabytes = 1_536;
const memory = '1200M';
const bootMsMax = 60_000;
/** The guest's kernel leaves a folder of its own in `.uml` here. */
const home = '/tmp';
/** Lines of PostgreSQL's log that divide a start after a crash. */
const recoveryStep =
  /(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+) \w+ \[\d+\] LOG: +(starting|database system was interrupted|redo starts|redo done|database system is ready)/g;
const beside = (file: string): string => fileURLToPath(new URL(file, import.meta.url));

export class Guest implements AsyncDisposable {
  readonly #dir: string;
  readonly #slot: number;
  #plans: readonly ProcessPlan[] = [];
  #running: ChildProcess | undefined;
  /** Where the console was when the last boot began. */
  #bootedAt = 0;

  /** A network for the guest; its disk is made from what lies in `dir` when it is first booted. */
  static open(dir: string): Guest {
    clearLeftovers();
    const slot = 1 + (process.pid % 200);
    const guest = new Guest(dir, slot);
    run('ip', 'tuntap', 'add', guest.#tap, 'mode', 'tap');
    run('ip', 'link', 'set', guest.#tap, 'alias', `weft-${process.pid}`);
    run('ip', 'addr', 'add', `${guest.outside}/24`, 'dev', guest.#tap);
    run('ip', 'link', 'set', guest.#tap, 'up');
    // Ctrl-C. With us the kernel ends only the guest's first process.
    process.once('exit', guest.#leave);
    return guest;
  }

  private constructor(dir: string, slot: number) {
    this.#dir = dir;
    this.#slot = slot;
  }

  /** The guest's own address. */
  get inside(): string {
    return `10.86.${this.#slot}.2`;
  }

  /** Ours, as the guest sees it. */
  get outside(): string {
    return `10.86.${this.#slot}.1`;
  }

  /** Gives it these servers, whose files in the folder become its disk. */
  furnish(plans: readonly ProcessPlan[]): void {
    writeFileSync(join(this.#dir, 'start.sh'), startScript(plans), { mode: 0o600 });
    run('truncate', '-s', `${diskMegabytes}M`, this.#image);
    run('mkfs.ext4', '-q', '-m', '0', '-E', 'lazy_itable_init=0,lazy_journal_init=0', '-d', this.#dir, this.#image);
    this.#plans = plans;
  }

  /** Resolves when all its servers take connections. */
  async boot(): Promise<void> {
    this.#bootedAt = this.#console().length;
    const log = openSync(`${this.#dir}.console`, 'a', 0o600);
    const shim = needsShim() ? processorShim() : undefined;
    const kernel = [
      `mem=${memory}`,
      `ubd0=${this.#image}`,
      'root=/dev/root',
      'rootfstype=hostfs',
      'rootflags=/',
      'ro',
      `init=${beside('guest-init.sh')}`,
      'con=null',
      'con0=null,fd:1',
      `vec0:transport=tap,ifname=${this.#tap},depth=128,gro=1`,
      `umid=weft-${process.pid}`,
      `weft_address=${this.inside}`,
      `weft_dir=${this.#dir}`,
    ];
    this.#running = spawn('setpriv', ['--pdeathsig', 'KILL', 'linux.uml', ...kernel], {
      stdio: ['ignore', log, log],
      // A group of its own, so that all its threads and guests' processes end at once.
      detached: true,
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: home, TMPDIR: '/dev/shm', ...(shim === undefined ? {} : { LD_PRELOAD: shim }) },
    });
    closeSync(log);
    const answers = async (): Promise<boolean> => {
      if (!this.#isUp) throw new Error(`the guest ended:\n${this.consoleTail()}`);
      return (await Promise.all(this.#plans.flatMap(({ ports }) => ports.map((port) => portAnswers(port, this.inside))))).every(Boolean);
    };
    await until('the servers of the guest answer', answers, bootMsMax).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${this.consoleTail()}`);
    });
  }

  /** The power is gone. */
  async cut(): Promise<void> {
    const guest = this.#running;
    if (guest === undefined || !this.#isUp) return;
    const ended = once(guest, 'exit');
    this.#kill();
    await ended;
  }

  #kill(): void {
    const pid = this.#isUp ? this.#running?.pid : undefined;
    this.#running = undefined;
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  }

  consoleTail(): string {
    return this.#console().split('\n').slice(-12).join('\n');
  }

  /** What PostgreSQL did since the last boot began, each with the seconds since it started. */
  recovery(): string {
    const steps: { readonly atMs: number; readonly what: string }[] = [];
    for (const [, at, what] of this.#console().slice(this.#bootedAt).matchAll(recoveryStep))
      if (at !== undefined && what !== undefined) steps.push({ atMs: Date.parse(`${at.replace(' ', 'T')}Z`), what });
    return steps.map(({ atMs, what }) => `${what} ${((atMs - (steps[0]?.atMs ?? atMs)) / 1_000).toFixed(1)}`).join(', ');
  }

  #console(): string {
    return existsSync(`${this.#dir}.console`) ? readFileSync(`${this.#dir}.console`, 'utf8') : '';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cut();
    process.off('exit', this.#leave);
    this.#leave();
  }

  readonly #leave = (): void => {
    this.#kill();
    run('ip', 'link', 'del', this.#tap);
    rmSync(this.#image, { force: true });
    rmSync(`${this.#dir}.console`, { force: true });
    rmSync(this.#dir, { recursive: true, force: true });
    rmSync(join(home, '.uml', `weft-${process.pid}`), { recursive: true, force: true });
  };

  get #isUp(): boolean {
    return this.#running?.exitCode === null && this.#running.signalCode === null;
  }

  get #image(): string {
    return `${this.#dir}.img`;
  }

  get #tap(): string {
    return `wfpc${this.#slot}`;
  }
}

/**
 * One line of the shell for each server, with its own environment and user. What PostgreSQL noted of its last process means
 * nothing after a boot: numbers of processes begin anew, and another one may have it. It logs to the console, which outlives a
 * cut.
 */
function startScript(plans: readonly ProcessPlan[]): string {
  const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
  const lines = plans.map(({ name, program, args, env, user, dir, logFile }) => {
    const log = name.startsWith('postgres') ? '/dev/console' : logFile;
    const drop = user === undefined ? [] : ['setpriv', `--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups'];
    const settings = Object.entries({ PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: dir, TZ: 'UTC', LC_ALL: 'C', ...env });
    const words = [...drop, 'env', '-i', ...settings.map(([key, value]) => `${key}=${value}`), program, ...args].map(quote).join(' ');
    return `rm -f ${quote(join(dir, 'postmaster.pid'))}; mkdir -p ${quote(dir)} ${quote(join(logFile, '..'))}; cd ${quote(dir)} && ${words} >>${quote(log)} 2>&1 &`;
  });
  return `${lines.join('\n')}\n`;
}

/** Taps of runs whose process is gone; the kernel ended their guests with them. */
function clearLeftovers(): void {
  for (const name of readdirSync('/sys/class/net').filter((one) => one.startsWith('wfpc'))) {
    const pid = /weft-(\d+)/.exec(readFileSync(`/sys/class/net/${name}/ifalias`, 'utf8'))?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) run('ip', 'link', 'del', name);
  }
}
