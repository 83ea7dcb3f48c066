import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type EpochStart, epochAt, makeEpoch } from '@weft/proto/positions.ts';
import { seededRandom } from '@weft/runtime/random.ts';
import { type Entry, kinds } from '../delivery/entry.ts';
import type { LogState } from '../delivery/log-state.ts';
import { RunAgain } from '../delivery/ports.ts';
import { type AskedPage, rangeOf, type UserPage } from '../store/page-reads.ts';
import { type PageAsk, type PageStore, readPage } from './history-page.ts';

const [user, log] = [7n, 9n];
const epochOf = (count: number): bigint => makeEpoch({ count, cell: 1, generation: 1 });

/** A log to which `between` may happen before each statement on it. */
class MovingLog implements PageStore {
  head: number;
  from = 1;
  until = 0;
  start = 0;
  epochs: readonly EpochStart[] = [{ epoch: epochOf(1), base: 0 }];
  readonly gone = new Set<number>();
  /** Statements so far. */
  asked = 0;
  between: () => void = () => undefined;

  constructor(head: number) {
    this.head = head;
  }

  get epoch(): bigint {
    return this.epochs.at(-1)?.epoch ?? 0n;
  }

  /** A newer epoch begins after `base`, and gives as many entries as that. */
  cut(base: number, more: number): void {
    this.epochs = [...this.epochs.filter((start) => start.base < base), { epoch: epochOf(this.asked + 100), base }];
    this.head = base + more;
  }

  async readPage(_user: bigint, asked: AskedPage): Promise<UserPage> {
    await this.#statement();
    const row = { log, epoch: this.epoch, head: this.head, ts: 0, ord: 0, hash: Buffer.alloc(32), version: 1, status: 'open' as const };
    const { start } = this;
    await this.#statement();
    const { first: from, last: to } = rangeOf(asked, { start, head: row.head });
    const seqs = Array.from({ length: Math.max(0, Math.min(to, this.head) - from + 1) }, (_, n) => from + n);
    const entries = seqs.filter((seq) => !this.gone.has(seq)).map((seq) => entryOf(seq, epochAt(this.epochs, seq)));
    await this.#statement();
    const state = { log, epoch: this.epoch, epochs: this.epochs } as unknown as LogState;
    return { row, state, start, interval: { from: this.from, until: this.until }, entries };
  }

  async #statement(): Promise<void> {
    await Promise.resolve();
    this.asked += 1;
    this.between();
  }
}

const entryOf = (seq: number, epoch: bigint): Entry => ({
  ...{ log, epoch, seq, ts: 0, author: user, clientEntryId: BigInt(seq), ord: seq, kind: kinds.text, flags: 0 },
  body: Buffer.alloc(0),
});

const ask = (range: Partial<PageAsk>): PageAsk => ({ user, log, from: 0, before: 0, limit: 50, ...range });
const seqsOf = async (store: PageStore, range: Partial<PageAsk> = {}) => (await readPage(store, ask(range)))?.entries.map(({ seq }) => seq);
const run = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, n) => from + n);

test('the newest page ends at the head of its row, however much the log grows before its entries are read', async () => {
  const store = new MovingLog(100);
  store.between = () => {
    store.head += 60;
  };
  const page = await readPage(store, ask({}));
  const head = page?.row.head ?? 0;
  assert.deepEqual(
    page?.entries.map(({ seq }) => seq),
    run(head - 49, head),
  );
});

test('a page of which a newer epoch took entries away meanwhile is read again', async () => {
  const store = new MovingLog(100);
  store.between = () => {
    if (store.asked === 3) store.cut(60, 3);
  };
  const page = await readPage(store, ask({}));
  assert.equal(page?.row.epoch, store.epoch);
  assert.deepEqual(
    page?.entries.map(({ seq, epoch }) => [seq, epoch]),
    run(14, 63).map((seq) => [seq, seq <= 60 ? epochOf(1) : store.epoch]),
  );
});

test('nothing is shown outside what the user may read, nor below where the run begins', async () => {
  const store = new MovingLog(100);
  store.from = 95;
  assert.deepEqual(await seqsOf(store), run(95, 100));
  assert.deepEqual(await seqsOf(store, { from: 1, limit: 3 }), run(95, 97));
  assert.deepEqual(await seqsOf(store, { before: 95 }), []);
  store.start = 97;
  assert.deepEqual(await seqsOf(store, { before: 100 }), [98, 99]);
  assert.deepEqual(await seqsOf(store, { from: 101 }), []);
  store.until = 99;
  assert.deepEqual(await seqsOf(store), []);
});

test('a hole in the store is shown as it is, and a page of which all is gone is no empty page', async () => {
  const store = new MovingLog(100);
  store.gone.add(98);
  assert.deepEqual(await seqsOf(store, { limit: 5 }), [96, 97, 99, 100]);
  await assert.rejects(readPage(store, ask({ from: 98, limit: 1 })), RunAgain);
});

test('whatever happens between its statements, a page is what its row says or is none at all', async () => {
  const random = seededRandom(5);
  let given = 0;
  for (let round = 0; round < 3_000; round++) {
    const store = new MovingLog(1 + random.int(80));
    store.from = 1 + random.int(10);
    store.between = () => {
      const dice = random.next();
      if (dice < 0.2) store.head += random.int(20);
      else if (dice < 0.3) store.cut(random.int(store.head + 1), random.int(10));
    };
    const limit = 1 + random.int(8);
    const range = [{}, { from: 1 + random.int(90) }, { before: 1 + random.int(90) }][random.int(3)] as Partial<PageAsk>;
    const page = await readPage(store, ask({ limit, ...range })).catch((error: unknown) => {
      assert.ok(error instanceof RunAgain);
    });
    if (!page) continue;
    given += 1;
    const { row, state, interval } = page;
    const to = Math.min(row.head, range.before === undefined ? row.head : range.before - 1);
    const visible = run(interval.from, Math.max(interval.from - 1, to)).filter((seq) => seq >= (range.from ?? 1));
    const expected = range.from === undefined ? visible.slice(-limit) : visible.slice(0, limit);
    assert.deepEqual(
      page.entries.map(({ seq, epoch }) => [seq, epoch]),
      expected.map((seq) => [seq, epochAt(state.epochs, seq)]),
      `round ${round}`,
    );
    assert.ok(expected.length === 0 || state.epoch === row.epoch);
  }
  assert.ok(given > 2_000, `${given} pages`);
});
