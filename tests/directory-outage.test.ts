// With the control plane dead everybody chats, logs in and reconnects; only new sign-ups are told to try again later (G7).
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startFabric, type TestFabric } from './harness.ts';
import type { RawClient } from './raw-client.ts';
import { until } from './until.ts';

let fabric: TestFabric;
let ana: RawClient;
let bo: RawClient;
let log = 0n;

before(async () => {
  fabric = await startFabric({ cells: ['eu-1', 'us-1'], nodes: { 'eu-1': 2 } });
  [ana, bo] = [await fabric.client('ana', 'eu-1'), await fabric.client('bo', 'us-1')];
  await fabric.device('cleo', 'us-1');
  log = await ana.openDirect(bo.user);
  // What is asked from now on was either known before or waits for the directory.
  for (const process of ['node-eu-1-a', 'node-eu-1-b', 'node-us-1-a', 'router-eu', 'router-us'])
    await until(`${process} has everybody on its disk`, () => ['ana', 'bo', 'cleo'].every((name) => snapshot(process).includes(name)));
  await fabric.fabric.stop('control-plane');
  await fabric.fabric.stop('postgres-directory');
});

after(async () => {
  await fabric?.stop();
});

function snapshot(process: string): Buffer {
  const file = join(fabric.fabric.dataDir, process, 'directory.snapshot');
  return existsSync(file) ? readFileSync(file) : Buffer.alloc(0);
}

const lookUp = (process: string, handle: string) => fabric.rest(process, `/v1/users/by-handle/${handle}`);

async function says(from: RawClient, to: RawClient, text: string, target: { log: bigint } | { peer: bigint } = { log }): Promise<void> {
  const id = from.freshEntryId();
  const answer = await from.append(target, text, id);
  assert(answer.$case === 'accepted' || answer.$case === 'pending', answer.$case);
  await until(`"${text}" arrives`, () => to.pushed().some(({ clientEntryId }) => clientEntryId === id));
}

test('people of two cells chat, in both directions', async () => {
  await says(ana, bo, 'is anybody there?');
  await says(bo, ana, 'all of us');
});

test('a conversation that never was is opened across cells', async () => {
  const { user } = await fabric.device('cleo', 'us-1');
  const cleo = await fabric.client('cleo', 'us-1');
  await says(ana, cleo, 'hello', { peer: user });
});

test('people log in, on known and on new devices, and come back after their connection was cut', async () => {
  const session = await fabric.rest('node-us-1-a', '/v1/sessions', { handle: 'bo', password: 'a private test fabric', device: 'laptop' });
  assert.equal(session.status, 200);
  await using laptop = await fabric.client('bo', 'us-1', { device: 'tablet' });
  bo.close();
  await bo.closed;
  bo = await fabric.client('bo', 'us-1');
  await says(ana, bo, 'welcome back');
  await until('the other device has it too', () => laptop.told(log).length > 0);
});

test('who knocks at the wrong cell is told where home is', async () => {
  const answer = await fabric.rest('node-us-1-a', '/v1/sessions', { handle: 'ana', password: 'a private test fabric', device: 'phone' });
  assert.equal(answer.status, 421);
  assert.equal(answer.body.cell, 'eu-1');
});

test('a node that starts now serves from its snapshot', async () => {
  await fabric.kill('node-eu-1-b');
  await fabric.settle();
  await using again = await fabric.client('ana', 'eu-1', { node: 'b', device: 'tablet' });
  await says(again, bo, 'from a new node');
  await says(bo, again, 'to a new node');
  assert.equal((await lookUp('node-eu-1-b', 'bo')).status, 200);
});

test('a router that starts now still knows who lives where', async () => {
  await fabric.kill('router-eu');
  await fabric.settle();
  const { status, body } = await lookUp('router-eu', 'bo');
  assert.deepEqual([status, body.cell], [200, 'us-1']);
});

test('a new sign-up is told to try again later, and succeeds by itself when the directory is back', async () => {
  const sign = () => fabric.rest('node-eu-1-a', '/v1/accounts', { handle: 'dora', password: 'a private test fabric', device: 'phone' });
  const { status, body } = await sign();
  assert.equal(status, 503, JSON.stringify(body));
  assert.deepEqual([body.code, body.retry], ['directory_away', 'later']);
  await fabric.fabric.start('postgres-directory');
  await fabric.fabric.start('control-plane');
  await until('the sign-up succeeds', async () => (await sign()).status === 201, 30_000);
  await until('the other cell knows her', async () => (await lookUp('node-us-1-a', 'dora')).status === 200, 15_000);
});
