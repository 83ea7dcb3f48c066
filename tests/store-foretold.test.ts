// Transactions that are decided before they are sent: in one round trip, and on nothing that is not so under the locks.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { kinds } from '@weft/cells/delivery/entry.ts';
import { groupPair } from '@weft/cells/delivery/log-state.ts';
import { startTestPostgres, type TestServer } from '@weft/local/test-servers.ts';
import { Created, MembersRemoved } from '@weft/proto/gen/weft/client/v1/client.ts';
import { birthCell } from '@weft/proto/ids.ts';
import { type Conversation, StoreCell, type StoreNode } from './store-cell.ts';

let postgres: TestServer;

before(async () => {
  postgres = await startTestPostgres({ fast: true });
});

after(async () => {
  await postgres?.stop();
});

/** A cell whose first node's round trips are counted, with conversations that node has written to often enough to know them. */
async function startCell(name: string, count: number) {
  const sent = { trips: 0, statements: [] as unknown[] };
  const cell = await StoreCell.open(postgres, name, {
    through: (sessions) => ({
      drop: (lane) => sessions.drop(lane),
      get: async (lane) => {
        const session = await sessions.get(lane);
        return new Proxy(session, {
          get: (target, key) => {
            if (key === 'query') sent.trips += 1;
            const value = Reflect.get(target, key) as unknown;
            return typeof value === 'function' ? value.bind(target) : value;
          },
        });
      },
    }),
  });
  const node = await cell.node();
  const conversations = await cell.conversations(node, count);
  for (let round = 0; round < 3; round++) for (const each of conversations) await say(cell, node, each);
  return { cell, node, conversations, sent };
}

const say = (cell: StoreCell, node: StoreNode, { log, author }: Conversation, clientEntryId = cell.entryId()) =>
  node.append({ target: { log }, author, clientEntryId });

async function openGroup(cell: StoreCell, node: StoreNode, creator: bigint, member: bigint): Promise<bigint> {
  const clientEntryId = cell.entryId();
  const members = [creator, member].map((user) => ({ user, home: birthCell(user), from: 0n }));
  const body = Created.encode({ kind: 'LOG_KIND_GROUP', title: '', membersMax: 3, members }).finish();
  const outcome = await node.append({
    target: { pair: groupPair(creator, clientEntryId) },
    author: creator,
    clientEntryId,
    kind: kinds.created,
    body,
  });
  return outcome.type === 'accepted' ? outcome.entry.log : 0n;
}

const seqOf = (outcome: Awaited<ReturnType<typeof say>>): number => (outcome.type === 'accepted' ? outcome.entry.seq : 0);

test('who goes on with a log that nobody else writes waits for one round trip', async () => {
  const { cell, node, conversations, sent } = await startCell('foretold_one', 1);
  await using _ = cell;
  sent.trips = 0;
  const outcome = await say(cell, node, conversations[0] as Conversation);
  assert.equal(outcome.type, 'accepted');
  assert.equal(sent.trips, 1);
  assert.deepEqual(await cell.disorder(), []);
});

test('an id that is stored already keeps its place', async () => {
  const { cell, node, conversations } = await startCell('foretold_known', 2);
  await using _ = cell;
  const [talk, other] = conversations as [Conversation, Conversation];
  const id = cell.entryId();
  const first = await say(cell, node, talk, id);
  await say(cell, node, talk);
  const [again, beside] = await Promise.all([say(cell, node, talk, id), say(cell, node, other)]);
  assert.deepEqual([again.type, seqOf(again)], ['accepted', seqOf(first)]);
  assert.equal(again.type === 'accepted' && again.fresh, false);
  assert.equal(beside.type, 'accepted');
  assert.deepEqual([node.failures, await cell.disorder()], [[], []]);
});

test('what another node wrote meanwhile stays, and what comes is put behind it', async () => {
  const { cell, node, conversations } = await startCell('foretold_other', 3);
  await using _ = cell;
  const other = await cell.node();
  for (let round = 0; round < 20; round++) {
    const told = conversations.flatMap((each) => [say(cell, node, each), say(cell, round % 3 === 0 ? other : node, each)]);
    for (const outcome of await Promise.all(told)) assert.equal(outcome.type, 'accepted');
  }
  assert.deepEqual([node.failures, other.failures, await cell.disorder()], [[], [], []]);
});

test('a log that was frozen behind the node’s back takes nothing', async () => {
  const { cell, node, conversations } = await startCell('foretold_frozen', 1);
  await using _ = cell;
  const [talk] = conversations as [Conversation];
  await cell.pool.query('update logs set status = 2 where log_id = $1', [talk.log]);
  const outcome = await say(cell, node, talk);
  assert.equal(outcome.type === 'fault' && outcome.code, 'log_frozen');
  assert.deepEqual(await cell.disorder(), []);
});

test('who was removed through another node is refused by one that has not heard of it', async () => {
  const { cell, node } = await startCell('foretold_removed', 1);
  await using _ = cell;
  const other = await cell.node();
  const [creator, member] = [await cell.person(), await cell.person()];
  const log = await openGroup(cell, node, creator, member);
  for (let round = 0; round < 3; round++) assert.equal((await say(cell, node, { log, author: member })).type, 'accepted');
  const removal = { kind: kinds.membersRemoved, body: MembersRemoved.encode({ users: [member] }).finish() };
  const removed = await other.append({ target: { log }, author: creator, clientEntryId: cell.entryId(), ...removal });
  assert.equal(removed.type, 'accepted');
  const outcome = await say(cell, node, { log, author: member });
  assert.equal(outcome.type === 'fault' && outcome.code, 'not_a_member');
});

test('a node whose lanes are gone writes nothing', async () => {
  const { cell, node, conversations } = await startCell('foretold_gone', 1);
  await using _ = cell;
  const stored = await cell.count('entries');
  await cell.pool.query('delete from lanes');
  const outcome = await say(cell, node, conversations[0] as Conversation);
  assert.equal(outcome.type, 'fault');
  assert.equal(await cell.count('entries'), stored);
});
