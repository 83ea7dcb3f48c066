// Time as an argument: what decides something by time takes a Clock, so that tests and the simulator can own it.
import assert from 'node:assert/strict';
import { runtimeLimits } from './limits.ts';

export interface Clock {
  /** Milliseconds since the Unix epoch, whole. May step either way: order nothing by it. */
  now(): number;
  /** Milliseconds since some fixed moment; never steps. For measuring durations. */
  monotonic(): number;
  /** Resolves after `ms` milliseconds; rejects with the signal's reason when it is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `fn` once after `ms` milliseconds, unless disposed before. What `fn` throws ends the process. */
  timer(ms: number, fn: () => void): Disposable;
  /** Calls `fn` each `ms` milliseconds until disposed. What `fn` throws ends the process. */
  every(ms: number, fn: () => void): Disposable;
}

/** The machine's clock. Timers keep the process alive: their owner disposes them. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: systemSleep,
  timer(ms, fn) {
    const handle = setTimeout(fn, delay(ms));
    return { [Symbol.dispose]: () => clearTimeout(handle) };
  },
  every(ms, fn) {
    const handle = setInterval(fn, delay(ms));
    return { [Symbol.dispose]: () => clearInterval(handle) };
  },
};

function systemSleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason);
      return;
    }
    const onAbort = (): void => {
      clearTimeout(handle);
      reject(signal?.reason);
    };
    const handle = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, delay(ms));
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

// Node fires a timer that is longer than its maximum at once.
function delay(ms: number): number {
  assert(ms >= 0 && ms <= runtimeLimits.timerMsMax, `a delay is 0..${runtimeLimits.timerMsMax} ms, not ${ms}`);
  return ms;
}
