import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FrameAcks } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { birthCell } from '@weft/proto/ids.ts';
import { ManualClock } from '@weft/runtime/manual-clock.ts';
import type { Link, LogStore, OutboxRow, PublishResult } from './ports.ts';
import { Relay } from './relay.ts';

const limits = {
  framesInFlightMax: 4,
  resendAfterMs: 2_000,
  resendAfterMsMax: 60_000,
  resendRowsMax: 64,
  ackGatherMs: 5,
  framesRememberedMax: 100,
  resendAtOnceMax: 2,
  resendEntriesMax: 100,
  resendStepEntries: 100,
  resendStepMs: 25,
  resendSkippedMax: 100,
};
const row = (id: number): OutboxRow => ({ id: BigInt(id), dst: 2, class: 'e', lane: 0, ranges: [], envelopes: [], entries: [] });

interface Bench {
  readonly relay: Relay;
  readonly clock: ManualClock;
  /** Rows without acknowledgement in the store. */
  readonly rows: OutboxRow[];
  readonly deleted: bigint[];
  readonly published: { readonly id: bigint; readonly attempt: number; readonly answer: (result: PublishResult) => Promise<void> }[];
  answer(result: PublishResult): Promise<void>;
  resend(): Promise<void>;
  ack(ids: readonly bigint[], generation?: bigint): void;
}

const settled = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

function open({ generation = 3, ...more }: Partial<typeof limits> & { readonly generation?: number } = {}): Bench {
  const clock = new ManualClock(1_800_000_000_000);
  const rows: OutboxRow[] = [];
  const deleted: bigint[] = [];
  const published: Bench['published'] = [];
  const store = {
    unacknowledged: async () => [...rows],
    acknowledged: async (_dst: number, ids: readonly bigint[]) => void deleted.push(...ids),
    readRanges: async () => [],
  } as unknown as LogStore;
  const publish: Link['publish'] = ({ id, attempt }) =>
    new Promise((resolve) => {
      const answer = async (result: PublishResult): Promise<void> => {
        resolve(result);
        await settled();
      };
      published.push({ id, attempt, answer });
    });
  const relay = new Relay({
    store,
    link: { publish } as Link,
    clock,
    generation,
    homeOf: birthCell,
    limits: { ...limits, ...more },
    encode: () => new Uint8Array(),
    failed: (error) => assert.fail(String(error)),
    counted: () => undefined,
  });
  return {
    relay,
    clock,
    rows,
    deleted,
    published,
    answer: async (result) => published.at(-1)?.answer(result),
    // The first of a round waits for the broker's answer, so the caller gives it.
    resend: async () => {
      relay.resend(2).catch((error: unknown) => assert.fail(String(error)));
      await settled();
    },
    ack: (ids, life = 3n) => {
      relay.acknowledged(2, FrameAcks.encode({ generation: life, committed: [...ids], rejected: [], afterMs: 0 }).finish());
      clock.advance(limits.ackGatherMs);
    },
  };
}

test('what the broker stored and nobody acknowledged goes out under a new attempt, later and later', async () => {
  const { relay, clock, rows, published, answer, resend } = open();
  rows.push(row(1));
  relay.publishCommitted(rows);
  await settled();
  await answer('stored');
  const waits: number[] = [];
  for (let attempts = 1; attempts < 5; ) {
    clock.advance(1_000);
    waits[attempts] = (waits[attempts] ?? 0) + 1_000;
    await resend();
    if (published.length === attempts) continue;
    attempts = published.length;
    await answer('stored');
  }
  assert.deepEqual(
    published.map(({ attempt }) => attempt),
    [1, 2, 3, 4, 5],
  );
  assert.deepEqual(waits.slice(1), [2_000, 4_000, 8_000, 16_000]);
});

test('while the answer of the broker is unknown the attempt stays the same', async () => {
  const { relay, clock, rows, published, answer, resend } = open();
  rows.push(row(1));
  relay.publishCommitted(rows);
  await settled();
  for (const result of ['timeout', 'no-responders', 'refused'] as const) {
    await answer(result);
    clock.advance(500);
    await resend();
  }
  assert.deepEqual(
    published.map(({ attempt }) => attempt),
    [1, 1, 1, 1],
  );
  await answer('duplicate');
  clock.advance(2_000);
  await resend();
  assert.equal(published.at(-1)?.attempt, 2, 'a duplicate is stored');
});

test('a frame another node sent goes out under a number nobody else uses', async () => {
  const { rows, published, resend, clock, answer } = open();
  rows.push(row(1));
  await resend();
  const first = published[0]?.attempt ?? 0;
  assert.ok(first > 1_000);
  await answer('stored');
  clock.advance(2_000);
  await resend();
  assert.equal(published[1]?.attempt, first + 1);
});

test('no more than the window is under way; the rest is sent when it is next looked at', async () => {
  const { relay, rows, published, resend, clock } = open();
  rows.push(...[1, 2, 3, 4, 5, 6].map(row));
  relay.publishCommitted(rows);
  await settled();
  relay.publishCommitted([row(7)]);
  await settled();
  assert.equal(published.length, limits.framesInFlightMax);
  assert.equal(relay.inFlight(2), published.length);
  const before = published.length;
  await resend();
  assert.equal(published.length, before, 'the window is full');
  for (const { answer } of [...published]) await answer('stored');
  assert.equal(relay.inFlight(2), 0);
  clock.advance(3_000);
  await resend();
  assert.equal(published.length, before + 1, 'one probe first');
  await published.at(-1)?.answer('stored');
  assert.ok(published.length > before + 1 && relay.inFlight(2) <= limits.framesInFlightMax);
});

test('while nobody is there only one probe goes out', async () => {
  const { rows, published, resend, answer, clock } = open();
  rows.push(...[1, 2, 3].map(row));
  for (let round = 1; round <= 3; round++) {
    await resend();
    assert.equal(published.length, round);
    await answer('no-responders');
    clock.advance(100);
  }
});

test('acknowledgements delete the rows, those for another life of the store mean nothing', async () => {
  const { relay, rows, deleted, ack } = open();
  rows.push(row(1), row(2));
  relay.publishCommitted(rows);
  await settled();
  ack([1n], 2n);
  assert.deepEqual(deleted, []);
  ack([1n, 2n]);
  assert.deepEqual(deleted, [1n, 2n]);
});

test('a relay that took itself for one of the life before would forget a frame that never arrived', async () => {
  const { relay, rows, deleted, ack } = open({ generation: 2 });
  rows.push(row(1));
  relay.publishCommitted(rows);
  await settled();
  ack([1n], 2n);
  assert.deepEqual(deleted, [1n]);
});

test('frames whose acknowledgement never comes here are forgotten at last, and then sent under a fresh number', async () => {
  const { relay, rows, published, resend, answer, clock } = open({ framesRememberedMax: 1 });
  for (const id of [1, 2]) {
    relay.publishCommitted([row(id)]);
    await settled();
    await answer('stored');
  }
  rows.push(row(1));
  clock.advance(2_000);
  await resend();
  assert.ok((published.at(-1)?.attempt ?? 0) > 1_000);
});

test('a backlog leaves half of the window to what commits now', async () => {
  const { relay, rows, published, resend, answer, clock } = open();
  rows.push(...[1, 2, 3, 4, 5].map(row));
  clock.advance(limits.resendAfterMs);
  await resend();
  await answer('stored');
  // The probe, then two at once.
  assert.deepEqual(
    published.map(({ id }) => id),
    [1n, 2n, 3n],
  );
  relay.publishCommitted([row(9)]);
  await settled();
  assert.deepEqual(
    published.map(({ id }) => id),
    [1n, 2n, 3n, 9n],
  );
});

test('one look sends no more entries of a backlog than its budget, and one frame at least', async () => {
  const { rows, published, resend, clock } = open({ resendEntriesMax: 10, resendAtOnceMax: 4, framesInFlightMax: 8 });
  const long = (id: number): OutboxRow => ({ ...row(id), ranges: [{ log: 7n, first: 1, last: 8 }] });
  rows.push(...[1, 2, 3, 4].map(long));
  clock.advance(limits.resendAfterMs);
  await resend();
  await published[0]?.answer('stored');
  await settled();
  for (const one of published.slice(1)) await one.answer('stored');
  assert.deepEqual(
    published.map(({ id }) => id),
    [1n, 2n],
  );
});

test('the rest of a look goes out in steps, each a moment after the one before, and no look comes in between', async () => {
  const { rows, published, resend, clock } = open({ resendStepEntries: 16, resendAtOnceMax: 4, framesInFlightMax: 8 });
  const long = (id: number): OutboxRow => ({ ...row(id), ranges: [{ log: 7n, first: 1, last: 8 }] });
  rows.push(...[1, 2, 3, 4, 5, 6].map(long));
  const answered = async (): Promise<number> => {
    for (const one of published.splice(0)) {
      sent.push(one.id);
      await one.answer('stored');
    }
    await settled();
    return sent.length;
  };
  const sent: bigint[] = [];
  clock.advance(limits.resendAfterMs);
  await resend();
  assert.equal(await answered(), 1, 'the probe');
  assert.equal(await answered(), 3, 'a step');
  assert.equal(await answered(), 3);
  await resend();
  clock.advance(limits.resendStepMs - 1);
  assert.equal(await answered(), 3);
  clock.advance(1);
  await settled();
  assert.equal(await answered(), 5, 'the next step');
  clock.advance(limits.resendStepMs);
  await settled();
  assert.equal(await answered(), 6, 'the last');
  assert.deepEqual(sent, [1n, 2n, 3n, 4n, 5n, 6n]);
  rows.push(long(7));
  await resend();
  assert.equal(await answered(), 7, 'looks again');
});

test('steps end where the broker takes no more', async () => {
  const { rows, published, resend, answer, clock } = open({ resendStepEntries: 8 });
  rows.push(...[1, 2, 3, 4].map((id) => ({ ...row(id), ranges: [{ log: 7n, first: 1, last: 8 }] })));
  clock.advance(limits.resendAfterMs);
  await resend();
  await answer('stored');
  await answer('no-responders');
  for (let step = 0; step < 3; step++) {
    clock.advance(limits.resendStepMs);
    await settled();
  }
  assert.equal(published.length, 2);
});

test('what another node sent is let go of by the node that sends again for the cell, and by no other', async () => {
  const { relay, rows, deleted, answer, ack } = open();
  rows.push(row(1));
  relay.publishCommitted(rows);
  await settled();
  await answer('stored');
  ack([1n, 2n]);
  assert.deepEqual(deleted, [1n]);
  relay.sweeps(true);
  ack([3n]);
  relay.sweeps(false);
  ack([4n]);
  assert.deepEqual(deleted, [1n, 3n]);
});
