import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { birthCell, idEpochMs, idTimeMs } from '@weft/proto/ids.ts';
import { IdMaker } from '@weft/runtime/id-maker.ts';
import { ManualClock } from '@weft/runtime/manual-clock.ts';
import { seededRandom } from '@weft/runtime/random.ts';

// snowflake-id 1.1.0 is the reference for the layout only: it repeats ids after a step of the clock and past 4,096 in a millisecond.
interface Snowflake {
  generate(): string;
}
const SnowflakeId = createRequire(import.meta.url)('snowflake-id').default as new (options: { mid: number; offset: number }) => Snowflake;

const startMs = Date.UTC(2026, 10, 21);
const never = (): number => Number.MAX_SAFE_INTEGER;

test('time lies where snowflake-id has it, and its ten worker and twelve sequence bits are our cell, node and counter', (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: startMs });
  const reference = BigInt(new SnowflakeId({ mid: 5, offset: idEpochMs }).generate());
  const ours = new IdMaker({ clock: new ManualClock(startMs), cell: 7, node: 3, leaseEndsMs: never }).next();
  assert.equal(reference >> 22n, ours >> 22n);
  assert.equal(idTimeMs(reference), startMs);
  assert.equal((reference >> 12n) & 0x3ffn, 5n);
  assert.equal(ours & 0x3fffffn, (7n << 10n) | (3n << 5n));
});

test('where snowflake-id repeats itself after a step of the clock, we do not', (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: startMs });
  const reference = new SnowflakeId({ mid: 5, offset: idEpochMs });
  const clock = new ManualClock(startMs);
  const ids = new IdMaker({ clock, cell: 7, node: 3, leaseEndsMs: never });
  const theirs = [reference.generate()];
  const ours = [ids.next()];
  for (const stepMs of [1_000, -1_000]) {
    t.mock.timers.setTime(clock.now() + stepMs);
    clock.step(stepMs);
    theirs.push(reference.generate());
    ours.push(ids.next());
  }
  assert.equal(new Set(theirs).size, 2);
  assert.equal(new Set(ours).size, 3);
});

test('ten million ids of 32 nodes in three cells, with skewed and stepping clocks, are all different', () => {
  const random = seededRandom(3);
  const cells = [1, 2, 4_095];
  const makers = cells.flatMap((cell) =>
    Array.from({ length: 32 }, (_, node) => {
      const clock = new ManualClock(startMs + random.int(10_001) - 5_000);
      return { cell, clock, ids: new IdMaker({ clock, cell, node, leaseEndsMs: never }) };
    }),
  );
  const each = Math.ceil(10_000_000 / makers.length);
  const all = new BigUint64Array(each * makers.length);
  let at = 0;
  for (const { cell, clock, ids } of makers) {
    let offMs = 0;
    for (let i = 0; i < each; i++) {
      const id = ids.next();
      if (i % 1_000 === 0) {
        assert.equal(birthCell(id), cell);
        const nowOffMs = random.int(4_001) - 2_000;
        clock.step(nowOffMs - offMs);
        offMs = nowOffMs;
      }
      if (i % 16 === 0) clock.step(1);
      all[at++] = id;
    }
  }
  all.sort();
  for (let i = 1; i < all.length; i++) {
    if (all[i] === all[i - 1]) assert.fail(`${all[i]} was made twice`);
  }
});
