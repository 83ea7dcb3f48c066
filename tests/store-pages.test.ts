// Pages backwards over real PostgreSQL: whatever the way they are read, the same entries with the same proof.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startTestPostgres, type TestServer } from '@weft/local/test-servers.ts';
import { type Conversation, StoreCell } from './store-cell.ts';

let postgres: TestServer;

before(async () => {
  postgres = await startTestPostgres({ fast: true });
});

after(async () => {
  await postgres?.stop();
});

test('a page backwards has the entries and hashes that the whole log has there, around check points and at both ends', async () => {
  await using cell = await StoreCell.open(postgres, 'pages');
  const node = await cell.node();
  const [{ log, author }] = (await cell.conversations(node, 1)) as [Conversation];
  await Promise.all(Array.from({ length: 199 }, () => node.append({ target: { log }, author, clientEntryId: cell.entryId() })));
  const all = await node.store.readRange(log, 1, 1_000, 1_000);
  assert.equal(all.length, 200);
  assert.ok(all.every(({ prev }) => prev?.length === 32));
  for (const end of [1, 2, 51, 52, 63, 64, 65, 66, 114, 115, 129, 200, 201, 202, 260, Number.MAX_SAFE_INTEGER]) {
    for (const limit of [1, 50, 64, 200]) {
      const page = await node.store.readBack({ log, from: 1, before: end, limit });
      assert.deepEqual(page, all.filter(({ seq }) => seq < end).slice(-limit), `${limit} before ${end}`);
    }
  }
  const above = await node.store.readBack({ log, from: 120, before: 150, limit: 50 });
  assert.deepEqual(
    above,
    all.filter(({ seq }) => seq >= 120 && seq < 150),
  );
});
