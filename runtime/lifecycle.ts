// The life of a process: start, serve until told to leave, leave in order within a deadline.
//
// 1. `start` runs with a signal that is aborted as soon as the process is told to leave.
// 2. SIGTERM or SIGINT disposes what `start` gave: it drains and closes in reverse order. Exit 0; exit 1 when that fails or takes too long.
// 3. A second SIGTERM or SIGINT exits at once with 128 + the signal's number.
// An error that nobody handled is a bug: it is logged and the process ends with 1, for its supervisor to start a clean one.
import { constants } from 'node:os';
import { ConfigError } from './config.ts';
import { runtimeLimits as limits } from './limits.ts';
import type { Log } from './log.ts';

/** Never returns control to the event loop's natural end: it ends by `process.exit`. `drainMsMax` in milliseconds (WEFT_DRAIN_MS_MAX). */
export async function runMain(
  start: (signal: AbortSignal) => Promise<AsyncDisposable>,
  log: Log,
  drainMsMax: number = limits.drainMsMax,
): Promise<void> {
  const leave = new AbortController();
  const told = Promise.withResolvers<NodeJS.Signals>();
  const onSignal = (signal: NodeJS.Signals): void => {
    if (leave.signal.aborted) {
      log.warn({ signal }, 'told twice: leaving at once');
      process.exit(128 + constants.signals[signal]);
    }
    log.info({ signal }, 'leaving');
    leave.abort(new Error(`told to leave by ${signal}`));
    told.resolve(signal);
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  process.on('uncaughtException', (error, origin) => die(log, error, `nobody handled this (${origin})`));

  const started = start(leave.signal);
  const failed = started.then(
    () => told.promise,
    (error: unknown) => {
      if (leave.signal.aborted) return undefined;
      return die(log, error, 'could not start');
    },
  );
  await Promise.race([failed, told.promise]);

  const end = setTimeout(() => die(log, new Error(`not left after ${drainMsMax} ms`), 'left without finishing'), drainMsMax);
  try {
    // A start that was cut short has nothing to close.
    const running = await started.catch(() => undefined);
    await running?.[Symbol.asyncDispose]();
  } catch (error) {
    die(log, error, 'could not close everything');
  }
  clearTimeout(end);
  log.info('left');
  process.exit(0);
}

function die(log: Log, error: unknown, message: string): never {
  log.fatal({ err: error }, message);
  process.exit(1);
}

/** What `read` returns; a configuration that is not usable is told on standard error, and the process ends with 2. */
export function readOrExit<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(2);
  }
}
