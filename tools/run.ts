import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import type { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { root, toolEnvironment } from './root.ts';

/** Captured output is for a person to read; a tool that says more is cut at the front. */
const outputBytesMax = 200_000;
/** From the polite signal to SIGKILL: the fabric drains within 5 s. */
const stopMsMax = 10_000;
/** As `nice` counts. */
const lowestPriority = 19;
const passedSignals: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];

export interface Result {
  readonly ok: boolean;
  readonly output: string;
}

/** Runs a tool in the root and gives what it printed; a tool that cannot start or takes longer than `timeoutMs` has failed. */
export async function run(program: string, args: readonly string[], timeoutMs = 180_000): Promise<Result> {
  const env = { ...toolEnvironment(), NO_COLOR: '1', FORCE_COLOR: '0' };
  const child = spawn(program, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'], timeout: timeoutMs, killSignal: 'SIGKILL' });
  const printed = kept(child);
  return new Promise((resolve) => {
    child.once('error', (error) => resolve({ ok: false, output: `${program}: ${error.message}` }));
    child.once('close', (code, signal) => {
      const late = signal === 'SIGKILL' ? `${program} was stopped after ${timeoutMs / 1000} s\n` : '';
      resolve({ ok: code === 0, output: printed() + late });
    });
  });
}

/** What the child printed so far. */
function kept(child: ChildProcessByStdio<null, Readable, Readable>): () => string {
  let output = '';
  const keep = (text: string): void => {
    output = (output + text).slice(-outputBytesMax);
  };
  child.stdout.setEncoding('utf8').on('data', keep);
  child.stderr.setEncoding('utf8').on('data', keep);
  return () => output;
}

/**
 * Runs a program on our own terminal and gives its exit code (128 + signal). It leads a process group, so that a signal to
 * us, or `timeoutMs`, ends whatever it started as well.
 */
export async function runVisibly(program: string, args: readonly string[], timeoutMs: number): Promise<number> {
  return ended(
    spawn(program, args, { cwd: root, env: toolEnvironment(), stdio: ['ignore', 'inherit', 'inherit'], detached: true }),
    timeoutMs,
  );
}

/** `lowest`: what has it gives way to everything else. */
export type Priority = 'ordinary' | 'lowest';

/** The same beside something visible: what it printed is given at its end. */
export async function runBeside(
  program: string,
  args: readonly string[],
  { timeoutMs, priority }: { readonly timeoutMs: number; readonly priority: Priority },
): Promise<Result> {
  const child = spawn(program, args, { cwd: root, env: toolEnvironment(), stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  if (child.pid !== undefined && priority === 'lowest') giveWay(child.pid);
  const printed = kept(child);
  const code = await ended(child, timeoutMs);
  await Promise.allSettled([finished(child.stdout), finished(child.stderr)]);
  return { ok: code === 0, output: printed() };
}

/** The lowest priority for this leader of a session and what it starts. */
function giveWay(pid: number): void {
  setPriority(pid, lowestPriority);
  try {
    // Linux may share the processor by sessions first, with a priority for each, and look at those of processes only within one
    // (sched(7), "The autogroup feature").
    writeFileSync(`/proc/${pid}/autogroup`, String(lowestPriority));
  } catch {
    // It does not, or this is no Linux.
  }
}

/** The exit code of the leader of a process group that is about to run. */
function ended(child: ChildProcess, timeoutMs: number): Promise<number> {
  const signalGroup = (signal: NodeJS.Signals): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, signal);
    } catch {
      // The group is gone.
    }
  };
  const timers = new Set<NodeJS.Timeout>();
  const stop = (signal: NodeJS.Signals): void => {
    signalGroup(signal);
    timers.add(setTimeout(() => signalGroup('SIGKILL'), stopMsMax));
  };
  const late = (): void => {
    console.error(`${child.spawnargs.slice(0, 2).join(' ')}: stopped after ${timeoutMs / 1000} s`);
    stop('SIGTERM');
  };
  timers.add(setTimeout(late, timeoutMs));
  for (const signal of passedSignals) process.on(signal, stop);
  return new Promise((resolve) => {
    const done = (code: number): void => {
      for (const timer of timers) clearTimeout(timer);
      for (const signal of passedSignals) process.off(signal, stop);
      signalGroup('SIGKILL');
      resolve(code);
    };
    child.once('error', (error) => {
      console.error(error.message);
      done(1);
    });
    child.once('exit', (code, signal) => done(code ?? 128 + (signal ? constants.signals[signal] : 1)));
  });
}
