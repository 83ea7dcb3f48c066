import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PullAnswer, PullRequest } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { makeEpoch } from '@weft/proto/positions.ts';
import { ManualClock } from '@weft/runtime/manual-clock.ts';
import type { Entry } from './entry.ts';
import { stateAfterCreation } from './log-state.ts';
import type { ApplyOperation } from './operations.ts';
import type { BehindRow, Link, LogStore } from './ports.ts';
import { Puller } from './puller.ts';
import { encodeSnapshot } from './snapshot.ts';
import { groupOf, userOf } from './staged-cell.ts';

const pageEntries = 100;
const limits = {
  pullsAtOnceMax: 1,
  earlyMax: 10,
  pullEntriesPerSecondMax: 1_000,
  pullBacklogPerSecondMax: 1_000,
  pullEntriesMax: pageEntries,
};
const settled = async (): Promise<void> => {
  for (let n = 0; n < 10; n++) await new Promise<void>((resolve) => void setImmediate(resolve));
};

/** Logs of another cell: how long each is there, and how long here. */
function open(lengths: Readonly<Record<string, number>>, entriesPerSecondMax: number, backlogPerSecondMax = entriesPerSecondMax) {
  const clock = new ManualClock(1_800_000_000_000);
  const heads = new Map<bigint, number>();
  const asked: bigint[] = [];
  const store = {
    readRow: async (log: bigint) => ({
      row: { head: heads.get(log) ?? 0, epoch: makeEpoch({ count: 1, cell: 2, generation: 1 }) },
      state: { epochs: [], members: new Map() },
    }),
  } as unknown as LogStore;
  const request: Link['request'] = async (_dst, _method, bytes) => {
    const { log, from } = PullRequest.decode(bytes);
    asked.push(log);
    const head = lengths[String(log)] ?? 0;
    const count = Math.min(pageEntries, head - Number(from) + 1);
    const entries = Array.from({ length: count }, (_, i) => ({ log, seq: from + BigInt(i) }));
    return PullAnswer.encode(
      PullAnswer.fromPartial({ result: { $case: 'page', value: { entries, head: { log, seq: BigInt(head) } } } }),
    ).finish();
  };
  const puller = new Puller({
    cell: 1,
    store,
    link: { request } as Link,
    clock,
    takeover: () => undefined,
    generationOf: () => 1,
    limits: { ...limits, pullEntriesPerSecondMax: entriesPerSecondMax, pullBacklogPerSecondMax: backlogPerSecondMax },
    apply: async ({ log, entries }) => {
      const head = Number(entries.at(-1)?.seq ?? 0);
      heads.set(log, head);
      return { type: 'applied', head } as never;
    },
    fromWire: (entry) => ({ log: entry.log, seq: Number(entry.seq) }) as Entry,
    longer: () => undefined,
    pulled: () => undefined,
    failed: (error) => assert.fail(String(error)),
  });
  return { puller, clock, asked, heads };
}

test('a long log takes turns with a short one', async () => {
  const { puller, asked } = open({ 7: 5 * pageEntries, 8: 10 }, 1_000_000_000);
  puller.want(7n, 2);
  puller.want(8n, 2);
  await settled();
  assert.deepEqual(asked, [7n, 8n, 7n, 7n, 7n, 7n]);
});

test('a log that is longer than a page is pulled more slowly than those whose end a page reaches', async () => {
  const { puller, clock, asked } = open({ 7: 2 * pageEntries, 8: 10, 9: 10 }, 10, pageEntries / 4);
  puller.want(8n, 2);
  puller.want(7n, 2);
  await settled();
  assert.deepEqual(asked, [8n]);
  clock.advance(1_000);
  await settled();
  assert.deepEqual(asked, [8n, 7n]);
  puller.want(9n, 2);
  clock.advance(3_999);
  await settled();
  assert.deepEqual(asked, [8n, 7n]);
  clock.advance(1);
  await settled();
  assert.deepEqual(asked, [8n, 7n, 7n]);
});

test('no more entries a second are pulled than the lanes have room for', async () => {
  const { puller, clock, asked } = open({ 7: 5 * pageEntries }, pageEntries);
  puller.want(7n, 2);
  await settled();
  assert.equal(asked.length, 1);
  clock.advance(999);
  await settled();
  assert.equal(asked.length, 1);
  for (let second = 0; second < 5; second++) {
    clock.advance(1_000);
    await settled();
  }
  assert.equal(asked.length, 5);
});

/**
 * Cell 1 was out of the log for a while, from `left` on: its run begins anew after 12. A restored owner went on after 5; what is held of
 * 1..5 is told.
 */
async function partedAt5(held: readonly number[], left?: number) {
  const old = makeEpoch({ count: 1, cell: 2, generation: 1 });
  const epochs = [
    { epoch: old, base: 0 },
    { epoch: makeEpoch({ count: 2, cell: 2, generation: 2 }), base: 5 },
  ];
  const { author, body, kind } = groupOf(userOf(2, 1), [userOf(1, 1)]);
  const made = { log: 7n, epoch: old, seq: 1, ts: 1, author, clientEntryId: 1n, ord: 0, kind, flags: 0, body };
  const created = stateAfterCreation(made);
  assert.ok(created);
  const state = left === undefined ? created : { ...created, cells: new Map(created.cells).set(1, { from: 1, until: left }) };
  const store = {
    readRow: async () => ({ row: { head: 20, epoch: old }, state: { epochs: epochs.slice(0, 1), members: new Map() }, start: 12 }),
    readRange: async (_: bigint, from: number, to: number, limit: number) =>
      held.flatMap((seq) => (seq >= from && seq <= to ? [{ seq }] : [])).slice(0, limit),
  } as unknown as LogStore;
  const request: Link['request'] = async (_dst, _method, bytes) => {
    const { from, snapshot } = PullRequest.decode(bytes);
    const wire = epochs.map(({ epoch, base }) => ({ epoch, base: BigInt(base) }));
    const page =
      from === 1n
        ? { entries: [{ seq: 1n }], epochs: wire }
        : {
            entries: [],
            epochs: wire,
            ...(snapshot && { snapshot: encodeSnapshot({ state, start: Number(from) - 1, ts: 1, ord: 0, hash: new Uint8Array(32) }) }),
          };
    return PullAnswer.encode(PullAnswer.fromPartial({ result: { $case: 'page', value: page } })).finish();
  };
  const applied: ApplyOperation[] = [];
  const puller = new Puller({
    cell: 1,
    store,
    link: { request } as Link,
    clock: new ManualClock(1_800_000_000_000),
    takeover: () => undefined,
    generationOf: () => 1,
    limits: { ...limits, pullEntriesMax: 2 },
    apply: async (operation) => {
      applied.push(operation);
      return { type: 'applied', head: 5 } as never;
    },
    fromWire: () => made,
    longer: () => undefined,
    pulled: () => undefined,
    failed: (error) => assert.fail(String(error)),
  });
  puller.want(7n, 2);
  await settled();
  return [applied[0]?.cut, applied[0]?.begins, applied[0]?.snapshot?.start];
}

test('a run that began above what a newer epoch leaves goes back to the one before, as far as that is here', async () => {
  assert.deepEqual(await partedAt5([1, 2, 3, 4, 5, 13]), [5, 0, 5]);
  assert.deepEqual(await partedAt5([1, 2, 3, 5, 13]), [3, 0, 3]);
});

test('where nothing of the one before is here, and it began with the log, the log is read from its first entry', async () => {
  assert.deepEqual(await partedAt5([5, 13]), [0, 0, 0]);
});

test('of a time in which nobody here was in the log nothing is held, so the run before ends where they left', async () => {
  assert.deepEqual(await partedAt5([1, 2, 3, 13], 3), [3, 0, 3]);
});

/** A puller that knows nothing of log 7 and is answered `result`; what it then notes and forgets. */
function unknowing(result: PullAnswer['result'], generation = 1) {
  const [noted, forgotten]: [BehindRow[], BehindRow[]] = [[], []];
  const puller = new Puller({
    cell: 1,
    store: {
      readRow: async () => undefined,
      noteBehind: async (rows: BehindRow[]) => void noted.push(...rows),
      forgetBehind: async (row: BehindRow) => void forgotten.push(row),
    } as unknown as LogStore,
    link: { request: async () => PullAnswer.encode({ result }).finish() } as never,
    clock: new ManualClock(1_800_000_000_000),
    takeover: () => undefined,
    generationOf: () => generation,
    limits,
    apply: () => assert.fail(),
    fromWire: () => assert.fail(),
    longer: () => undefined,
    pulled: () => undefined,
    failed: (error) => assert.fail(String(error)),
  });
  return { puller, noted, forgotten };
}

const never = (code: string): PullAnswer['result'] => ({
  $case: 'fault',
  value: { code, text: '', retry: 'RETRY_NEVER', afterMs: 0 },
});

test('the owner’s word that there is nothing to be had makes forget what was noted before it was asked, and nothing else', async () => {
  const { puller, forgotten } = unknowing(never('not_allowed'));
  puller.want(7n, 2);
  await settled();
  assert.deepEqual(forgotten, []);
  const noted = { log: 7n, epoch: 9n, known: 12, src: 2 };
  puller.want(7n, 2, noted);
  await settled();
  assert.deepEqual(forgotten, [noted]);
});

test('who is named as the next owner may not have heard of the log yet, unless it was restored since', async () => {
  const epoch = makeEpoch({ count: 2, cell: 3, generation: 1 });
  const first = unknowing({ $case: 'moved', value: { subject: 7n, cell: 3, epoch } });
  first.puller.want(7n, 2, { log: 7n, epoch: makeEpoch({ count: 1, cell: 2, generation: 1 }), known: 12, src: 2 });
  await settled();
  assert.deepEqual(first.noted, [{ log: 7n, epoch, known: 0, src: 3 }]);
  const forgets = async (src: number, generation: number): Promise<boolean> => {
    const { puller, forgotten } = unknowing(never('unknown_log'), generation);
    puller.want(7n, src, { log: 7n, epoch, known: 0, src });
    await settled();
    return forgotten.length > 0;
  };
  assert.deepEqual([await forgets(3, 1), await forgets(3, 2), await forgets(2, 1)], [false, true, true]);
});

test('so does a page with nothing for this cell, whose people are out of the log', async () => {
  const forgotten: BehindRow[] = [];
  const state = { epochs: [], members: new Map() };
  const page = { entries: [], head: { log: 7n, seq: 15n } };
  const puller = new Puller({
    cell: 1,
    store: {
      readRow: async () => ({ row: { head: 15, epoch: makeEpoch({ count: 1, cell: 2, generation: 1 }) }, state, start: 0 }),
      forgetBehind: async (row: BehindRow) => void forgotten.push(row),
    } as unknown as LogStore,
    link: { request: async () => PullAnswer.encode(PullAnswer.fromPartial({ result: { $case: 'page', value: page } })).finish() } as never,
    clock: new ManualClock(1_800_000_000_000),
    takeover: () => undefined,
    generationOf: () => 1,
    limits,
    apply: async () => ({ type: 'applied', head: 15, behind: false }),
    fromWire: () => assert.fail(),
    longer: () => undefined,
    pulled: () => undefined,
    failed: (error) => assert.fail(String(error)),
  });
  const noted = { log: 7n, epoch: makeEpoch({ count: 2, cell: 2, generation: 2 }), known: 19, src: 2 };
  puller.want(7n, 2, noted);
  await settled();
  assert.deepEqual(forgotten, [noted]);
});

test('a log that is this cell’s own is not pulled: who says that there is more of it is looked into', async () => {
  const told: unknown[] = [];
  const own = { row: { head: 15, epoch: makeEpoch({ count: 1, cell: 1, generation: 1 }) }, state: {}, start: 0 };
  const puller = new Puller({
    cell: 1,
    store: { readRow: async () => own } as unknown as LogStore,
    link: { request: () => assert.fail() } as never,
    clock: new ManualClock(1_800_000_000_000),
    takeover: () => undefined,
    generationOf: () => 1,
    limits,
    apply: () => assert.fail(),
    fromWire: () => assert.fail(),
    longer: (...what) => void told.push(what),
    pulled: () => undefined,
    failed: (error) => assert.fail(String(error)),
  });
  puller.want(7n, 2);
  await settled();
  assert.deepEqual(told, [[7n, 2]]);
});
