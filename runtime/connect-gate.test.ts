// Pools and write sessions open a few connections at a time; what had to wait too long is not opened at all.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { ConnectGate } from './connect-gate.ts';
import { runtimeLimits as limits } from './limits.ts';
import { isRetryable, openPipelined, openPool } from './sql.ts';

test('so many pass at once, the others in their order, also behind one that failed', async () => {
  const gate = new ConnectGate({ atOnceMax: 2, patienceMs: 1_000, patienceMsMax: 1_000 });
  const begun: number[] = [];
  const ends = Array.from({ length: 5 }, () => Promise.withResolvers<void>());
  const all = ends.map(({ promise }, n) =>
    gate.through(async () => {
      begun.push(n);
      await promise;
    }),
  );
  assert.deepEqual(begun, [0, 1]);
  ends[1]?.reject(new Error('failed'));
  await assert.rejects(all[1] as Promise<void>);
  assert.deepEqual(begun, [0, 1, 2]);
  for (const { resolve } of ends) resolve();
  await Promise.allSettled(all);
  assert.deepEqual(begun, [0, 1, 2, 3, 4]);
});

test('who was taken and not greeted in time gets twice the time, one by one, until one is greeted; who was not taken gets no more', async () => {
  const gate = new ConnectGate({ atOnceMax: 2, patienceMs: 20, patienceMsMax: 60 });
  const late = () => new Promise<never>((_, reject) => setTimeout(() => reject(new Error('late')), gate.patienceMs));
  await assert.rejects(gate.through(late));
  assert.equal(gate.patienceMs, 20);
  await assert.rejects(
    gate.through(
      () => Promise.reject(new Error('refused at once')),
      () => true,
    ),
  );
  assert.equal(gate.patienceMs, 20);
  for (const next of [40, 60, 60]) {
    await assert.rejects(gate.through(late, () => true));
    assert.equal(gate.patienceMs, next);
  }
  const greeted = Promise.withResolvers<void>();
  let begun = 0;
  const open = async (): Promise<void> => {
    begun += 1;
    await greeted.promise;
  };
  const all = [gate.through(open), gate.through(open), gate.through(open)];
  assert.equal(begun, 1);
  greeted.resolve();
  await Promise.all(all);
  assert.deepEqual([begun, gate.patienceMs], [3, 20]);
});

test('a store that takes connections and says nothing gets a few at a time, and every caller is told in time', async (t) => {
  const sockets = new Set<Socket>();
  let most = 0;
  const store = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    most = Math.max(most, sockets.size);
  }).listen(0, '127.0.0.1');
  await once(store, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    store.close();
  });
  const url = `postgres://nobody@127.0.0.1:${(store.address() as AddressInfo).port}/none`;
  const pool = openPool(url, 10);
  const asked = [...Array.from({ length: 10 }, () => pool.query('select 1')), ...Array.from({ length: 2 }, () => openPipelined(url))];
  const startMs = performance.now();
  for (const outcome of await Promise.allSettled(asked)) {
    assert.equal(outcome.status, 'rejected');
    assert.ok(isRetryable(outcome.reason), String(outcome.reason));
  }
  assert.ok(performance.now() - startMs < 3 * limits.connectMsMax);
  assert.ok(most <= 2 * limits.connectsAtOnceMax, `${most} at once`);
  await pool.end();
});
