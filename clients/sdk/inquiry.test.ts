import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sha256 } from '@noble/hashes/sha2.js';
import { Chain, chainStart } from '@weft/proto/chain.ts';
import { Page } from '@weft/proto/gen/weft/client/v1/client.ts';
import { appendTo, type FakeLog, headKid, sign } from './fake-log.ts';
import { inquire } from './inquiry.ts';
import { LogChain } from './log-chain.ts';
import type { Request } from './wire.ts';

const chain = new Chain(sha256);
const [before, after] = [1n, 2n];
const log: FakeLog = { id: 7n, kind: 'LOG_KIND_GROUP', entries: [], members: [1n], epoch: before, hash: chainStart };
for (const epoch of [before, after]) {
  log.epoch = epoch;
  appendTo(log, { ts: 1n, author: 1n, clientEntryId: epoch, body: { $case: 'text', value: 'hello' } });
}
const page = Page.fromPartial({
  log: log.id,
  head: { log: log.id, epoch: after, seq: 2n },
  entries: log.entries,
  epochs: [
    { epoch: before, base: 0n },
    { epoch: after, base: 1n },
  ],
});

/** The home cell shows that page, the owner said another hash of its last entry in this epoch, and there is no witness. */
const inquiredWith = (epoch: bigint) =>
  inquire(
    {
      chain,
      requests: {
        ask: async (request: Request) => {
          if (request.$case === 'readHistory') return page;
          if (request.$case === 'readSignedHead' && request.value.witness) throw new Error('nobody');
          return sign({ log: log.id, epoch, seq: 2n, hash: new Uint8Array(32), ts: 0n, kid: headKid });
        },
      } as never,
      proofs: { proves: async () => true } as never,
    },
    { log: log.id, from: 1, to: 2, chain: new LogChain(chain), signed: [], confirmed: 0, isPage: false },
  );

test('what rests on a word of the owner in an epoch that the page shows to be over is asked again', async () => {
  const { report, isOpen } = await inquiredWith(before);
  assert.deepEqual([report?.kind, report?.repaired, isOpen], ['rewritten', false, true]);
});

test('in the epoch that the page shows there, the word stands', async () => {
  const { report, isOpen } = await inquiredWith(after);
  assert.deepEqual([report?.kind, report?.agreed, isOpen], ['rewritten', 'owner', false]);
});
