// Which logs are asked for after a comparison: those that are behind, and those that their owner does not name.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DigestRequest } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { AntiEntropy, type SharedHead } from './anti-entropy.ts';

const limits = { buckets: 1, pageRows: 2, bucketsPerRequest: 1, headsPerAnswer: 3 };
const none = async (): Promise<readonly SharedHead[]> => [];
const head = (log: bigint, seq: number): SharedHead => ({ log, epoch: 1n, head: seq });
const pagesOf =
  (heads: readonly SharedHead[]) =>
  async (_: number, page: { readonly after: bigint; readonly limit: number }): Promise<readonly SharedHead[]> =>
    heads.filter(({ log }) => log > page.after).slice(0, page.limit);

/** What a cell that keeps `kept` asks for of an owner that names `owned`, and what it calls behind. */
async function compared(owned: readonly SharedHead[], kept: readonly SharedHead[]) {
  const wanted: bigint[] = [];
  const owner = new AntiEntropy({ heads: { owned: pagesOf(owned), kept: none }, link: {} as never, want: () => undefined, limits });
  const keeper = new AntiEntropy({
    heads: { owned: none, kept: pagesOf(kept) },
    link: { request: (_: number, __: string, bytes: Uint8Array) => owner.answer(2, DigestRequest.decode(bytes)) } as never,
    want: (log) => wanted.push(log),
    limits,
  });
  const behind = await keeper.compare(1);
  return { wanted, behind: behind.map(({ log }) => log) };
}

test('what is behind is asked for, and what is equal is not', async () => {
  assert.deepEqual(await compared([head(1n, 4), head(2n, 5)], [head(1n, 4), head(2n, 3)]), { wanted: [2n], behind: [2n] });
  assert.deepEqual(await compared([head(1n, 4)], [head(1n, 4)]), { wanted: [], behind: [] });
});

test('what goes on in an epoch that is over here is not what is missing here', async () => {
  const [theirs, ours] = [head(1n, 9), { ...head(1n, 4), epoch: 2n }];
  assert.deepEqual(await compared([theirs], [ours]), { wanted: [], behind: [] });
});

test('a log that its owner does not name any more is asked for, unless the answer may have been cut short', async () => {
  assert.deepEqual(await compared([head(1n, 4)], [head(1n, 4), head(2n, 3)]), { wanted: [2n], behind: [] });
  const [most, all] = [[1n, 2n, 3n].map((log) => head(log, 4)), [1n, 2n, 3n, 4n].map((log) => head(log, 4))];
  assert.deepEqual(await compared(most, all), { wanted: [], behind: [] });
});
