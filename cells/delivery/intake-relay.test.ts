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

/** A relay with two open appends of one stream, one a frame; `answers` is what the broker says. */
function open(answers: () => PublishResult) {
  const clock = new ManualClock(1_800_000_000_000);
  let sent = 0;
  const epochs: bigint[] = [];
  const relay = new IntakeRelay({
    store: { openIntake: async () => [1, 2].map((n) => ({ row: row(n), lowestOpen: 1, epoch: 5n })) } as unknown as LogStore,
    link: {
      publish: async ({ bytes }: { bytes: Uint8Array }) => {
        epochs.push(...IntakeFrame.decode(bytes).intakes.map(({ epoch }) => epoch));
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
  return { clock, relay, sent: () => sent, epochs, look };
}

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
