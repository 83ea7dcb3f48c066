import assert from 'node:assert/strict';
import { test } from 'node:test';
import { birthCell, idTimeMs } from '@weft/proto/ids.ts';
import { IdMaker } from './id-maker.ts';
import { runtimeLimits } from './limits.ts';
import { ManualClock } from './manual-clock.ts';
import { seededRandom } from './random.ts';

const startMs = Date.UTC(2026, 10, 21);
const never = (): number => Number.MAX_SAFE_INTEGER;
const maker = (clock: ManualClock, node = 3): IdMaker => new IdMaker({ clock, cell: 7, node, leaseEndsMs: never });

test('an id carries its time, cell and node', () => {
  const id = maker(new ManualClock(startMs)).next();
  assert.equal(idTimeMs(id), startMs);
  assert.equal(birthCell(id), 7);
  assert.equal(Number((id >> 5n) & 31n), 3);
  assert(id > 0n && id < 2n ** 63n);
});

test('ids rise over a million, in bursts and over steps of the clock both ways', () => {
  const clock = new ManualClock(startMs);
  const random = seededRandom(1);
  const ids = maker(clock);
  let last = 0n;
  let step = 0;
  for (let i = 0; i < 1_000_000; i++) {
    const id = ids.next();
    if (id <= last) assert.fail(`${id} after ${last}`);
    last = id;
    if (random.int(20) === 0) clock.advance(1);
    if (i % 100_000 === 50_000) {
      step = -2_000 - step;
      clock.step(step);
    }
  }
});

test('a clock that steps back two seconds repeats nothing', () => {
  const clock = new ManualClock(startMs);
  const ids = maker(clock);
  const seen = new Set<bigint>();
  for (let i = 0; i < 1_000; i++) seen.add(ids.next());
  clock.step(-2_000);
  for (let i = 0; i < 40_000; i++) {
    seen.add(ids.next());
    if (i % 32 === 0) clock.advance(1);
  }
  assert.equal(seen.size, 41_000);
});

test('nodes whose clocks are five seconds apart never make the same id', () => {
  const nodes = [-5_000, 0, 5_000].map((skew, node) => ({ clock: new ManualClock(startMs + skew), node }));
  const makers = nodes.map(({ clock, node }) => maker(clock, node));
  const seen = new Set<bigint>();
  for (let i = 0; i < 20_000; i++) {
    for (const ids of makers) seen.add(ids.next());
    if (i % 2 === 0) for (const { clock } of nodes) clock.advance(1);
  }
  assert.equal(seen.size, 60_000);
});

test('a clock that stepped back further than the bound stops the ids until it has come near', () => {
  const clock = new ManualClock(startMs);
  const ids = maker(clock);
  const last = ids.next();
  clock.step(-runtimeLimits.idAheadMsMax - 100);
  assert.throws(() => ids.next(), { code: 'not_ready', afterMs: 100 });
  clock.advance(100);
  assert(ids.next() > last);
});

test('a burst borrows from the time to come, up to the bound', () => {
  const clock = new ManualClock(startMs);
  const ids = maker(clock);
  const most = 32 * (runtimeLimits.idAheadMsMax + 1);
  for (let i = 0; i < most; i++) ids.next();
  assert.throws(() => ids.next(), { code: 'not_ready' });
  clock.advance(1);
  assert.equal(idTimeMs(ids.next()), startMs + runtimeLimits.idAheadMsMax + 1);
});

test('no id reaches the end of the lease, and renewing lets them go on', () => {
  const clock = new ManualClock(startMs);
  let endMs = startMs + 2;
  const ids = new IdMaker({ clock, cell: 1, node: 0, leaseEndsMs: () => endMs });
  for (let i = 0; i < 64; i++) assert(idTimeMs(ids.next()) < endMs);
  assert.throws(() => ids.next(), { code: 'not_ready' });
  clock.advance(10);
  assert.throws(() => ids.next(), { code: 'not_ready' });
  endMs = startMs + 1_000;
  assert.equal(idTimeMs(ids.next()), startMs + 10);
});

test('the next holder of a node number begins where the lease before ended, whatever its clock says', () => {
  const endMs = startMs + 3_000;
  const clock = new ManualClock(startMs);
  const before = new IdMaker({ clock, cell: 1, node: 0, leaseEndsMs: () => endMs });
  const seen: bigint[] = [];
  for (let i = 0; i < 32 * 3_000; i++) seen.push(before.next());
  assert.throws(() => before.next(), { code: 'not_ready' });
  const next = new IdMaker({ clock, cell: 1, node: 0, leaseEndsMs: never, notBeforeMs: endMs });
  const first = next.next();
  assert.equal(idTimeMs(first), endMs);
  assert(first > (seen.at(-1) ?? 0n));
});

test('a refused id changes nothing', () => {
  const clock = new ManualClock(startMs);
  let endMs = startMs;
  const ids = new IdMaker({ clock, cell: 1, node: 0, leaseEndsMs: () => endMs });
  for (let i = 0; i < 100; i++) assert.throws(() => ids.next(), { code: 'not_ready' });
  endMs = startMs + 1;
  const id = ids.next();
  assert.deepEqual([idTimeMs(id), Number(id & 31n)], [startMs, 0]);
});

test('cell and node numbers out of range are refused', () => {
  const clock = new ManualClock(startMs);
  for (const [cell, node] of [
    [0, 0],
    [4096, 0],
    [1, -1],
    [1, 32],
    [1.5, 0],
  ] as const) {
    assert.throws(() => new IdMaker({ clock, cell, node, leaseEndsMs: never }));
  }
});
