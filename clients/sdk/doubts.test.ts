import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sha256 } from '@noble/hashes/sha2.js';
import { Chain, chainStart } from '@weft/proto/chain.ts';
import { Page } from '@weft/proto/gen/weft/client/v1/client.ts';
import { Doubts } from './doubts.ts';
import { entryFromWire } from './entry.ts';
import { appendTo, type FakeLog, signedHeadOf } from './fake-log.ts';
import type { ProofReport } from './judge.ts';
import { LogChain } from './log-chain.ts';
import { LogView } from './log-view.ts';
import { ManualClock } from './manual-clock.ts';
import type { Request } from './wire.ts';

const chain = new Chain(sha256);
const [before, after] = [1n, 2n];
const newLog = (): FakeLog => ({ id: 7n, kind: 'LOG_KIND_GROUP', entries: [], members: [1n], epoch: before, hash: chainStart });
const say = (log: FakeLog, text: string) => appendTo(log, { ts: 1n, author: 1n, clientEntryId: 5n, body: { $case: 'text', value: text } });

test('a page of an epoch that was not told yet takes the place of nothing that is shown: it would hide what that gave up', async () => {
  const [held, log] = [newLog(), newLog()];
  const view = new LogView(log.id);
  view.anchor(0, before);
  for (const text of ['hello', 'given up']) view.offer(entryFromWire(say(held, text)), 0, []);
  say(log, 'hello');
  log.epoch = after;
  say(log, 'in its place');
  const epochs = [before, after].map((epoch, at) => ({ epoch, base: BigInt(at) }));
  const page = Page.fromPartial({ log: log.id, head: { log: log.id, epoch: after, seq: 2n }, entries: log.entries, epochs });
  const clock = new ManualClock();
  const told: ProofReport[] = [];
  const doubts = new Doubts({
    chain,
    requests: { ask: async ({ $case }: Request) => ($case === 'readHistory' ? page : signedHeadOf(log)) } as never,
    proofs: { proves: async () => true } as never,
    clock,
    view: () => view,
    tell: (report) => told.push(report),
    corrected: () => undefined,
  });
  const texts = () => view.entries.map(({ text }) => text);
  doubts.add({ log: log.id, chain: new LogChain(chain), signed: undefined, confirmed: 0 }, { from: 1, to: 2, isSecond: true });
  await clock.advance(1_000);
  assert.deepEqual(texts(), ['hello', 'given up']);
  assert.deepEqual(
    view.truncate({ epoch: after, base: 1, after: before })?.map(({ text }) => text),
    ['given up'],
  );
  for (const entry of log.entries) view.offer(entryFromWire(entry), 0, []);
  await clock.advance(10_000);
  assert.deepEqual(texts(), ['hello', 'in its place']);
  assert.deepEqual(
    told.map(({ kind, repaired }) => [kind, repaired]),
    [['rewritten', true]],
  );
  doubts.stop();
});
