// Trying again, with full jitter and an end.
import type { Clock } from './clock.ts';
import type { Random } from './random.ts';

export interface BackOff {
  /** The first delay is drawn from 0..baseMs; the bound doubles with each attempt up to capMs. */
  readonly baseMs: number;
  readonly capMs: number;
}

/** Milliseconds to wait after failed attempt number `attempt` (from 1): uniform in 0..min(capMs, baseMs · 2^(attempt−1)). */
export function fullJitter(attempt: number, backOff: BackOff, random: Random): number {
  const bound = Math.min(backOff.capMs, backOff.baseMs * 2 ** Math.min(attempt - 1, 30));
  return Math.round(random.next() * bound);
}

export interface RetryOptions extends BackOff {
  /** Calls of `fn` at most, the first included. */
  readonly attempts: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal?: AbortSignal;
  /** Whether another attempt makes sense after this error. Default: always. */
  readonly isRetryable?: (error: unknown) => boolean;
}

/** Calls `fn(attempt)` until it resolves, the attempts are used up or the error is not retryable; then rejects with the last error. */
export async function retry<T>(fn: (attempt: number) => Promise<T>, options: RetryOptions): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await fn(attempt);
    } catch (error) {
      if (attempt >= options.attempts || options.isRetryable?.(error) === false) throw error;
    }
    await options.clock.sleep(fullJitter(attempt, options, options.random), options.signal);
  }
}
