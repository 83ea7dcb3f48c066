// Whether people of a cell that was not hit noticed: told from what the machine took, and from chance.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '@weft/runtime/random.ts';
import { type Answer, describeLatency, lateByChance, latencyOf, type Times } from './isolation.ts';

const times: Times = { talkMs: 0, faultMs: 4_000, recoveredMs: 12_000, endMs: 16_000 };
const everyMs = 25;

/** Answers of one cell in the rounds all cells share; `waitMs` by the moment of the round. */
function answers(waitMs: (sentMs: number) => number): Answer[] {
  return Array.from({ length: times.endMs / everyMs }, (_, n) => ({ sentMs: n * everyMs, atMs: n * everyMs + waitMs(n * everyMs) }));
}

/** 10 to 30 ms, and one in fifty up to 100 ms more. */
function usual(seed: number): () => number {
  const random = seededRandom(seed);
  return () => 10 + random.int(20) + (random.int(50) === 0 ? random.int(100) : 0);
}

const isUnder = (sentMs: number): boolean => sentMs >= times.faultMs && sentMs < times.recoveredMs;
const isLate = ({ late, lateMax, unjudged }: ReturnType<typeof latencyOf>): boolean => unjudged === '' && late > lateMax;

test('a cell whose answers are later while the fault lasts is found, with what was allowed', () => {
  const [own, beside] = [usual(1), usual(2)];
  const slowed = latencyOf(
    answers((sentMs) => own() + (isUnder(sentMs) && sentMs % 1_000 < 100 ? 150 : 0)),
    answers(beside),
    times,
  );
  assert.ok(isLate(slowed), describeLatency(slowed));
  assert.equal(slowed.asked, 320);
});

test('what the machine takes from both is nobody’s fault', () => {
  const [own, beside] = [usual(3), usual(4)];
  const machine = (sentMs: number): number => (isUnder(sentMs) && sentMs % 1_000 < 300 ? 300 - (sentMs % 1_000) : 0);
  const busy = latencyOf(
    answers((sentMs) => own() + machine(sentMs)),
    answers((sentMs) => beside() + machine(sentMs)),
    times,
  );
  assert.ok(!isLate(busy), describeLatency(busy));
  assert.ok(busy.faultMs > busy.undisturbedMs + 100, 'as measured it looks like one');
});

test('a cell with more to do than the control cell may be slowed by the same factor', () => {
  const [random, other] = [seededRandom(5), seededRandom(6)];
  const own = (): number => 10 + random.int(20);
  const beside = (): number => 10 + other.int(20);
  const times3 = (sentMs: number): number => (isUnder(sentMs) ? 3 : 1);
  const burnt = latencyOf(
    answers((sentMs) => 4 * own() * times3(sentMs)),
    answers((sentMs) => beside() * times3(sentMs)),
    times,
  );
  assert.ok(!isLate(burnt), describeLatency(burnt));
  const alone = latencyOf(
    answers((sentMs) => 4 * own() * times3(sentMs)),
    answers(beside),
    times,
  );
  assert.ok(isLate(alone), describeLatency(alone));
});

test('nothing is found by chance in five hundred undisturbed runs', () => {
  const found = Array.from({ length: 500 }, (_, seed) => latencyOf(answers(usual(2 * seed)), answers(usual(2 * seed + 1)), times)).filter(
    isLate,
  );
  assert.ok(found.length <= 2, `${found.length} found`);
});

test('an answer that was asked for before the fault and came after it belongs to neither side', () => {
  const own = answers((sentMs) => (sentMs >= 3_600 && sentMs < 4_000 ? 5_000 : 20));
  assert.equal(
    latencyOf(
      own,
      answers(() => 20),
      times,
    ).undisturbedMs,
    20,
  );
});

test('without a control cell, with too few answers, or on a machine that is too busy nothing is said', () => {
  const own = answers(() => 20);
  const beside = answers(() => 20);
  assert.match(latencyOf(own, [], times).unjudged, /no control cell/);
  assert.match(latencyOf(own.slice(0, 200), beside, times).unjudged, /fewer than/);
  assert.match(
    latencyOf(
      own,
      answers(() => 600),
      times,
    ).unjudged,
    /too busy/,
  );
});

test('one in a hundred is late by chance: what more than that comes once in a thousand times', () => {
  assert.deepEqual([100, 200, 400, 1_600].map(lateByChance), [5, 8, 11, 30]);
});
