// Starts a program as a child that cannot outlive us, waits until it serves, and stops it.
import { type ChildProcess, spawn } from 'node:child_process';
import {
  accessSync,
  chownSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { childEnvironment, loopback } from './defaults.ts';
import { limits } from './limits.ts';
import { portAnswers } from './ports.ts';

export interface ProcessUser {
  readonly uid: number;
  readonly gid: number;
}

export interface ProcessPlan {
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  /** Working folder and HOME; made if absent, and given to `user`. */
  readonly dir: string;
  /** Standard output and error are appended here. */
  readonly logFile: string;
  /** Where it will listen; loopback when absent. */
  readonly host?: string;
  /** Network namespace to run in (Linux, root). */
  readonly netns?: string;
  /** Ports it will listen on; the first is waited for, none may be taken. */
  readonly ports: readonly number[];
  readonly env?: Readonly<Record<string, string>>;
  /** Run as this user (needs root). */
  readonly user?: ProcessUser;
  readonly stopSignal?: NodeJS.Signals;
  /** Whether something of an earlier run still lives that would keep it from starting; it is waited for, `limits.leftoverMsMax` at most. */
  readonly leftover?: () => boolean;
  /** An open port is not readiness. Asked again and again until it says true. */
  readonly ready?: (pid: number) => Promise<boolean>;
}

export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A port that a process needs is in use. */
class PortTaken extends Error {
  override readonly name = 'PortTaken';
  readonly port: number;

  constructor({ name, host = loopback }: ProcessPlan, port: number) {
    super(`port ${port} on ${host} is taken, and ${name} wants it`);
    this.port = port;
  }
}

/** A running child in its own process group. */
export class RunningProcess implements AsyncDisposable {
  readonly name: string;
  readonly pid: number;
  /** Milliseconds from start to readiness. */
  readonly bootMs: number;
  /** Settles once, when the process has ended, whoever ended it. */
  readonly ended: Promise<Ending>;
  readonly #child: ChildProcess;
  readonly #stopSignal: NodeJS.Signals;

  constructor(parts: { plan: ProcessPlan; child: ChildProcess; ended: Promise<Ending>; bootMs: number }) {
    this.name = parts.plan.name;
    this.#child = parts.child;
    this.pid = pidOf(parts.child);
    this.bootMs = parts.bootMs;
    this.ended = parts.ended;
    this.#stopSignal = parts.plan.stopSignal ?? 'SIGTERM';
  }

  get alive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Sends a signal to the process and its group. */
  signal(signal: NodeJS.Signals): void {
    if (this.alive) signalGroup(this.pid, signal);
  }

  /** Stops every process below this one too: PostgreSQL's are in groups of their own. */
  freeze(): void {
    for (const pid of processTree(this.pid)) signalOne(pid, 'SIGSTOP');
  }

  thaw(): void {
    for (const pid of processTree(this.pid)) signalOne(pid, 'SIGCONT');
  }

  /** Asks it to stop and kills it when it does not within `limits.stopMsMax`. */
  async stop(): Promise<Ending> {
    if (this.alive) {
      this.thaw();
      signalOne(this.pid, this.#stopSignal);
    }
    const timer = setTimeout(() => this.signal('SIGKILL'), limits.stopMsMax);
    try {
      return await this.ended;
    } finally {
      clearTimeout(timer);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/**
 * Starts a process and answers when it is ready. Throws PortTaken before anything is started, or an error with the
 * end of its log when it ended or was not ready in time; then nothing is left running.
 */
export async function startProcess(plan: ProcessPlan, signal?: AbortSignal): Promise<RunningProcess> {
  const startedMs = performance.now();
  await untilVacant(plan, signal);
  // Without this somebody else's server would answer the readiness check.
  for (const port of plan.ports) if (await portAnswers(port, plan.host)) throw new PortTaken(plan, port);
  signal?.throwIfAborted();
  const child = spawnChild(plan);
  const ended = new Promise<Ending>((resolve) => {
    child.once('exit', (code, by) => resolve({ code, signal: by }));
    child.once('error', () => resolve({ code: 127, signal: null }));
  });
  try {
    await untilReady(plan, child, signal);
  } catch (error) {
    signalGroup(pidOf(child), 'SIGKILL');
    await ended;
    if (signal?.aborted) throw error;
    throw new Error(`${plan.name} did not start: ${error instanceof Error ? error.message : String(error)}\n${logTail(plan.logFile)}`, {
      cause: error,
    });
  }
  return new RunningProcess({ plan, child, ended, bootMs: Math.round(performance.now() - startedMs) });
}

function spawnChild(plan: ProcessPlan): ChildProcess {
  mkdirSync(plan.dir, { recursive: true });
  mkdirSync(dirname(plan.logFile), { recursive: true });
  if (plan.user) chownSync(plan.dir, plan.user.uid, plan.user.gid);
  const tooLong = existsSync(plan.logFile) && statSync(plan.logFile).size > limits.logBytesMax;
  const log = openSync(plan.logFile, tooLong ? 'w' : 'a', 0o600);
  const keeper = keeperProgram();
  const drop = plan.user ? [`--reuid=${plan.user.uid}`, `--regid=${plan.user.gid}`, '--clear-groups'] : [];
  const kept = ['--pdeathsig', (plan.stopSignal ?? 'SIGTERM').slice(3), ...drop, '--', plan.program, ...plan.args];
  // Entering the namespace replaces itself by what follows, so the process id stays.
  const entered = plan.netns === undefined ? [] : ['nsenter', `--net=/run/netns/${plan.netns}`, '--'];
  const [program = plan.program, ...args] = [...entered, ...(keeper === undefined ? [plan.program, ...plan.args] : [keeper, ...kept])];
  try {
    return spawn(program, args, {
      cwd: plan.dir,
      stdio: ['ignore', log, log],
      // A group of its own: the terminal's Ctrl-C reaches only the supervisor, which stops its children in order.
      detached: true,
      env: { ...childEnvironment(plan.dir), ...plan.env },
      ...(plan.user && keeper === undefined ? plan.user : {}),
    });
  } finally {
    closeSync(log);
  }
}

async function untilVacant({ leftover }: ProcessPlan, signal?: AbortSignal): Promise<void> {
  const deadline = performance.now() + limits.leftoverMsMax;
  while (leftover?.() && performance.now() < deadline) {
    await sleep(limits.readyPollMs);
    signal?.throwIfAborted();
  }
}

async function untilReady(plan: ProcessPlan, child: ChildProcess, signal?: AbortSignal): Promise<void> {
  const deadline = performance.now() + limits.readyMsMax;
  let listening = plan.ports[0] === undefined;
  for (;;) {
    signal?.throwIfAborted();
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) {
      throw new Error(`it ended with ${child.signalCode ?? `code ${child.exitCode ?? 127}`}`);
    }
    listening ||= await portAnswers(plan.ports[0] ?? 0, plan.host);
    if (listening && (plan.ready === undefined || (await plan.ready(child.pid)))) return;
    if (performance.now() > deadline)
      throw new Error(`it was not ${listening ? 'ready' : 'listening'} after ${limits.readyMsMax / 1_000} s`);
    await sleep(limits.readyPollMs);
  }
}

/**
 * util-linux's setpriv makes the kernel end the child when we are killed with SIGKILL, and drops root. Elsewhere, and
 * with Busybox's, which cannot, the children's own pid files must do.
 */
function keeperProgram(): string | undefined {
  if (process.platform !== 'linux') return undefined;
  for (const path of ['/usr/bin/setpriv', '/bin/setpriv']) {
    try {
      accessSync(path, constants.X_OK);
      if (!realpathSync(path).endsWith('busybox')) return path;
    } catch {
      // Not there: the next place.
    }
  }
  return undefined;
}

const pidOf = (child: ChildProcess): number => child.pid ?? 0;

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  if (pid > 0 && !signalOne(-pid, signal)) signalOne(pid, signal);
}

/** False when there is no such process any more. */
export function signalOne(pid: number, signal: NodeJS.Signals | 0): boolean {
  if (pid === 0) return false;
  try {
    process.kill(pid, signal);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** A process and everything below it, parents first. Off Linux only the process itself. */
function processTree(pid: number): number[] {
  try {
    const below = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(join('/proc', String(pid), 'task', task, 'children'), 'utf8').split(' '),
    );
    return [pid, ...below.filter((child) => child !== '').flatMap((child) => processTree(Number(child)))];
  } catch {
    return [pid];
  }
}

/** The last lines of a log file, for an error message. */
function logTail(file: string): string {
  if (!existsSync(file)) return '';
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  return `the end of ${file}:\n${lines.slice(-limits.logTailLinesMax).join('\n')}`;
}
