// Pages of history over real PostgreSQL: whatever they ask for, the same entries with the same proof.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { readPage } from '@weft/cells/edge/history-page.ts';
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
  // Those of one turn go together: each gets its own.
  const together = await Promise.all(seqs.map((from) => node.store.readPage(author, { log, limit: 2, from })));
  assert.deepEqual(
    together.map((page) => page?.entries),
    seqs.map((from) => all.filter(({ seq }) => seq >= from).slice(0, 2)),
  );
});
