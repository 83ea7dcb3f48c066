import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AskTogether } from './ask-together.ts';

/** A store that answers when it is told to, and pauses that end when they are told to. */
class Staged {
  readonly rounds: { readonly asks: readonly number[]; readonly end: (error?: Error) => void }[] = [];
  pauses: (() => void)[] = [];
  readonly reads: AskTogether<number, string>;

  constructor(underWayMax = 4) {
    this.reads = new AskTogether({
      answer: (asks) =>
        new Promise((resolve, reject) => {
          const end = (error?: Error): void => (error ? reject(error) : resolve(asks.map((ask) => `answer ${ask}`)));
          this.rounds.push({ asks, end });
        }),
      asksMax: 3,
      underWayMax,
      turn: () => Promise.resolve(),
      pause: () => new Promise((resolve) => this.pauses.push(resolve)),
    });
  }

  get asked(): readonly (readonly number[])[] {
    return this.rounds.map(({ asks }) => asks);
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('who asks alone is read at the end of the turn, together with those of the same turn', async () => {
  const staged = new Staged();
  const answers = Promise.all([1, 2].map((ask) => staged.reads.ask(ask)));
  await settled();
  assert.deepEqual(staged.asked, [[1, 2]]);
  assert.equal(staged.pauses.length, 0);
  staged.rounds[0]?.end();
  assert.deepEqual(await answers, ['answer 1', 'answer 2']);
  void staged.reads.ask(3);
  await settled();
  assert.deepEqual(staged.asked, [[1, 2], [3]]);
  assert.equal(staged.pauses.length, 0);
});

test('those who come while others are being read share the round trip after a pause, whether the others are done or not', async () => {
  const staged = new Staged();
  void staged.reads.ask(1);
  await settled();
  const second = staged.reads.ask(2);
  await settled();
  const third = staged.reads.ask(3);
  await settled();
  assert.deepEqual(staged.asked, [[1]]);
  staged.pauses[0]?.();
  await settled();
  assert.deepEqual(staged.asked, [[1], [2, 3]]);
  staged.rounds[1]?.end();
  assert.deepEqual([await second, await third], ['answer 2', 'answer 3']);
});

test('a round trip takes no more than it may, and no more are under way than may be', async () => {
  const staged = new Staged(2);
  const answers = Promise.all([1, 2, 3, 4, 5, 6, 7].map((ask) => staged.reads.ask(ask)));
  await settled();
  assert.deepEqual(staged.asked, [
    [1, 2, 3],
    [4, 5, 6],
  ]);
  staged.rounds[1]?.end();
  await settled();
  assert.deepEqual(staged.asked[2], [7]);
  staged.rounds[0]?.end();
  staged.rounds[2]?.end();
  assert.equal((await answers).length, 7);
});

test('of a round trip that fails each is read alone, and only what cannot be read fails', async () => {
  const staged = new Staged();
  const answers = Promise.allSettled([1, 2, 3].map((ask) => staged.reads.ask(ask)));
  await settled();
  staged.rounds[0]?.end(new RangeError('a column is not of 8 bytes'));
  await settled();
  assert.deepEqual(staged.asked, [[1, 2, 3], [1], [2], [3]]);
  staged.rounds[1]?.end();
  staged.rounds[2]?.end(new RangeError('a column is not of 8 bytes'));
  staged.rounds[3]?.end();
  assert.deepEqual(
    (await answers).map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  );
});

test('a store that is away is not asked again for each', async () => {
  const staged = new Staged();
  const answers = Promise.allSettled([1, 2, 3].map((ask) => staged.reads.ask(ask)));
  await settled();
  staged.rounds[0]?.end(new Error('Connection terminated unexpectedly'));
  assert.deepEqual(
    (await answers).map(({ status }) => status),
    ['rejected', 'rejected', 'rejected'],
  );
  assert.equal(staged.rounds.length, 1);
});
