import assert from 'node:assert/strict';
import { systemClock } from '@weft/runtime/clock.ts';

/** Waits for a condition, by default 10 s; fails with what it waited for. */
export async function until(what: string, holds: () => boolean | Promise<boolean>, deadlineMs = 10_000): Promise<void> {
  const endsMs = performance.now() + deadlineMs;
  while (!(await holds())) {
    assert.ok(performance.now() < endsMs, `${what}: not within ${deadlineMs} ms`);
    await systemClock.sleep(10);
  }
}
