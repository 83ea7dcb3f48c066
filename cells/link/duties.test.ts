import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { Lease } from '@weft/runtime/lease.ts';
import { ManualClock } from '@weft/runtime/manual-clock.ts';
import { Duties, type Duty } from './duties.ts';

const mine: Lease = { term: 1n, expiresMs: 1, takenAfterMs: 0 };

function stage() {
  const clock = new ManualClock(0);
  const asked: string[][] = [];
  const released: string[] = [];
  const failed: string[] = [];
  /** What this node does not get. */
  const others = new Set<string>();
  const ground = { clock, asked, released, failed, others, isAway: false, takenAfterMs: 0 };
  const duties = new Duties({
    clock,
    leaseMs: 3_000,
    leaseEveryMs: 1_000,
    leases: {
      holdEach: async (names, _, known) => {
        asked.push([...names]);
        if (ground.isAway) throw new Error('away');
        for (const name of names) known(name, others.has(name) ? undefined : { ...mine, takenAfterMs: ground.takenAfterMs });
      },
      release: async (name) => void released.push(name),
    },
    failed: (_, duty) => failed.push(duty),
  });
  const advance = async (ms: number): Promise<void> => {
    await turn();
    for (let passed = 0; passed < ms; passed += 100) {
      clock.advance(100);
      await turn();
    }
  };
  return { ...ground, ground, duties, advance };
}

/** A duty that counts its runs, and hangs in one while `hangs`. */
function counting(name: string, everyMs: number) {
  const counted = { runs: 0, hangs: false, said: [] as [boolean, boolean][] };
  const duty: Duty = {
    name,
    everyMs,
    run: () => {
      counted.runs += 1;
      return counted.hangs ? new Promise(() => undefined) : Promise.resolve();
    },
    held: (held, takenOver) => counted.said.push([held, takenOver]),
  };
  return { counted, duty };
}

test('the leases of all duties are held by one statement a second, and each duty runs at its own pace', async () => {
  const { duties, asked, advance } = stage();
  const [often, rarely] = [counting('often', 500), counting('rarely', 2_000)];
  duties.add(often.duty);
  duties.add(rarely.duty);
  await advance(4_000);
  assert.deepEqual(
    asked,
    Array.from({ length: 5 }, () => ['often', 'rarely']),
  );
  assert.deepEqual([often.counted.runs, rarely.counted.runs], [9, 3]);
  await duties[Symbol.asyncDispose]();
});

test('a duty that hangs keeps no other from running, and its lease is not renewed, so that another node takes it', async () => {
  const { duties, asked, advance } = stage();
  const [stuck, other] = [counting('stuck', 500), counting('other', 500)];
  stuck.counted.hangs = true;
  duties.add(stuck.duty);
  duties.add(other.duty);
  await advance(3_000);
  assert.deepEqual(asked, [['stuck', 'other'], ['other'], ['other'], ['other']]);
  assert.deepEqual([stuck.counted.runs, other.counted.runs], [1, 7]);
});

test('a duty whose lease another node has does not run, and is told when that changes', async () => {
  const { duties, ground, others, advance } = stage();
  const [one, two] = [counting('one', 500), counting('two', 500)];
  others.add('two');
  duties.add(one.duty);
  duties.add(two.duty);
  await advance(1_500);
  assert.deepEqual([one.counted.said, two.counted.said, two.counted.runs], [[[true, false]], [], 0]);
  others.delete('two');
  others.add('one');
  ground.takenAfterMs = 1_000;
  await advance(1_000);
  assert.deepEqual([one.counted.said.at(-1), two.counted.said], [[false, false], [[true, true]]]);
  const ran = one.counted.runs;
  await advance(2_000);
  assert.equal(one.counted.runs, ran);
  assert.ok(two.counted.runs >= 4);
  await duties[Symbol.asyncDispose]();
});

test('while SQL is away nothing runs and nothing is given up, and the leases are asked for again at each turn', async () => {
  const { duties, ground, asked, failed, advance } = stage();
  const one = counting('one', 500);
  duties.add(one.duty);
  await advance(500);
  ground.isAway = true;
  await advance(1_500);
  const { runs } = one.counted;
  assert.deepEqual([failed.length, asked.length], [3, 4]);
  ground.isAway = false;
  await advance(500);
  assert.equal(one.counted.runs, runs + 1);
  assert.deepEqual(one.counted.said, [[true, false]]);
  await duties[Symbol.asyncDispose]();
});

test('a duty that fails, or that cannot take its lease on, fails by itself', async () => {
  const { duties, failed, advance } = stage();
  const good = counting('good', 500);
  duties.add({ name: 'bad', everyMs: 500, run: () => Promise.reject(new Error('bad')) });
  duties.add({
    name: 'worse',
    everyMs: 500,
    run: async () => undefined,
    held: () => {
      throw new Error('worse');
    },
  });
  duties.add(good.duty);
  await advance(1_000);
  assert.deepEqual(failed, ['worse', 'bad', 'bad', 'bad']);
  assert.equal(good.counted.runs, 3);
  await duties[Symbol.asyncDispose]();
});

test('a duty without work is told of its lease, and the lease is kept', async () => {
  const { duties, asked, failed, released, advance } = stage();
  const said: boolean[] = [];
  duties.add({ name: 'holds', everyMs: 1_000, held: (held) => said.push(held) });
  await advance(2_000);
  assert.deepEqual([said, asked, failed], [[true], [['holds'], ['holds'], ['holds']], []]);
  await duties[Symbol.asyncDispose]();
  assert.deepEqual(released, ['holds']);
});

test('what is held at the end is given back', async () => {
  const { duties, released, others, advance } = stage();
  others.add('two');
  for (const name of ['one', 'two', 'three']) duties.add(counting(name, 500).duty);
  await advance(500);
  await duties[Symbol.asyncDispose]();
  assert.deepEqual(released, ['one', 'three']);
});
