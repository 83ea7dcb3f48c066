import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Takeover } from '@weft/proto/gen/weft/client/v1/client.ts';
import { kinds } from '../delivery/entry.ts';
import { entryAt, epoch, Ground, joined, type Socket, settle } from './staged-hub.ts';

const later = epoch + 1n;
const told = ({ events }: Socket): [bigint, bigint][] =>
  events.flatMap((event) => (event.$case === 'truncated' ? [[event.value.epoch, event.value.base] as [bigint, bigint]] : []));

test('an epoch is not believed to begin before the entry of it that this node hears of first', async () => {
  const ground = new Ground();
  const { socket } = await ground.online(9n, [5n]);
  ground.commit(entryAt(5n, 1), entryAt(5n, 2), entryAt(5n, 3));
  // Another node gave up what is above 1; of what it told only the newest came.
  ground.epochs = [
    { epoch, base: 0 },
    { epoch: later, base: 1 },
  ];
  const after = [2, 3, 4].map((seq) => entryAt(5n, seq, { epoch: later }));
  ground.stored.set(5n, [entryAt(5n, 1), ...after]);
  ground.tell(after.slice(-1));
  assert.deepEqual([socket.of(5n).length, told(socket)], [3, []]);
  await settle();
  assert.deepEqual(told(socket), [[later, 1n]]);
  assert.deepEqual(socket.of(5n).slice(3), ['5/2', '5/3', '5/4']);
});

test('the first entry of the next epoch says itself where that begins, and nothing is read for it', async () => {
  const ground = new Ground();
  const { socket } = await ground.online(9n, [5n]);
  ground.commit(entryAt(5n, 1));
  const body = Takeover.encode({ after: epoch }).finish();
  ground.commit(entryAt(5n, 2, { epoch: later, kind: kinds.takeover, body }));
  assert.deepEqual([told(socket), socket.of(5n), ground.reads], [[[later, 1n]], ['5/1', '5/2'], 0]);
});

test('what could not be read of a newer epoch is read again until it is', async () => {
  const ground = new Ground();
  const { socket } = await ground.online(9n, [5n]);
  ground.commit(entryAt(5n, 1));
  ground.epochs = [
    { epoch, base: 0 },
    { epoch: later, base: 1 },
  ];
  [ground.headEpoch, ground.epochsFail] = [later, true];
  ground.hub.doubt();
  await settle();
  assert.deepEqual([ground.failures.length, told(socket)], [1, []]);
  ground.epochsFail = false;
  ground.hub.retry();
  await settle();
  assert.deepEqual(told(socket)[0], [later, 1n]);
  const { headReads } = ground;
  ground.hub.retry();
  await settle();
  assert.equal(ground.headReads, headReads, 'and then no more');
});

test('who has just joined is not told that the epoch the log is in begins below what is theirs to see', async () => {
  const ground = new Ground();
  const { socket } = await ground.online(9n, []);
  ground.epochs = [{ epoch, base: 0 }];
  ground.commit(joined(9n, 1, 5n, 4));
  ground.store(entryAt(5n, 4));
  await ground.hub.catchUp();
  await settle();
  assert.deepEqual([told(socket), socket.of(5n)], [[], ['5/4']]);
});

test('an epoch that begins in what is being read when its last watcher goes ends the reading, and that is all', async () => {
  const ground = new Ground();
  const { socket } = await ground.online(9n, [5n]);
  ground.commit(entryAt(5n, 1));
  const body = Takeover.encode({ after: epoch }).finish();
  ground.store(entryAt(5n, 2, { epoch: later, kind: kinds.takeover, body }));
  ground.commit(entryAt(5n, 3, { epoch: later }));
  ground.hub.close(9n, socket);
  await settle();
  assert.deepEqual([ground.failures, socket.of(5n)], [[], ['5/1']]);
});
