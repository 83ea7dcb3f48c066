// The router's door over a real directory, with it alive, dead and never heard of.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { request } from 'node:http';
import { after, before, test } from 'node:test';
import { type ControlPlane, startControlPlane } from '@weft/control-plane/control-plane.ts';
import { startTestPostgres, type TestServer, testFolder } from '@weft/local/test-servers.ts';
import { CellRecord } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import { skeleton } from '@weft/proto/handle.ts';
import { makeId } from '@weft/proto/ids.ts';
import { type Router, startRouter } from '@weft/router/router.ts';
import { systemClock } from '@weft/runtime/clock.ts';
import { Secret } from '@weft/runtime/config.ts';
import { DirectoryClient } from '@weft/runtime/directory-client.ts';
import { directorySigningKey, rawPublicKey } from '@weft/runtime/directory-signature.ts';
import { silentLog } from '@weft/runtime/log.ts';

const seed = randomBytes(32);
const tokens = new Map(['eu-1', 'us-1', 'router-eu'].map((name) => [name, createHash('sha256').update(`token of ${name}`).digest()]));
const cells = [
  { name: 'eu-1', number: 1, region: 'eu', weight: 100 },
  { name: 'us-1', number: 3, region: 'us', weight: 100 },
  { name: 'us-2', number: 4, region: 'us', weight: 100 },
];
const ana = { user: makeId(Date.now(), 1, 0, 0), handle: 'ana', skeleton: skeleton('ana'), home: 1 };
const anaAnswer = { user: String(ana.user), handle: 'ana', cell: 'eu-1', urls: ['http://127.0.0.1:1', 'http://127.0.0.1:2'] };

let postgres: TestServer;
let controlPlane: ControlPlane;
let eu: DirectoryClient;
let us: DirectoryClient;
let router: Router;
let dataDir: string;

before(async () => {
  dataDir = testFolder();
  postgres = await startTestPostgres({ fast: true });
  controlPlane = await startDirectory(0);
  const address = `127.0.0.1:${controlPlane.port}`;
  [eu, us] = [new DirectoryClient(address, 'token of eu-1'), new DirectoryClient(address, 'token of us-1')];
  await eu.registerCell(CellRecord.fromPartial({ name: 'eu-1', generation: 1n, urls: anaAnswer.urls }));
  await us.registerCell(CellRecord.fromPartial({ name: 'us-1', generation: 1n, urls: ['http://127.0.0.1:3'] }));
  assert.equal((await eu.reserve(ana)).kind, 'reserved');
  router = await start();
  await router.ready();
});

after(async () => {
  await router?.[Symbol.asyncDispose]();
  eu?.[Symbol.dispose]();
  us?.[Symbol.dispose]();
  await controlPlane?.[Symbol.asyncDispose]();
  await postgres?.stop();
  rmSync(dataDir, { recursive: true, force: true });
});

function startDirectory(port: number): Promise<ControlPlane> {
  const secrets = { pgUrl: new Secret(postgres.url), nkeySeed: new Secret(''), signSeed: new Secret(seed.toString('base64url')) };
  const config = { host: '127.0.0.1', port, metricsPort: 0, logLevel: 'silent', drainMsMax: 1_000, tokens, cells, hubUrls: [], ...secrets };
  return startControlPlane(config, { log: silentLog() });
}

const start = (over: { dataDir?: string; requestsPerSecond?: number } = {}): Promise<Router> =>
  startRouter(
    {
      ...{
        host: '127.0.0.1',
        region: 'eu',
        port: 0,
        metricsPort: 0,
        logLevel: 'silent',
        drainMsMax: 1_000,
        dataDir,
        requestsPerSecond: 100_000,
        origins: [],
      },
      ...{ directoryAddress: `127.0.0.1:${controlPlane.port}`, serviceToken: new Secret('token of router-eu') },
      directoryKey: rawPublicKey(directorySigningKey(seed)),
      ...over,
    },
    { log: silentLog() },
  );

interface Answer {
  readonly status: number;
  readonly type: string | undefined;
  readonly body: Record<string, unknown>;
}

async function ask(path: string, body?: unknown, from = router): Promise<Answer> {
  const init =
    body === undefined
      ? {}
      : { method: 'POST', headers: { 'content-type': 'application/json' }, body: typeof body === 'string' ? body : JSON.stringify(body) };
  const response = await fetch(`http://127.0.0.1:${from.port}${path}`, init);
  return {
    status: response.status,
    type: response.headers.get('content-type')?.split(';', 1)[0],
    body: (await response.json()) as Record<string, unknown>,
  };
}

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const ends = Date.now() + 10_000;
  while (!(await condition())) {
    if (Date.now() > ends) assert.fail(`never: ${what}`);
    await systemClock.sleep(10);
  }
}

test('a home is found by handle, in any spelling, and by id', async () => {
  for (const path of [
    '/v1/users/by-handle/ana',
    '/v1/users/by-handle/ANA',
    `/v1/users/by-handle/${encodeURIComponent('ａｎａ')}`,
    `/v1/users/${ana.user}`,
  ]) {
    assert.deepEqual(await ask(path), { status: 200, type: 'application/json', body: anaAnswer });
  }
});

test('a new account goes where it wishes, or near, and never to a cell without a node', async () => {
  assert.deepEqual((await ask('/v1/placement', { handle: 'bo' })).body, { cell: 'eu-1', urls: anaAnswer.urls });
  assert.deepEqual((await ask('/v1/placement', { handle: 'bo', region: 'us' })).body, { cell: 'us-1', urls: ['http://127.0.0.1:3'] });
  assert.equal((await ask('/v1/placement', { handle: 'bo', region: 'us', residency: 'eu' })).body.cell, 'eu-1');
  const none = await ask('/v1/placement', { handle: 'bo', residency: 'mars' });
  assert.deepEqual([none.status, none.body.code, none.body.retry], [503, 'not_ready', 'later']);
});

test('a sign-up that is tried again comes to the cell that knows of it', async () => {
  assert.equal((await ask('/v1/placement', { handle: 'ana', region: 'us' })).body.cell, 'eu-1');
});

test('somebody who just signed up is found although the replica has not heard yet', async () => {
  for (let i = 0; i < 5; i++) {
    const handle = `fresh${i}`;
    await us.reserve({ user: makeId(Date.now(), 3, 0, i), handle, skeleton: skeleton(handle), home: 3 });
    assert.equal((await ask(`/v1/users/by-handle/${handle}`)).body.cell, 'us-1');
  }
});

test('the cells are listed', async () => {
  const { body } = await ask('/v1/cells');
  assert.deepEqual(body, {
    cells: [
      { name: 'eu-1', region: 'eu', number: 1, urls: anaAnswer.urls, state: 'open' },
      { name: 'us-1', region: 'us', number: 3, urls: ['http://127.0.0.1:3'], state: 'open' },
      { name: 'us-2', region: 'us', number: 4, urls: [], state: 'open' },
    ],
  });
});

test('what is wrong is told as a problem of the catalogue', async () => {
  const cases: [string, unknown, number, string][] = [
    ['/v1/users/by-handle/nobody', undefined, 404, 'unknown_user'],
    ['/v1/users/1', undefined, 404, 'unknown_user'],
    ['/v1/users/99999999999999999999', undefined, 400, 'bad_request'],
    ['/v1/users/9223372036854775808', undefined, 400, 'bad_request'],
    ['/v1/users/x', undefined, 400, 'bad_request'],
    ['/v1/users/by-handle/a%20b', undefined, 400, 'handle_invalid'],
    ['/v1/users/by-handle/%ff', undefined, 400, 'bad_request'],
    [`/v1/users/by-handle/${'a'.repeat(2_000)}`, undefined, 414, 'bad_request'],
    ['/v1/placement', { handle: '' }, 400, 'handle_invalid'],
    ['/v1/placement', {}, 400, 'bad_request'],
    ['/v1/placement', { handle: 'bo', region: 7 }, 400, 'bad_request'],
    ['/v1/placement', '{', 400, 'bad_request'],
    ['/v1/placement', { handle: 'x'.repeat(5_000) }, 413, 'bad_request'],
    ['/v1/nothing', undefined, 404, 'unknown_request'],
  ];
  for (const [path, body, status, code] of cases) {
    const answer = await ask(path, body);
    assert.deepEqual(
      [answer.status, answer.type, answer.body.code, answer.body.status],
      [status, 'application/problem+json', code, status],
      path.slice(0, 60),
    );
  }
});

test('one address may not ask without end, and is told when to go on', async () => {
  await using slow = await start({ dataDir: `${dataDir}/slow`, requestsPerSecond: 1 });
  await slow.ready();
  const statuses = await burst(slow.port, 2_050);
  const [served = 0, refusedCount = 0] = [statuses.get(200), statuses.get(429)];
  assert(served >= 2_000 && served <= 2_020 && served + refusedCount === 2_050, `${served} served, ${refusedCount} refused`);
  const refused = await ask('/v1/cells', undefined, slow);
  assert.deepEqual([refused.status, refused.body.code, refused.body.retry], [429, 'rate_limited', 'later']);
  assert(Number(refused.body.after_ms) > 0);
  assert.equal((await ask('/live', undefined, slow)).status, 200);
});

async function burst(port: number, times: number): Promise<Map<number, number>> {
  const statuses = new Map<number, number>();
  const one = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const asked = request({ host: '127.0.0.1', port, path: '/v1/cells' }, (response) => {
        statuses.set(response.statusCode ?? 0, (statuses.get(response.statusCode ?? 0) ?? 0) + 1);
        response.resume();
        response.on('end', resolve);
      });
      asked.on('error', reject);
      asked.end();
    });
  for (let sent = 0; sent < times; sent += 50) await Promise.all(Array.from({ length: 50 }, one));
  return statuses;
}

test('with the directory dead, homes and places are known, and nobody is declared unknown on a stale word', async () => {
  await until('the replica is on disk and knows all', async () => (await ask('/v1/users/by-handle/fresh4')).status === 200);
  await controlPlane[Symbol.asyncDispose]();
  const justDead = await ask('/v1/users/by-handle/nobody');
  assert.deepEqual([justDead.status, justDead.body.code], [404, 'unknown_user']);
  await until('the replica is no longer fresh', async () => (await ask('/v1/users/by-handle/nobody')).status === 503);
  const stale = await ask('/v1/users/by-handle/nobody');
  assert.deepEqual([stale.body.code, stale.body.retry], ['directory_away', 'later']);
  assert.deepEqual((await ask('/v1/users/by-handle/ana')).body, anaAnswer);
  assert.equal((await ask('/v1/placement', { handle: 'bo' })).status, 200);

  await router[Symbol.asyncDispose]();
  router = await start();
  await router.ready();
  assert.deepEqual((await ask('/v1/users/by-handle/ana')).body, anaAnswer);
  assert.equal((await ask('/ready')).status, 200);
});

test('a router that never heard of the directory is red, and says that it cannot place', async () => {
  await using blank = await start({ dataDir: `${dataDir}/blank` });
  assert.equal((await ask('/ready', undefined, blank)).status, 503);
  assert.equal((await ask('/live', undefined, blank)).status, 200);
  assert.equal((await ask('/v1/placement', { handle: 'bo' }, blank)).body.code, 'not_ready');
  controlPlane = await startDirectory(controlPlane.port);
  await blank.ready();
  assert.equal((await ask('/ready', undefined, blank)).status, 200);
});
