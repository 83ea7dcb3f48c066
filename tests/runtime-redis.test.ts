import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { startTestRedis, type TestServer } from '@weft/local/test-servers.ts';
import { silentLog } from '@weft/runtime/log.ts';
import { closeRedis, openRedis } from '@weft/runtime/redis.ts';

type Redis = ReturnType<typeof openRedis>;

let server: TestServer;

before(async () => {
  server = await startTestRedis();
});

after(async () => {
  await server?.stop();
});

const ready = async (redis: Redis): Promise<void> => {
  if (redis.status !== 'ready') await new Promise<void>((resolve) => redis.once('ready', () => resolve()));
};

test('commands of one turn go out together, under the prefix', async () => {
  const redis = openRedis(server.url, silentLog(), { keyPrefix: 'a:' });
  const plain = openRedis(server.url, silentLog(), { keyPrefix: '' });
  await Promise.all([ready(redis), ready(plain)]);
  const results = await Promise.all([redis.set('x', '1'), redis.incr('x'), redis.get('x')]);
  assert.deepEqual(results, ['OK', 2, '2']);
  assert.equal(await plain.get('a:x'), '2');
  closeRedis(redis);
  closeRedis(plain);
});

test('while the server was never there, commands fail at once and closing does not wait', async () => {
  const redis = openRedis('redis://127.0.0.1:1', silentLog());
  const began = performance.now();
  for (let i = 0; i < 100; i++) await assert.rejects(redis.get('x'));
  assert(performance.now() - began < 1_000);
  closeRedis(redis);
});

test('a command to a frozen server ends after its time, and later ones work again', async () => {
  const redis = openRedis(server.url, silentLog());
  await ready(redis);
  server.process.freeze();
  const began = performance.now();
  await assert.rejects(redis.get('x'));
  const took = performance.now() - began;
  server.process.thaw();
  assert(took < 1_500, `${took} ms`);
  await redis.set('y', '1');
  assert.equal(await redis.get('y'), '1');
  closeRedis(redis);
});

test('a connection that the server ended is replaced', async () => {
  const redis = openRedis(server.url, silentLog());
  await ready(redis);
  await redis.call('client', 'kill', 'type', 'normal', 'skipme', 'no');
  if (redis.status === 'ready') await once(redis, 'close');
  await assert.rejects(redis.get('x'));
  await ready(redis);
  assert.equal(await redis.set('z', '1'), 'OK');
  closeRedis(redis);
});
