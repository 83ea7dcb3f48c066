import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { digestValue } from '@weft/proto/heads-digest.ts';
import fc from 'fast-check';
import { type Entry, kinds } from '../delivery/entry.ts';

import { digestOf, entryAt, Ground, joined, left, Socket, settle } from './staged-hub.ts';

describe('order', () => {
  test('each socket gets a log in seq order, once, however the runs come', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 12 }),
        fc.infiniteStream(fc.nat()),
        fc.integer({ min: 1, max: 3 }),
        async (sizes, random, heldRunsMax) => {
          const ground = new Ground({ heldRunsMax, fillEntriesMax: 3 });
          const { socket, online } = await ground.online(9n, [5n]);
          let seq = 0;
          const runs = sizes.map((size) => Array.from({ length: size }, () => entryAt(5n, ++seq)));
          ground.store(...runs.flat());
          const waiting = [...runs, ...runs];
          while (waiting.length > 0) {
            const [run] = waiting.splice((random.next().value as number) % waiting.length, 1);
            ground.tell(run as Entry[]);
            if ((random.next().value as number) % 3 === 0) await settle();
          }
          for (let i = 0; i < 20; i++) await settle();
          assert.deepEqual(
            socket.of(5n),
            Array.from({ length: seq }, (_, i) => `5/${i + 1}`),
          );
          assert.equal(digestValue(online.digest), digestOf(online));
        },
      ),
      { numRuns: 60 },
    );
  });

  test('a hole holds what comes behind it until the store has filled it', async () => {
    const ground = new Ground();
    const { socket } = await ground.online(9n, [5n]);
    ground.commit(entryAt(5n, 1));
    ground.store(entryAt(5n, 2), entryAt(5n, 3), entryAt(5n, 4));
    ground.tell([entryAt(5n, 4)]);
    assert.deepEqual(socket.of(5n), ['5/1']);
    await settle();
    assert.deepEqual(socket.of(5n), ['5/1', '5/2', '5/3', '5/4']);
  });

  test('heads that could not be read are read again until they are', async () => {
    const ground = new Ground();
    const { socket } = await ground.online(9n, [5n]);
    ground.store(entryAt(5n, 1));
    ground.fails = true;
    await assert.rejects(ground.hub.catchUp());
    ground.hub.retry();
    await settle();
    assert.deepEqual(socket.of(5n), []);
    ground.fails = false;
    ground.hub.retry();
    await settle();
    await settle();
    assert.deepEqual(socket.of(5n), ['5/1']);
    const { reads } = ground;
    ground.hub.retry();
    await settle();
    assert.equal(ground.reads, reads, 'once is enough');
  });

  test('what is stored behind a held run is not forgotten', async () => {
    const ground = new Ground();
    const { socket } = await ground.online(9n, [5n]);
    ground.store(...[1, 2, 3, 4, 5].map((seq) => entryAt(5n, seq)));
    ground.tell([entryAt(5n, 2)]);
    await ground.hub.catchUp();
    await settle();
    assert.equal(ground.hub.headOf(5n), 5);
    assert.equal(socket.of(5n).length, 5);
  });

  test('while the store is away authors get their answer, and the hole is filled once it is back', async () => {
    const ground = new Ground();
    const { socket } = await ground.online(9n, [5n]);
    ground.fails = true;
    ground.store(entryAt(5n, 1));
    const mine = entryAt(5n, 2);
    ground.store(mine);
    let answered = 0;
    ground.tell([mine], new Map([[mine, { receiver: socket, accept: () => void answered++ }]]));
    await settle();
    assert.equal(answered, 1);
    assert.equal(ground.failures.length, 1);
    ground.fails = false;
    ground.hub.retry();
    await settle();
    assert.deepEqual(socket.of(5n), ['5/1', '5/2']);
    assert.equal(answered, 1);
  });

  test('no push is larger than a client takes', async () => {
    const ground = new Ground({ pushBytesMax: 1_000 });
    const { online } = await ground.online(9n, [5n]);
    const sizes: number[] = [];
    online.receivers.add({ push: (push) => sizes.push(push.proto.length), tell: () => undefined });
    ground.commit(...Array.from({ length: 10 }, (_, i) => entryAt(5n, i + 1, { body: Buffer.alloc(400, 'x') })));
    assert.equal(sizes.length, 5);
    assert.ok(Math.max(...sizes) <= 1_020);
  });
});

describe('authors', () => {
  test('the author’s socket is told Accepted in the place of the push, the author’s other sockets get the push', async () => {
    const ground = new Ground();
    const { socket } = await ground.online(9n, [5n]);
    const { socket: other } = await ground.online(9n, [5n]);
    const entries = [1, 2, 3].map((seq) => entryAt(5n, seq));
    ground.store(...entries);
    const mine = entries[1] as Entry;
    ground.tell(entries, new Map([[mine, { receiver: socket, accept: () => void socket.told.push('a5/2') }]]));
    assert.deepEqual(socket.told, ['5/1', 'a5/2', '5/3']);
    assert.deepEqual(other.told, ['5/1', '5/2', '5/3']);
  });

  test('an author who was removed in the transaction of the append still gets the answer, once', async () => {
    const ground = new Ground();
    const { socket } = await ground.online(9n, [5n]);
    await ground.online(8n, [5n]);
    const mine = entryAt(5n, 1);
    const entries = [left(9n, 1, 5n, 2), mine, entryAt(5n, 2, { kind: kinds.membersRemoved })];
    ground.store(...entries);
    let answered = 0;
    ground.tell(entries, new Map([[mine, { receiver: socket, accept: () => void answered++ }]]));
    assert.equal(answered, 1);
    assert.deepEqual(socket.of(5n), []);
  });

  test('an author whose log nobody watches any more gets the answer of a held append', async () => {
    const ground = new Ground();
    const { socket } = await ground.online(9n, [5n]);
    const mine = entryAt(5n, 2);
    let answered = 0;
    ground.tell([mine], new Map([[mine, { receiver: socket, accept: () => void answered++ }]]));
    ground.hub.close(9n, socket);
    assert.equal(answered, 1);
  });
});

describe('membership', () => {
  test('who joins is told from the join on, and nothing before it that was committed with it', async () => {
    const ground = new Ground();
    await ground.online(8n, [5n]);
    const { socket, online } = await ground.online(9n, []);
    ground.commit(joined(9n, 1, 5n, 2), entryAt(5n, 1), entryAt(5n, 2, { kind: kinds.membersAdded }), entryAt(5n, 3));
    assert.deepEqual(socket.told, ['9/1', '5/2', '5/3']);
    assert.equal(digestValue(online.digest), digestOf(online));
    assert.equal(ground.hub.headOf(5n), 3);
  });

  test('a later word of another node that came before the join is told: nobody watched, and it comes once', async () => {
    const ground = new Ground();
    const { socket, online } = await ground.online(9n, []);
    const together = [joined(9n, 1, 5n, 2), entryAt(5n, 2, { kind: kinds.membersAdded }), entryAt(5n, 3)];
    ground.store(entryAt(5n, 1), ...together);
    ground.commit(entryAt(5n, 4));
    ground.tell(together);
    await settle();
    assert.deepEqual(socket.told, ['9/1', '5/2', '5/3', '5/4']);
    assert.equal(digestValue(online.digest), digestOf(online));
    assert.equal(ground.hub.headOf(5n), 4);
  });

  test('who is removed is told nothing of the log any more, neither the removal nor what was held', async () => {
    const ground = new Ground();
    const { socket: stays } = await ground.online(8n, [5n]);
    const { socket, online } = await ground.online(9n, [5n]);
    ground.store(entryAt(5n, 1));
    ground.commit(left(9n, 1, 5n, 2), entryAt(5n, 2, { kind: kinds.membersRemoved }));
    await settle();
    ground.commit(entryAt(5n, 3));
    assert.deepEqual(socket.told, ['9/1']);
    assert.deepEqual(stays.told, ['5/1', '5/2', '5/3']);
    assert.equal(digestValue(online.digest), digestOf(online));
  });

  test('a removal does not wait for a hole in the self log', async () => {
    const ground = new Ground();
    const { socket } = await ground.online(9n, [5n]);
    ground.store(entryAt(9n, 1));
    ground.commit(left(9n, 2, 5n, 1), entryAt(5n, 1, { kind: kinds.membersRemoved }));
    await settle();
    assert.deepEqual(socket.told, ['9/1', '9/2']);
  });

  test('an old removal that comes late does not end a newer membership', async () => {
    const ground = new Ground();
    const { socket } = await ground.online(9n, [5n]);
    const removal = [left(9n, 1, 5n, 1), entryAt(5n, 1, { kind: kinds.membersRemoved })];
    const back = [joined(9n, 2, 5n, 2), entryAt(5n, 2, { kind: kinds.membersAdded })];
    ground.store(...removal, ...back);
    ground.tell(back);
    await settle();
    ground.tell(removal);
    ground.commit(entryAt(5n, 3));
    await settle();
    assert.deepEqual(socket.of(9n), ['9/1', '9/2']);
    assert.deepEqual(socket.of(5n), ['5/2', '5/3']);
  });

  test('a join this node never heard of is followed once the self log is read', async () => {
    const ground = new Ground();
    const { socket, online } = await ground.online(9n, []);
    ground.store(joined(9n, 1, 5n, 1), entryAt(5n, 1, { kind: kinds.created }), entryAt(5n, 2));
    await ground.hub.catchUp();
    await settle();
    ground.commit(entryAt(5n, 3));
    assert.deepEqual(socket.told, ['9/1', '5/1', '5/2', '5/3']);
    assert.equal(digestValue(online.digest), digestOf(online));
  });
});

describe('opening', () => {
  test('what commits while the heads are read is in the digest and counts as told', async () => {
    const ground = new Ground();
    ground.commit(entryAt(5n, 1));
    const socket = new Socket();
    const { online } = await ground.hub.open(9n, socket, async () => {
      const heads = [9n, 5n].map((log) => ground.row(log));
      await settle();
      ground.commit(entryAt(5n, 2));
      return { heads };
    });
    assert.equal(ground.hub.headOf(5n), 2);
    ground.commit(entryAt(5n, 3));
    assert.deepEqual(socket.told, ['5/3']);
    assert.equal(digestValue(online.digest), digestOf(online));
  });

  test('a log joined and a log left while the heads are read are followed', async () => {
    const ground = new Ground();
    const socket = new Socket();
    await ground.hub.open(9n, socket, async () => {
      const heads = [9n, 5n].map((log) => ground.row(log));
      await settle();
      ground.commit(left(9n, 1, 5n, 1), entryAt(5n, 1, { kind: kinds.membersRemoved }));
      ground.commit(joined(9n, 2, 6n, 1), entryAt(6n, 1, { kind: kinds.created }));
      return { heads };
    });
    await settle();
    ground.commit(entryAt(5n, 2));
    ground.commit(entryAt(6n, 2));
    assert.deepEqual(socket.told, ['6/1', '6/2']);
  });

  test('a second device of the same user shares what is watched, and the last to go ends it', async () => {
    const ground = new Ground();
    const { socket: phone, online } = await ground.online(9n, [5n]);
    const { socket: laptop, online: same } = await ground.online(9n, [5n]);
    assert.equal(online, same);
    ground.hub.close(9n, phone);
    ground.commit(entryAt(5n, 1));
    assert.deepEqual([phone.told, laptop.told], [[], ['5/1']]);
    ground.hub.close(9n, laptop);
    assert.deepEqual(ground.hub.watched(), []);
    assert.equal(ground.hub.userCount, 0);
  });
});
