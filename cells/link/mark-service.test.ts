// What of a mark is stored and told to cells, and what those see who look at it, while epochs of its log come and go.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type FaultCode, WeftError } from '@weft/proto/faults.ts';
import type { MarkMoved } from '@weft/proto/gen/weft/client/v1/client.ts';
import { PullAnswer } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { type EpochStart, makeEpoch } from '@weft/proto/positions.ts';
import { ManualClock } from '@weft/runtime/manual-clock.ts';
import type { LogState } from '../delivery/log-state.ts';
import { type Mark, toMoved } from '../delivery/marks.ts';
import { MarkService } from './mark-service.ts';

const user = 7n;
const mark: Mark = { log: 1n, user, deliveredEpoch: 2n, delivered: 10, seenEpoch: 1n, seen: 5 };

const stateOf = (epochs: readonly EpochStart[]): LogState => ({
  log: 1n,
  epoch: epochs.at(-1)?.epoch ?? 0n,
  epochs,
  version: 1,
  kind: 'direct',
  low: user,
  high: 8n,
  title: '',
  creator: user,
  membersMax: 2,
  members: new Map([
    [user, { home: 1, from: 1 }],
    [8n, { home: 2, from: 1 }],
  ]),
  cells: new Map([[2, { from: 1, until: 0 }]]),
});

function open(state: LogState | undefined, { isWhole = true, said = 'page' }: { isWhole?: boolean; said?: FaultCode | 'page' } = {}) {
  const stored: Mark[] = [];
  const told: MarkMoved[] = [];
  const tellings: number[] = [];
  /** What is stored of seen marks. */
  const already = { seen: 0 };
  const letGo: number[] = [];
  const published: number[] = [];
  const statements: number[] = [];
  const clock = new ManualClock(1_000);
  const store = async (marks: readonly Mark[]): Promise<Mark[]> => {
    stored.push(...marks);
    return [...marks];
  };
  const service = new MarkService({
    cell: 1,
    tables: {
      mergeMarks: store,
      setMarks: (marks) => {
        statements.push(marks.length);
        return store(marks.map((each) => ({ ...each.mark, seen: Math.max(each.mark.seen, already.seen) })));
      },
      readWaitingMarks: async () => [mark],
      toldMarks: async (dst) => void letGo.push(dst),
    },
    link: {
      publish: async ({ dst }: { dst: number }) => void published.push(dst),
      request: async () => {
        if (said === 'peer_away') throw new WeftError(said);
        return PullAnswer.encode({ result: said === 'page' ? page : faultOf(said) }).finish();
      },
    } as never,
    freshId: () => 1n,
    homeOf: () => 2,
    stateOf: async () => state,
    readState: async () => state,
    isWhole: () => isWhole,
    moved: (marks) => {
      tellings.push(marks.length);
      told.push(...marks);
    },
    clock,
    failed: (error) => assert.fail(String(error)),
    limits: { marksMembersMax: 200, marksPerFrameMax: 8, marksGatherMs: 25, marksTellMs: 200, resendAfterMs: 1_000 },
  });
  return { service, stored, told, tellings, already, letGo, published, statements, clock };
}

const page: PullAnswer['result'] = { $case: 'page', value: { snapshot: undefined, entries: [], head: undefined, epochs: [] } };
const faultOf = (code: FaultCode): PullAnswer['result'] => ({
  $case: 'fault',
  value: { code, text: '', retry: 'RETRY_NEVER', afterMs: 0 },
});

const seqs = (marks: readonly MarkMoved[]): bigint[] => marks.map(({ seq }) => seq);

test('a mark above what a newer epoch gave up is stored as it was set, and told where it stands', async () => {
  const state = stateOf([
    { epoch: 1n, base: 0 },
    { epoch: 3n, base: 4 },
  ]);
  const { service, stored, told, clock } = open(state);
  await service.set(mark, state);
  assert.deepEqual(stored, [mark]);
  clock.advance(200);
  assert.deepEqual(seqs(told), [4n, 4n]);
  assert.equal(await service.take(2, toMoved(mark)), true);
  assert.deepEqual(stored, [mark, mark]);
  clock.advance(200);
  assert.deepEqual(seqs(told), [4n, 4n, 4n, 4n]);
});

test('a log that begins anew leaves no mark of an older epoch above its beginning', async () => {
  const state = stateOf([{ epoch: 3n, base: 0 }]);
  const { service, stored, told, clock } = open(state);
  await service.set(mark, state);
  clock.advance(200);
  assert.deepEqual([stored, told], [[mark], []]);
});

test('a mark of an epoch that this cell has not heard of is stored and told as it comes', async () => {
  const { service, stored, told, clock } = open(stateOf([{ epoch: 1n, base: 0 }]));
  assert.equal(await service.take(2, toMoved(mark)), true);
  clock.advance(200);
  assert.deepEqual([stored, seqs(told)], [[mark], [10n, 5n]]);
});

test('marks in a log not heard of yet come again, and those in one that a restore took from this cell or another do not', async () => {
  const markIn = (owner: number): Mark => ({
    ...mark,
    deliveredEpoch: makeEpoch({ count: 1, cell: owner, generation: 1 }),
    seenEpoch: 0n,
    seen: 0,
  });
  const taken = (owner: number, of: Parameters<typeof open>[1]): Promise<boolean> =>
    open(undefined, of).service.take(2, toMoved(markIn(owner)));
  assert.deepEqual([await taken(1, { isWhole: false }), await taken(1, { isWhole: true })], [false, true]);
  const answers = ['page', 'not_allowed', 'busy', 'peer_away', 'unknown_log'] as const;
  assert.deepEqual(await Promise.all(answers.map((said) => taken(3, { said }))), [false, false, false, false, true]);
});

test('nor do marks of who joined a log, as far as this cell has heard of it, in what a restore took with all before it', async () => {
  const epochOf = (count: number, owner: number): bigint => makeEpoch({ count, cell: owner, generation: 1 });
  const ofStranger: Mark = { ...mark, user: 9n, deliveredEpoch: epochOf(1, 3), seenEpoch: 0n, seen: 0 };
  const known: Mark = { ...mark, deliveredEpoch: epochOf(1, 3), seenEpoch: 0n, seen: 0 };
  const taken = async (owner: number, of: Parameters<typeof open>[1]): Promise<unknown> => {
    const { service, stored } = open(stateOf([{ epoch: epochOf(2, owner), base: 0 }]), of);
    const isTaken = await service.take(2, [...toMoved(ofStranger), ...toMoved(known)]);
    assert.deepEqual(stored, [known]);
    return isTaken;
  };
  const answers = ['page', 'not_allowed', 'busy', 'peer_away', 'unknown_log'] as const;
  assert.deepEqual(await Promise.all(answers.map((said) => taken(3, { said }))), [false, false, false, false, true]);
  // The newest owner known here is asked, and this cell knows what it owns.
  assert.equal(await taken(1, { said: 'unknown_log' }), false);
});

test('a mark that waits is told to a cell that has members in the log, and let go for one that has none', async () => {
  const state = stateOf([{ epoch: 1n, base: 0 }]);
  const { service, letGo, published } = open(state);
  await service.tell(2);
  assert.deepEqual([published, letGo], [[2], []]);
  await service.tell(3);
  assert.deepEqual([published, letGo], [[2], [3]]);
});

test('marks that come at about the same time are stored by one statement, the furthest of each', async () => {
  const state = stateOf([{ epoch: 1n, base: 0 }]);
  const { service, stored, told, statements, clock } = open(state);
  const at = (seq: number, of = user): Mark => ({ ...mark, user: of, deliveredEpoch: 1n, delivered: seq, seenEpoch: 1n, seen: 0 });
  await service.set(at(1), state);
  const rest = Promise.all([at(3), at(2), at(4), at(2, 8n)].map((each) => service.set(each, state)));
  clock.advance(24);
  assert.deepEqual(statements, [1]);
  clock.advance(1);
  await rest;
  assert.deepEqual(
    [statements, stored],
    [
      [1, 2],
      [at(1), at(4), at(2, 8n)],
    ],
  );
  clock.advance(200);
  assert.deepEqual(seqs(told), [4n, 2n]);
  await service.set(at(5), state);
  assert.deepEqual(statements, [1, 2, 1]);
});

test('what moves within a moment is told at once, the furthest of each, and a kind that did not move is not told', async () => {
  const state = stateOf([{ epoch: 1n, base: 0 }]);
  const { service, told, tellings, already, clock } = open(state);
  const at = (delivered: number, seen: number): Mark => ({ ...mark, deliveredEpoch: 1n, delivered, seenEpoch: seen ? 1n : 0n, seen });
  await service.set(at(4, 4), state);
  clock.advance(100);
  await service.set(at(6, 0), state);
  await service.take(2, toMoved({ ...at(2, 0), user: 8n }));
  clock.advance(99);
  assert.deepEqual(tellings, []);
  clock.advance(1);
  assert.deepEqual([tellings, seqs(told)], [[3], [6n, 4n, 2n]]);
  clock.advance(200);
  assert.deepEqual(tellings, [3]);
  already.seen = 4;
  await service.set(at(7, 0), state);
  clock.advance(200);
  assert.deepEqual(
    told.slice(3).map(({ kind, seq }) => [kind, seq]),
    [['MARK_KIND_DELIVERED', 7n]],
  );
  await service.set(at(8, 8), state);
  service[Symbol.dispose]();
  clock.advance(200);
  assert.equal(told.length, 4);
});
