import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from './clock.ts';
import { assertLimits } from './limits.ts';
import { ManualClock } from './manual-clock.ts';
import { seededRandom, systemRandom } from './random.ts';
import { fullJitter, retry } from './retry.ts';

test('the relations between the limits hold', () => assertLimits());

for (const [name, clock] of [
  ['the system clock', systemClock],
  ['a manual clock', new ManualClock(0)],
] as const) {
  test(`a sleep on ${name} that is aborted rejects with the reason and leaves no timer`, async () => {
    const reason = new Error('enough');
    await assert.rejects(clock.sleep(1_000_000, AbortSignal.abort(reason)), reason);
    const stop = new AbortController();
    const sleeping = clock.sleep(1_000_000, stop.signal);
    stop.abort(reason);
    await assert.rejects(sleeping, reason);
    if (clock instanceof ManualClock) assert.equal(clock.waiting, 0);
  });
}

test('a delay that Node would fire at once is refused', () => {
  assert.throws(() => systemClock.timer(2 ** 31, () => undefined), /a delay is/);
  assert.throws(() => systemClock.every(Number.NaN, () => undefined), /a delay is/);
});

test('the manual clock fires in order of time and making, and steps without firing', () => {
  const clock = new ManualClock(1_000);
  const seen: string[] = [];
  const note = (name: string) => (): void => void seen.push(`${name}@${clock.now()}`);
  clock.timer(20, note('late'));
  clock.timer(10, note('first'));
  clock.timer(10, note('second'));
  const every = clock.every(8, note('every'));
  const cancelled = clock.timer(5, note('cancelled'));
  cancelled[Symbol.dispose]();
  clock.step(-500);
  assert.deepEqual(seen, []);
  clock.advance(20);
  assert.deepEqual(seen, ['every@508', 'first@510', 'second@510', 'every@516', 'late@520']);
  every[Symbol.dispose]();
  assert.deepEqual([clock.waiting, clock.now(), clock.monotonic()], [0, 520, 20]);
});

test('a timer made while firing fires in the same advance when it falls due', () => {
  const clock = new ManualClock(0);
  const seen: number[] = [];
  clock.timer(5, () => clock.timer(5, () => seen.push(clock.now())));
  clock.advance(10);
  assert.deepEqual(seen, [10]);
});

test('the same seed gives the same numbers, other seeds others, all within bounds and evenly', () => {
  const draw = (seed: number): number[] => {
    const random = seededRandom(seed);
    return Array.from({ length: 5 }, () => random.int(1_000_000));
  };
  assert.deepEqual(draw(42), draw(42));
  assert.notDeepEqual(draw(42), draw(43));
  for (const random of [seededRandom(7), systemRandom]) {
    const counts = new Array<number>(10).fill(0);
    for (let i = 0; i < 100_000; i++) {
      const n = random.int(10);
      assert(Number.isInteger(n) && n >= 0 && n < 10);
      counts[n] = (counts[n] ?? 0) + 1;
    }
    assert(
      counts.every((count) => count > 9_400 && count < 10_600),
      String(counts),
    );
  }
  assert.throws(() => systemRandom.int(0));
});

test('back-off is drawn from a bound that doubles up to the cap', () => {
  const most = { next: () => 0.999_999, int: () => 0 };
  const bounds = [1, 2, 3, 4, 5, 1_000].map((attempt) => fullJitter(attempt, { baseMs: 100, capMs: 1_000 }, most));
  assert.deepEqual(bounds, [100, 200, 400, 800, 1_000, 1_000]);
  assert.equal(fullJitter(5, { baseMs: 100, capMs: 1_000 }, { next: () => 0, int: () => 0 }), 0);
});

test('retry gives up after its attempts, at an error that is not retryable, and when told to stop', async () => {
  const options = { baseMs: 0, capMs: 0, clock: systemClock, random: systemRandom };
  let calls = 0;
  const fail = async (): Promise<never> => {
    calls += 1;
    throw new Error(`call ${calls}`);
  };
  await assert.rejects(retry(fail, { ...options, attempts: 3 }), /call 3/);
  calls = 0;
  await assert.rejects(retry(fail, { ...options, attempts: 3, isRetryable: () => false }), /call 1/);
  assert.equal(await retry(async (attempt) => (attempt < 3 ? fail() : attempt), { ...options, attempts: 3 }), 3);
  const reason = new Error('stop');
  await assert.rejects(retry(fail, { ...options, attempts: 3, signal: AbortSignal.abort(reason) }), reason);
});
