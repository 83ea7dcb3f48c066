import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IntakeFrame } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { ManualClock } from '@weft/runtime/manual-clock.ts';
import { kinds } from './entry.ts';
import { IntakeRelay } from './intake-relay.ts';
import type { IntakeRow, Link, LogStore, PublishResult } from './ports.ts';

const limits = { resendAfterMs: 2_000, resendAfterMsMax: 60_000, intakeRowsMax: 1_000, frameEntriesMax: 1, frameBytesMax: 1_000 };

const row = (n: number): IntakeRow => ({
  stream: { a: 7n, b: 0n },
  n,
  log: 7n,
  dst: 2,
  author: 3n,
  clientEntryId: BigInt(n),
  kind: kinds.text,
  body: Buffer.from('words'),
  createdMs: 0,
});

/** A relay with two open appends of one stream, or those that `numbers` says, one a frame; `answers` is what the broker says. */
function open(answers: () => PublishResult, numbers: () => readonly number[] = () => [1, 2]) {
  const clock = new ManualClock(1_800_000_000_000);
  let sent = 0;
  const epochs: bigint[] = [];
  const sentNumbers: number[] = [];
  const relay = new IntakeRelay({
    store: {
      openIntake: async () => numbers().map((n) => ({ row: row(n), lowestOpen: numbers()[0] ?? 0, epoch: 5n })),
    } as unknown as LogStore,
    link: {
      publish: async ({ bytes }: { bytes: Uint8Array }) => {
        const { intakes } = IntakeFrame.decode(bytes);
        epochs.push(...intakes.map(({ epoch }) => epoch));
        sentNumbers.push(...intakes.map(({ n }) => Number(n)));
        sent += 1;
        return answers();
      },
    } as unknown as Link,
    clock,
    limits,
    freshId: () => BigInt(sent + 1),
    laneOf: () => 0,
    own: { cell: 1, generation: 1 },
    takeOwn: () => assert.fail('nothing is our own to decide'),
    failed: (error) => assert.fail(String(error)),
  });
  const look = async (afterMs: number): Promise<void> => {
    await clock.advance(afterMs);
    await relay.resend(2);
  };
  /** Looks after so long; gives the numbers that went out. */
  const goesOut = async (afterMs: number): Promise<number[]> => {
    await look(afterMs);
    return sentNumbers.splice(0);
  };
  return { clock, relay, sent: () => sent, epochs, look, goesOut };
}

test('while a stream is being decided only what was not sent goes out, and all of it when it stands still', async () => {
  let numbers = [1, 2, 3, 4];
  const { goesOut } = open(
    () => 'stored',
    () => numbers,
  );
  assert.deepEqual(await goesOut(0), [1, 2, 3, 4]);
  numbers = [2, 3, 4, 5];
  assert.deepEqual(await goesOut(1_000), [5]);
  numbers = [5, 6, 7, 8];
  assert.deepEqual(await goesOut(1_000), [6, 7, 8]);
  assert.deepEqual(await goesOut(1_000), []);
  assert.deepEqual(await goesOut(1_000), [5, 6, 7, 8]);
  assert.deepEqual(await goesOut(3_000), []);
  assert.deepEqual(await goesOut(1_000), [5, 6, 7, 8]);
});

test('a pass that moves and is not decided in time goes out whole, and the next is given longer', async () => {
  let numbers = [1, 2, 3, 4];
  const { goesOut } = open(
    () => 'stored',
    () => numbers,
  );
  await goesOut(0);
  numbers = [2, 3, 4];
  assert.deepEqual(await goesOut(1_000), []);
  numbers = [3, 4, 5];
  assert.deepEqual(await goesOut(1_000), [3, 4, 5]);
  numbers = [4, 5];
  assert.deepEqual(await goesOut(3_000), []);
  // Decided, in 4 s: the next is given half of that.
  numbers = [6, 7];
  assert.deepEqual(await goesOut(1_000), [6, 7]);
  assert.deepEqual(await goesOut(1_000), []);
  assert.deepEqual(await goesOut(1_000), [6, 7]);
});

test('what the broker did not take counts as not sent', async () => {
  let answer: PublishResult = 'stored';
  let numbers = [1, 2];
  const { goesOut } = open(
    () => answer,
    () => numbers,
  );
  await goesOut(0);
  [answer, numbers] = ['no-responders', [3, 4]];
  assert.deepEqual(await goesOut(1_000), [3]);
  [answer, numbers] = ['stored', [3, 4]];
  assert.deepEqual(await goesOut(1_000), [3, 4]);
});

test('what the broker has goes out again after 2, 4, 8 s', async () => {
  const { sent, look } = open(() => 'stored');
  const counts: number[] = [];
  for (const afterMs of [0, 1_000, 1_000, 2_000, 2_000, 4_000, 4_000]) {
    await look(afterMs);
    counts.push(sent());
  }
  assert.deepEqual(counts, [2, 2, 4, 4, 6, 6, 8]);
});

test('where nobody takes the first frame nothing else is sent, and the pace does not slow down', async () => {
  let answer: PublishResult = 'no-responders';
  const { sent, look } = open(() => answer);
  for (let second = 0; second < 30; second++) await look(1_000);
  assert.equal(sent(), 30);
  answer = 'stored';
  await look(1_000);
  assert.equal(sent(), 32);
});

test('an append names the epoch in which its number was read or given', async () => {
  const { relay, epochs, look } = open(() => 'stored');
  relay.sendCommitted({ intake: [row(3)], intakeEpochs: new Map([[7n, 4n]]) });
  await look(0);
  assert.deepEqual(epochs, [4n, 5n, 5n]);
});
