import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RangeReads, type RangeReadsOptions } from './range-reads.ts';

const frame = (log: bigint) => [{ log, first: 1, last: 1 }];

/** Reads of logs that do not exist; `fail` is asked before each statement. */
function readsThat(fail: (logs: readonly bigint[]) => void): { readonly reads: RangeReads; readonly asked: (readonly bigint[])[] } {
  const asked: (readonly bigint[])[] = [];
  const options = {
    states: {
      ofAll: async (logs: readonly bigint[]) => {
        asked.push(logs);
        fail(logs);
        return new Map();
      },
    },
    onSession: (run: (session: object) => Promise<unknown>) => run({}),
    readAlone: async () => [],
  } as unknown as RangeReadsOptions;
  return { reads: new RangeReads(options), asked };
}

test('what cannot be read fails alone, and nothing that was read with it waits for it', async () => {
  const { reads, asked } = readsThat((logs) => {
    if (logs.includes(13n)) throw new Error('a page of the store is broken');
  });
  const settled = await Promise.allSettled([1n, 13n, 2n].map((log) => reads.read(frame(log))));
  assert.deepEqual(
    settled.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  );
  assert.deepEqual(asked, [[1n, 13n, 2n], [1n], [13n], [2n]]);
});

test('a store that is away is not asked for each', async () => {
  const { reads, asked } = readsThat(() => {
    throw new Error('Connection terminated unexpectedly');
  });
  const settled = await Promise.allSettled([1n, 2n].map((log) => reads.read(frame(log))));
  assert.deepEqual([settled.map(({ status }) => status), asked.length], [['rejected', 'rejected'], 1]);
});
