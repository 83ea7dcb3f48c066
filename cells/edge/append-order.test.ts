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
  assert.equal(order.isWaiting, false);
  assert.ok(order.arrive(5n, 2n));
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
function take(order: AppendOrder, appends: readonly number[], next: () => Fate): number[] {
  const queue = appends.flatMap((append) => {
    const ticket = order.arrive(5n, BigInt(append));
    const fate = next();
    if (ticket !== undefined && fate === 'fault at once') order.faulted(5n, { clientEntryId: BigInt(append), ticket }, 'rate_limited');
    return ticket === undefined || fate === 'fault at once' ? [] : [{ append, ticket, fate }];
  });
  return queue.flatMap(({ append, ticket, fate }) => {
    if (!order.mayRun(5n, ticket)) return [];
    if (fate === 'fault later') order.faulted(5n, { clientEntryId: BigInt(append), ticket }, 'busy');
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
