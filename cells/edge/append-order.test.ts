import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AppendOrder } from './append-order.ts';

test('after "later" only the faulted append itself may come, and behind it the others', () => {
  const order = new AppendOrder(10);
  const ticket = order.arrive(5n, 1n) as number;
  order.faulted(5n, { clientEntryId: 1n, ticket }, 'busy');
  assert.equal(order.arrive(5n, 2n), undefined);
  assert.ok(order.arrive(6n, 2n));
  assert.ok(order.arrive(5n, 1n));
  assert.ok(order.arrive(5n, 2n));
});

test('what came before the faulted append still runs, what came behind it does not', () => {
  const order = new AppendOrder(10);
  const [one, two, three] = [1n, 2n, 3n].map((id) => order.arrive(5n, id) as number) as [number, number, number];
  order.faulted(5n, { clientEntryId: 2n, ticket: two }, 'rate_limited');
  assert.deepEqual([order.mayRun(5n, one), order.mayRun(5n, three)], [true, false]);
});

test('a final fault holds nobody up', () => {
  const order = new AppendOrder(10);
  order.faulted(5n, { clientEntryId: 1n, ticket: 1 }, 'entry_too_large');
  order.faulted(5n, { clientEntryId: 2n, ticket: 2 }, 'not_a_member');
  assert.ok(order.arrive(5n, 3n));
});

test('of several faulted appends the one that came first has to come again first, whenever it faulted', () => {
  const order = new AppendOrder(10);
  const [one, two] = [1n, 2n].map((id) => order.arrive(5n, id) as number) as [number, number];
  order.faulted(5n, { clientEntryId: 2n, ticket: two }, 'rate_limited');
  const again = order.arrive(5n, 2n) as number;
  order.faulted(5n, { clientEntryId: 1n, ticket: one }, 'busy');
  assert.equal(order.mayRun(5n, again), false);
  assert.equal(order.arrive(5n, 2n), undefined);
  assert.ok(order.arrive(5n, 1n));
});

test('places that are too late are remembered of so many logs, the one used longest ago forgotten first', () => {
  const order = new AppendOrder(1);
  const behindAgain = (log: bigint): number => {
    const [one, two] = [1n, 2n].map((id) => order.arrive(log, id) as number) as [number, number];
    order.faulted(log, { clientEntryId: 1n, ticket: one }, 'busy');
    order.arrive(log, 1n);
    return two;
  };
  const five = behindAgain(5n);
  assert.equal(order.mayRun(5n, five), false);
  const six = behindAgain(6n);
  assert.deepEqual([order.mayRun(6n, six), order.mayRun(5n, five)], [false, true]);
});

test('what was queued behind a faulted append stays behind when that comes again first', () => {
  const order = new AppendOrder(10);
  const [one, two] = [1n, 2n].map((id) => order.arrive(5n, id) as number) as [number, number];
  order.faulted(5n, { clientEntryId: 1n, ticket: one }, 'busy');
  const again = order.arrive(5n, 1n) as number;
  assert.deepEqual([order.mayRun(5n, two), order.mayRun(5n, again)], [false, true]);
  const twoAgain = order.arrive(5n, 2n) as number;
  assert.ok(order.mayRun(5n, twoAgain));
});

test('a faulted append that is seen decided holds nobody up any more', () => {
  const order = new AppendOrder(10);
  order.faulted(5n, { clientEntryId: 1n, ticket: order.arrive(5n, 1n) as number }, 'busy');
  assert.equal(order.arrive(5n, 2n), undefined);
  order.decided(1n);
  assert.ok(order.arrive(5n, 2n));
  assert.equal(order.isWaiting, false);
});

test('a faulted append that is seen decided leaves its place to the first that was given back behind it', () => {
  const order = new AppendOrder(10);
  order.faulted(5n, { clientEntryId: 1n, ticket: order.arrive(5n, 1n) as number }, 'busy');
  for (const id of [2n, 3n]) assert.equal(order.arrive(5n, id), undefined);
  order.decided(1n);
  assert.equal(order.arrive(5n, 4n), undefined, 'it was under way meanwhile');
  order.decided(2n);
  assert.equal(order.arrive(5n, 4n), undefined);
  assert.ok(order.arrive(5n, 3n));
  assert.ok(order.arrive(5n, 4n));
  assert.equal(order.isWaiting, false);
});

test('a device that sends the decided one again all the same is not held up', () => {
  const order = new AppendOrder(10);
  order.faulted(5n, { clientEntryId: 1n, ticket: order.arrive(5n, 1n) as number }, 'busy');
  assert.equal(order.arrive(5n, 2n), undefined);
  order.decided(1n);
  for (const id of [1n, 2n, 3n]) assert.ok(order.arrive(5n, id));
});

test('what is remembered is bounded: beyond it other logs wait too, and go on once one has come again', () => {
  const order = new AppendOrder(2);
  for (const log of [5n, 6n]) order.faulted(log, { clientEntryId: 1n, ticket: order.arrive(log, 1n) as number }, 'busy');
  assert.equal(order.arrive(7n, 1n), undefined);
  assert.ok(order.arrive(6n, 1n));
  assert.ok(order.arrive(7n, 1n));
});

type Fate = 'decide' | 'fault at once' | 'fault later';

/** A node that gets these appends in one go: decides some, gives others back at once or when their turn comes. */
function take(
  order: AppendOrder,
  appends: readonly number[],
  next: () => Fate,
  faulted: (append: number) => void = () => undefined,
): number[] {
  const queue = appends.flatMap((append) => {
    const ticket = order.arrive(5n, BigInt(append));
    const fate = next();
    if (ticket !== undefined && fate === 'fault at once') {
      faulted(append);
      order.faulted(5n, { clientEntryId: BigInt(append), ticket }, 'rate_limited');
    }
    return ticket === undefined || fate === 'fault at once' ? [] : [{ append, ticket, fate }];
  });
  return queue.flatMap(({ append, ticket, fate }) => {
    if (!order.mayRun(5n, ticket)) {
      order.faulted(5n, { clientEntryId: BigInt(append), ticket }, 'earlier_faulted');
      return [];
    }
    if (fate === 'fault later') {
      faulted(append);
      order.faulted(5n, { clientEntryId: BigInt(append), ticket }, 'busy');
    }
    return fate === 'decide' ? [append] : [];
  });
}

test('whatever faults come at once or later, the appends of a log are decided in the order sent', () => {
  const fate = fc.constantFrom<Fate>('decide', 'fault at once', 'fault later');
  fc.assert(
    fc.property(fc.array(fate, { maxLength: 80 }), fc.integer({ min: 1, max: 6 }), (fates, window) => {
      const order = new AppendOrder(10);
      const decided: number[] = [];
      const sent = Array.from({ length: 12 }, (_, i) => i + 1);
      const next = fates[Symbol.iterator]();
      // A device sends what is unanswered in order, `window` at a time, until everything is decided.
      for (let left = sent; left.length > 0; left = sent.filter((each) => !decided.includes(each)))
        decided.push(...take(order, left.slice(0, window), () => next.next().value ?? 'decide'));
      assert.deepEqual(decided, sent);
    }),
  );
});

test('nor are they when the first of them turn out to be decided while others are under way', () => {
  const fate = fc.constantFrom<Fate>('decide', 'fault at once', 'fault later');
  const turn = fc.record({
    fates: fc.array(fate, { maxLength: 12 }),
    seen: fc.integer({ min: 0, max: 12 }),
    window: fc.integer({ min: 1, max: 6 }),
  });
  fc.assert(
    fc.property(fc.array(turn, { maxLength: 12 }), fc.integer({ min: 0, max: 12 }), (turns, before) => {
      const order = new AppendOrder(10);
      const sent = Array.from({ length: 12 }, (_, i) => i + 1);
      // What an earlier connection had decided, in order; this one learns of it by and by.
      const decided = sent.slice(0, before);
      let shown = 0;
      const run = ({ fates, seen, window }: { fates: readonly Fate[]; seen: number; window: number }): void => {
        const next = fates[Symbol.iterator]();
        const fateOf = () => next.next().value ?? 'decide';
        const answered = new Set<number>();
        const keep = (taken: readonly number[]): void => {
          for (const each of taken) {
            answered.add(each);
            if (!decided.includes(each)) decided.push(each);
          }
        };
        // What it owes comes first, even if it is decided by now.
        const again = sent.filter((each) => each <= shown && owed.has(each));
        const left = sent.filter((each) => each > shown && !done.has(each));
        owed.clear();
        const owe = (each: number) => owed.add(each);
        keep(take(order, [...again, ...left.slice(0, window)], fateOf, owe));
        for (; shown < Math.min(seen, before); shown++) order.decided(BigInt(shown + 1));
        // Sent before any of the answers was in.
        keep(take(order, left.slice(window, 2 * window), fateOf, owe));
        const first = [...again, ...left.slice(0, 2 * window)].find((each) => !answered.has(each));
        if (first !== undefined) owed.add(first);
        for (const each of answered) done.add(each);
      };
      const done = new Set<number>();
      const owed = new Set<number>();
      for (const each of turns) run(each);
      for (let i = 0; i < 40; i++) run({ fates: [], seen: 12, window: 6 });
      assert.deepEqual(decided, sent);
    }),
  );
});
