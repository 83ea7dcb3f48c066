import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '@weft/runtime/manual-clock.ts';
import { Lane, type LaneLimits } from './lane.ts';
import { pairOf } from './log-state.ts';
import type { AppendOperation, Operation, Outcome } from './operations.ts';
import { type Facts, type LogStore, MaybeCommitted, RunAgain, type WriteKeys, type Writes } from './ports.ts';
import { StagedCell, text, userOf } from './staged-cell.ts';

const ana = userOf(1, 1);
const pair = pairOf(ana, userOf(1, 2));

const limits: LaneLimits = {
  batchEntriesMax: 256,
  batchBytesMax: 256 * 1024,
  queueMax: 10,
  queueBytesMax: 8 * 1024 * 1024,
  retryMsMax: 8_000,
  retryPauseMs: 0,
  lingerMs: 0,
  lingerFrom: 0,
  lingerBelow: 0,
  sharedLockMsMax: 50,
};

const lingering = { lingerMs: 4, lingerFrom: 4, lingerBelow: 4 };

/** Sleeping makes the time pass. */
class ImpatientClock extends ManualClock {
  readonly slept: number[] = [];

  override async sleep(ms: number): Promise<void> {
    this.slept.push(ms);
    this.advance(ms + 1);
  }
}

interface Bench {
  readonly lane: Lane;
  /** Another lane of the same node. */
  readonly other: Lane;
  readonly cell: StagedCell;
  /** Client entry ids of each attempted batch. */
  readonly attempts: bigint[][];
  readonly failures: unknown[];
  readonly doubts: number[];
  /** What the lane has waited for, milliseconds each. */
  readonly slept: readonly number[];
  /** How long each attempt would have waited for a lock; undefined: as long as the store allows. */
  readonly patience: (number | undefined)[];
  submit(operation: AppendOperation, mayRun?: () => boolean, into?: Lane): Promise<Outcome>;
}

/** Lets everything happen that waits for nothing but its turn. */
const idle = async (): Promise<void> => {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
};

/** A lane over a staged cell; `fails` throws instead of the transaction it is asked about. */
function open(
  fails: (ids: readonly bigint[], attempt: number) => Error | undefined,
  more: Partial<LaneLimits> = {},
  held: Promise<void> = Promise.resolve(),
): Bench {
  const cell = new StagedCell(1, [ana, userOf(1, 2)]);
  const attempts: bigint[][] = [];
  const failures: unknown[] = [];
  const doubts: number[] = [];
  const patience: (number | undefined)[] = [];
  const store = {
    findPairs: async () => new Map(cell.pairs),
    async write<T extends { readonly writes: Writes }>(_lane: number, keys: WriteKeys, decide: (facts: Facts) => T): Promise<T> {
      const ids = keys.intakes.map(({ clientEntryId }) => clientEntryId);
      attempts.push(ids);
      patience.push(keys.lockMsMax);
      await held;
      const error = fails(ids, attempts.length);
      if (error) throw error;
      const decision = decide(cell.facts(keys));
      cell.keep(decision.writes);
      return decision;
    },
  } as unknown as LogStore;
  const clock = new ImpatientClock(cell.nowMs);
  const make = (): Lane =>
    new Lane({
      lane: 0,
      store,
      clock,
      freshLog: () => cell.freshId(),
      context: () => cell.context(),
      limits: { ...limits, ...more },
      committed: ({ submissions, decision }) => {
        for (const [i, { settle }] of submissions.entries()) settle(decision.outcomes[i] as Outcome);
      },
      failed: (error) => failures.push(error),
      unsure: () => doubts.push(attempts.length),
      together: () => both,
    });
  const both: readonly Lane[] = [make(), make()];
  const [lane, other] = both as readonly [Lane, Lane];
  const submit = (operation: AppendOperation, mayRun?: () => boolean, into = lane): Promise<Outcome> =>
    new Promise((settle) => {
      if (!into.submit({ operation, settle, ...(mayRun ? { mayRun } : {}) })) settle({ type: 'fault', code: 'busy' });
    });
  return { lane, other, cell, attempts, failures, doubts, patience, submit, slept: clock.slept };
}

const append = (id: bigint): AppendOperation => text({ pair }, ana, id);
const codes = (outcomes: readonly Outcome[]): string[] => outcomes.map((o) => (o.type === 'fault' ? o.code : o.type));
/** So many entries of another cell's log. */
const run = (count: number): Operation =>
  ({
    type: 'apply',
    src: 2,
    log: 6n,
    entries: Array.from({ length: count }, (_, n) => ({
      seq: n + 1,
      author: ana,
      clientEntryId: BigInt(n + 1),
      kind: 1,
      body: new Uint8Array(10),
    })),
  }) as unknown as Operation;
const never = (): undefined => undefined;

test('what arrives in one turn of the event loop is one transaction', async () => {
  const { submit, attempts } = open(never);
  await Promise.all([submit(append(1n)), submit(append(2n)), submit(append(3n))]);
  assert.deepEqual(attempts, [[1n, 2n, 3n]]);
});

test('a commit whose answer was lost is doubted once, after the attempt that tells; one that was rolled back is not', async () => {
  const lost = open((_, attempt) => (attempt === 1 ? new MaybeCommitted('no answer') : undefined));
  assert.deepEqual(codes([await lost.submit(append(1n))]), ['accepted']);
  assert.deepEqual(lost.doubts, [2]);
  const rolledBack = open((_, attempt) => (attempt === 1 ? new RunAgain('40001') : undefined));
  assert.deepEqual(codes([await rolledBack.submit(append(1n))]), ['accepted']);
  assert.deepEqual(rolledBack.doubts, []);
});

test('one id twice in a batch is one append with two waiters', async () => {
  const { submit, cell } = open(never);
  const [one, two] = await Promise.all([submit(append(1n)), submit(append(1n))]);
  assert.deepEqual(
    [one, two].map((outcome) => outcome?.type === 'accepted' && [outcome.entry.seq, outcome.fresh]),
    [
      [2, true],
      [2, false],
    ],
  );
  assert.equal(cell.entries.filter(({ clientEntryId }) => clientEntryId === 1n).length, 1);
});

test('an error halves the batch until the culprit stands alone', async () => {
  const { submit, failures } = open((ids) => (ids.includes(4n) ? new Error('a bad value') : undefined));
  const outcomes = await Promise.all([1n, 2n, 3n, 4n, 5n, 6n].map((id) => submit(append(id))));
  assert.deepEqual(codes(outcomes), ['accepted', 'accepted', 'accepted', 'internal', 'accepted', 'accepted']);
  assert.equal(failures.length, 1);
});

test('what the session sent after the culprit waits for it, also when the batch was halved', async () => {
  const marked = open((ids) => (ids.includes(2n) ? new Error('a bad value') : undefined));
  let isFaulted = false;
  const settled: string[] = [];
  const wait = [1n, 2n, 3n, 4n].map(
    (id) =>
      new Promise<void>((resolve) => {
        const settle = (outcome: Outcome): void => {
          isFaulted ||= outcome.type === 'fault';
          settled.push(`${id} ${codes([outcome])[0]}`);
          resolve();
        };
        marked.lane.submit({ operation: append(id), settle, mayRun: () => !isFaulted });
      }),
  );
  await Promise.all(wait);
  assert.deepEqual(settled, ['1 accepted', '2 internal', '3 earlier_faulted', '4 earlier_faulted']);
});

test('a transaction that may have committed runs again as a whole, and nothing is doubled', async () => {
  const { submit, attempts, cell } = open((_, attempt) => (attempt < 3 ? new RunAgain('40001') : undefined));
  const outcomes = await Promise.all([submit(append(1n)), submit(append(2n))]);
  assert.deepEqual(codes(outcomes), ['accepted', 'accepted']);
  assert.deepEqual(attempts, [
    [1n, 2n],
    [1n, 2n],
    [1n, 2n],
  ]);
  assert.equal(cell.entries.filter(({ kind }) => kind === 9).length, 2);
});

test('after its time a transaction is given back as busy, not as a bug', async () => {
  const { submit, failures } = open(() => new RunAgain('away'), { retryPauseMs: 1_000 });
  assert.deepEqual(codes(await Promise.all([submit(append(1n)), submit(append(2n))])), ['busy', 'busy']);
  assert.equal(failures.length, 1);
});

test('a full queue is busy; what is over its bytes is too', async () => {
  const { submit } = open(never);
  const outcomes = await Promise.all(Array.from({ length: 12 }, (_, i) => submit(append(BigInt(i + 1)))));
  assert.deepEqual(codes(outcomes).slice(9), ['accepted', 'busy', 'busy']);
  const small = open(never, { queueBytesMax: 100 });
  assert.deepEqual(codes(await Promise.all([small.submit(append(1n)), small.submit(append(2n))])), ['accepted', 'busy']);
});

test('a batch is cut at its entries', async () => {
  const { submit, attempts } = open(never, { batchEntriesMax: 2 });
  await Promise.all([1n, 2n, 3n].map((id) => submit(append(id))));
  assert.deepEqual(
    attempts.map((ids) => ids.length),
    [2, 1],
  );
});

/** A lane whose transactions wait until released; of each, what it had. */
function held(nameOf: (operation: Operation) => string) {
  const { promise, resolve: release } = Promise.withResolvers<void>();
  const batches: string[][] = [];
  const lane = new Lane({
    lane: 0,
    store: { findPairs: async () => new Map(), write: () => promise.then(() => ({ writes: {}, outcomes: [] })) } as unknown as LogStore,
    clock: new ImpatientClock(0),
    freshLog: () => 1n,
    context: () => new StagedCell(1, [ana]).context(),
    limits: { ...limits, batchEntriesMax: 8, queueMax: 1_000 },
    committed: ({ submissions }) => batches.push(submissions.map(({ operation }) => nameOf(operation))),
    failed: (error) => assert.fail(String(error)),
    unsure: () => undefined,
  });
  return { lane, batches, release, submit: (operation: Operation) => lane.submit({ operation, settle: () => undefined }) };
}

test('what people of this cell say goes before a backlog of another cell, which keeps a quarter of the room', async () => {
  const name = (operation: Operation): string => (operation.type === 'append' ? `own ${operation.clientEntryId}` : 'far');
  const { lane, batches, release, submit } = held(name);
  for (let n = 0; n < 40; n++) submit(run(1));
  await idle();
  for (let n = 1; n <= 20; n++) submit(text({ log: 5n }, ana, BigInt(n)));
  // A whole batch of its own, behind the others.
  submit(run(8));
  release();
  await lane.drain();
  const ownIn = batches.map((batch) => batch.filter((one) => one !== 'far').length);
  assert.deepEqual(ownIn.slice(0, 5), [0, 6, 6, 6, 2]);
  assert.deepEqual(
    batches.flat().filter((one) => one !== 'far'),
    Array.from({ length: 20 }, (_, n) => `own ${n + 1}`),
  );
  assert.equal(batches.flat().length, 61, 'everything was committed');
});

test('a run too large for the room that is kept goes first in the next batch', async () => {
  const { lane, batches, release, submit } = held(({ type }) => type);
  submit(text({ log: 5n }, ana, 1_000n));
  await idle();
  for (let n = 1; n <= 40; n++) submit(text({ log: 5n }, ana, BigInt(n)));
  submit(run(8));
  release();
  await lane.drain();
  const kinds = batches.map((batch) => [...new Set(batch)].join('+'));
  assert.deepEqual(kinds.slice(0, 4), ['append', 'append', 'apply', 'append']);
});

test('what waits in two lanes shares a transaction, and neither runs another meanwhile', async () => {
  const { promise: held, resolve: release } = Promise.withResolvers<void>();
  const { other, attempts, submit } = open(never, {}, held);
  const first = [submit(append(1n)), submit(append(2n), undefined, other)];
  await idle();
  const later = [submit(append(3n), undefined, other), submit(append(4n))];
  await idle();
  assert.deepEqual(attempts, [[1n, 2n]]);
  release();
  assert.deepEqual(codes(await Promise.all([...first, ...later])), ['accepted', 'accepted', 'accepted', 'accepted']);
  assert.deepEqual(new Set(attempts[1]), new Set([3n, 4n]));
});

test('a shared transaction waits for locks only briefly, and after one failure each lane goes its own way', async () => {
  let met = 0;
  const { lane, other, attempts, patience, submit } = open((ids) => (ids.includes(2n) && ++met < 5 ? new RunAgain('held') : undefined));
  const first = submit(append(1n));
  const held = submit(append(2n), undefined, other);
  const behind = submit(append(3n), undefined, other);
  assert.deepEqual(codes(await Promise.all([first, held, behind])), ['accepted', 'accepted', 'accepted']);
  await Promise.all([lane.drain(), other.drain()]);
  assert.deepEqual([attempts[0], patience[0]], [[1n, 2n, 3n], limits.sharedLockMsMax]);
  assert.deepEqual(new Set(attempts.slice(1).map((ids) => ids.join())), new Set(['1', '2,3']));
  assert.ok(patience.slice(1).every((ms) => ms === undefined));
});

test('who comes alone waits for nobody, however soon after the last', async () => {
  const { submit, other, slept } = open(never, lingering);
  for (const into of [undefined, undefined, other, other]) await submit(append(1n), undefined, into);
  assert.deepEqual(slept, []);
});

test('after a transaction of some the next waits for company, in each lane that had part in it, until many wait', async () => {
  const { submit, other, attempts, slept } = open(never, lingering);
  const crowd = () => [submit(append(1n)), submit(append(2n)), submit(append(3n), undefined, other), submit(append(4n), undefined, other)];
  await Promise.all(crowd());
  await submit(append(5n), undefined, other);
  assert.deepEqual([attempts.length, slept], [2, [lingering.lingerMs]]);
  // That one was alone: company is not to be expected any more.
  await submit(append(6n), undefined, other);
  await Promise.all(crowd());
  await Promise.all([...crowd(), submit(append(7n))]);
  assert.deepEqual(slept, [lingering.lingerMs]);
});

test('lanes whose batches do not fit together run side by side', async () => {
  const { other, attempts, submit } = open(never, { batchEntriesMax: 2 });
  await submit(append(9n));
  await Promise.all([submit(append(1n)), submit(append(2n)), submit(append(3n), undefined, other)]);
  assert.deepEqual(new Set(attempts.map((ids) => ids.join())), new Set(['9', '1,2', '3']));
});

test('a lane that is drained takes nothing more, and is empty', async () => {
  const { lane, submit } = open(never);
  const last = submit(append(1n));
  await lane.drain();
  assert.equal((await last).type, 'accepted');
  assert.deepEqual(codes([await submit(append(2n))]), ['busy']);
});
