// Pages of history over real PostgreSQL: whatever they ask for, the same entries with the same proof.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Entry } from '@weft/cells/delivery/entry.ts';
import type { LogRange } from '@weft/cells/delivery/ports.ts';
import { readPage } from '@weft/cells/edge/history-page.ts';
import { writeEpochs } from '@weft/cells/store/epochs-table.ts';
import { startTestPostgres, type TestServer } from '@weft/local/test-servers.ts';
import { type Conversation, StoreCell } from './store-cell.ts';

let postgres: TestServer;

before(async () => {
  postgres = await startTestPostgres({ fast: true });
});

after(async () => {
  await postgres?.stop();
});

test('a page has the entries and hashes that the whole log has there, around check points and at both ends', async () => {
  await using cell = await StoreCell.open(postgres, 'pages');
  const node = await cell.node();
  const [{ log, author }] = (await cell.conversations(node, 1)) as [Conversation];
  await Promise.all(Array.from({ length: 199 }, () => node.append({ target: { log }, author, clientEntryId: cell.entryId() })));
  const all = await node.store.readRange(log, 1, 1_000, 1_000);
  assert.equal(all.length, 200);
  assert.ok(all.every(({ prev }) => prev?.length === 32));
  const page = async (range: { from?: number; before?: number; limit: number }) =>
    (await readPage(node.store, { user: author, log, from: 0, before: 0, ...range }))?.entries;
  for (const at of [1, 2, 51, 52, 63, 64, 65, 66, 114, 115, 129, 200, 201, 202, 260]) {
    for (const limit of [1, 50, 64, 200]) {
      const below = all.filter(({ seq }) => seq < at);
      assert.deepEqual(await page({ before: at, limit }), below.slice(-limit), `${limit} before ${at}`);
      assert.deepEqual(await page({ from: at, limit }), all.slice(at - 1, at - 1 + limit), `${limit} from ${at}`);
    }
  }
  for (const limit of [1, 50, 64, 200]) assert.deepEqual(await page({ limit }), all.slice(-limit), `the newest ${limit}`);
});

test('a page for a reader has them too, forwards and backwards, wherever it begins and ends', async () => {
  await using cell = await StoreCell.open(postgres, 'reader_pages');
  const node = await cell.node();
  const [{ log, author }] = (await cell.conversations(node, 1)) as [Conversation];
  await Promise.all(Array.from({ length: 199 }, () => node.append({ target: { log }, author, clientEntryId: cell.entryId() })));
  const all = await node.store.readRange(log, 1, 1_000, 1_000);
  const seqs = [1, 2, 32, 33, 50, 51, 64, 65, 66, 129, 150, 151, 199, 200, 201, 202, 260];
  for (const limit of [1, 3, 50, 200]) {
    for (const seq of seqs) {
      const back = await node.store.readPage(author, { log, limit, before: seq });
      assert.deepEqual(back?.entries, all.filter((entry) => entry.seq < seq).slice(-limit), `${limit} before ${seq}`);
      const on = await node.store.readPage(author, { log, limit, from: seq });
      assert.deepEqual(on?.entries, all.filter((entry) => entry.seq >= seq).slice(0, limit), `${limit} from ${seq}`);
    }
    const newest = await node.store.readPage(author, { log, limit });
    assert.deepEqual(newest?.entries, all.slice(-limit));
    assert.equal(newest?.row.head, 200);
  }
  assert.equal(await node.store.readPage(await cell.person(), { log, limit: 50 }), undefined);
  // Those of one turn go together: each gets its own, also beside one that begins at the last number there is.
  const starts = [...seqs, Number.MAX_SAFE_INTEGER];
  const together = await Promise.all(starts.map((from) => node.store.readPage(author, { log, limit: 3, from })));
  assert.deepEqual(
    together.map((page) => page?.entries),
    starts.map((from) => all.filter(({ seq }) => seq >= from).slice(0, 3)),
  );
});

test('ranges of many logs have the entries and hashes that each log has there, whoever asks beside', async () => {
  await using cell = await StoreCell.open(postgres, 'ranges');
  const writer = await cell.node();
  const talks = await cell.conversations(writer, 3);
  const say = ({ log, author }: Conversation) => writer.append({ target: { log }, author, clientEntryId: cell.entryId() });
  await Promise.all(talks.flatMap((talk) => Array.from({ length: 149 }, () => say(talk))));
  const whole = new Map<bigint, readonly Entry[]>();
  for (const { log } of talks) whole.set(log, await writer.store.readRange(log, 1, 1_000, 1_000));
  const expected = (ranges: readonly LogRange[]): Entry[] =>
    ranges.flatMap(({ log, first, last }) => (whole.get(log) ?? []).slice(first - 1, last));
  const [a, b, c] = talks.map(({ log }) => log) as [bigint, bigint, bigint];
  const frames = [
    // Of one log in a row, and each of the others in between: only the first has to be proved from below.
    [
      { log: a, first: 70, last: 72 },
      { log: b, first: 64, last: 65 },
      { log: a, first: 73, last: 80 },
    ],
    [
      { log: a, first: 81, last: 81 },
      { log: c, first: 1, last: 1 },
      { log: 7n, first: 1, last: 3 },
      { log: c, first: 2, last: 66 },
    ],
    [
      { log: b, first: 149, last: 200 },
      { log: b, first: 201, last: 210 },
      { log: a, first: 70, last: 70 },
    ],
    [],
  ];
  // A node that has read nothing yet, and again with what it remembers.
  const reader = await cell.node();
  for (const turn of ['at first', 'again']) {
    const read = await Promise.all(frames.map((ranges) => reader.store.readRanges(ranges)));
    for (const [at, ranges] of frames.entries()) assert.deepEqual(read[at], expected(ranges), `${turn}: frame ${at}`);
  }
  // More than a statement takes, one by one in the order they were said.
  const many = Array.from({ length: 150 }, (_, at) => [a, b, c].map((log) => ({ log, first: at + 1, last: at + 1 })));
  const read = await Promise.all([...many, ...many, ...many].map((ranges) => reader.store.readRanges(ranges)));
  assert.deepEqual(read.flat(), expected([...many, ...many, ...many].flat()));
});

test('a range of a log that has begun another epoch is read as of that epoch', async () => {
  await using cell = await StoreCell.open(postgres, 'range_epochs');
  const node = await cell.node();
  const [{ log, author }] = (await cell.conversations(node, 1)) as [Conversation];
  await Promise.all(Array.from({ length: 9 }, () => node.append({ target: { log }, author, clientEntryId: cell.entryId() })));
  const ranges = [{ log, first: 4, last: 6 }];
  const [before] = await node.store.readRanges(ranges);
  const epoch = (before?.epoch ?? 0n) + 1n;
  await Promise.all(writeEpochs((statement) => cell.pool.query(statement), [{ log, epochs: [{ epoch, base: 0 }] }]));
  const after = await node.store.readRanges(ranges);
  assert.deepEqual(after, await node.store.readRange(log, 4, 6, 3));
  assert.deepEqual(new Set(after.map((entry) => entry.epoch)), new Set([epoch]));
});

test('the newest entries that a node committed itself are proved without a look below them', async () => {
  await using cell = await StoreCell.open(postgres, 'recent_pages');
  const node = await cell.node();
  const [{ log, author }] = (await cell.conversations(node, 1)) as [Conversation];
  for (let n = 0; n < 19; n++) await node.append({ target: { log }, author, clientEntryId: cell.entryId() });
  const all = await node.store.readRange(log, 1, 100, 100);
  await cell.pool.query('delete from entries where log_id = $1 and seq < 15', [log]);
  const page = await readPage(node.store, { user: author, log, from: 15, before: 0, limit: 50 });
  assert.deepEqual(page?.entries, all.slice(14));
  const elsewhere = await readPage((await cell.node()).store, { user: author, log, from: 15, before: 0, limit: 50 });
  assert.deepEqual(
    elsewhere?.entries.map(({ seq, prev }) => [seq, prev]),
    [15, 16, 17, 18, 19, 20].map((seq) => [seq, undefined]),
  );
});
