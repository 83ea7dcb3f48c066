import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SignedHead } from '@weft/proto/gen/weft/client/v1/client.ts';
import { makeEpoch } from '@weft/proto/positions.ts';
import { ManualClock } from '@weft/runtime/manual-clock.ts';
import { Witness } from './witness.ts';

const owner = 2;
const epoch = makeEpoch({ count: 1, cell: owner, generation: 1 });
const head = (log: bigint, seq: bigint, fill = 0): SignedHead => ({
  ...{ log, epoch, seq, hash: Buffer.alloc(32, fill), ts: 0n, kid: 'k', signature: Buffer.alloc(0) },
});

function open(headsWitnessedMax = 8) {
  const kept: string[][] = [];
  const forks: string[] = [];
  const witness = new Witness({
    clock: new ManualClock(1_000),
    tables: {
      readHeadHashes: async () => [],
      freezeForked: async () => false,
      readWitnessedHeads: async () => new Map(),
      upsertWitnessedHeads: async (heads) => void kept.push(heads.map(({ log, seq }) => `${log}/${seq}`)),
      forgetWitnessedHeads: async () => undefined,
    },
    proves: () => true,
    forked: (src, { log, seq }) => forks.push(`${src}: ${log}/${seq}`),
    rejected: () => undefined,
    limits: { headsWitnessedMax, headWitnessedMsMax: 1_000 },
  });
  return { witness, kept, forks };
}

test('of each log the newest head that was heard is kept, once', async () => {
  const { witness, kept } = open();
  witness.hear(owner, [head(1n, 5n), head(2n, 1n)]);
  witness.hear(owner, [head(1n, 4n)]);
  await witness.keep();
  await witness.keep();
  assert.deepEqual(kept, [['1/5', '2/1']]);
});

test('what waits to be kept is bounded: what was heard of longest ago is left out', async () => {
  const { witness, kept } = open(2);
  witness.hear(owner, [head(1n, 1n), head(2n, 1n), head(1n, 2n), head(3n, 1n)]);
  await witness.keep();
  assert.deepEqual(kept, [['1/2', '3/1']]);
});

test('two heads of one place that differ are a fork, and who does not own the log is not heard', async () => {
  const { witness, kept, forks } = open();
  assert.deepEqual(witness.hear(3, [head(1n, 1n)]), []);
  witness.hear(owner, [head(1n, 1n)]);
  witness.hear(owner, [head(1n, 1n, 9)]);
  assert.deepEqual(forks, ['2: 1/1']);
  await witness.keep();
  assert.deepEqual(kept, [['1/1']]);
});
