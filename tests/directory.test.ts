// The directory over a real PostgreSQL and a real nats-server: reservations, the log of changes, and replicas that live without it.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connect, type NatsConnection, nkeys } from '@nats-io/transport-node';
import { type ControlPlane, startControlPlane } from '@weft/control-plane/control-plane.ts';
import { startTestNats, startTestPostgres, type TestServer, testFolder } from '@weft/local/test-servers.ts';
import { type FaultCode, WeftError } from '@weft/proto/faults.ts';
import { CellRecord, ChangeList, SignedChanges } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import { skeleton } from '@weft/proto/handle.ts';
import { makeId } from '@weft/proto/ids.ts';
import { directoryShards, subjects } from '@weft/proto/subjects.ts';
import { systemClock } from '@weft/runtime/clock.ts';
import { Secret } from '@weft/runtime/config.ts';
import { DirectoryClient } from '@weft/runtime/directory-client.ts';
import { DirectoryReplica } from '@weft/runtime/directory-replica.ts';
import { directorySigningKey, rawPublicKey, signChanges } from '@weft/runtime/directory-signature.ts';
import { silentLog } from '@weft/runtime/log.ts';
import { systemRandom } from '@weft/runtime/random.ts';
import { openPool } from '@weft/runtime/sql.ts';
import { opened, readLog as readDirectoryLog, type Told, toldOf } from './directory-log.ts';
import { until } from './until.ts';

const seed = randomBytes(32);
const signKey = directorySigningKey(seed);
const callers = ['eu-1', 'us-1', 'router-eu', 'xx-1'];
const tokens = new Map(callers.map((name) => [name, createHash('sha256').update(`token of ${name}`).digest()]));
const cells = [
  { name: 'eu-1', number: 1, region: 'eu', weight: 100 },
  { name: 'us-1', number: 3, region: 'us', weight: 100 },
];

let postgres: TestServer;
let nats: TestServer;
let listener: NatsConnection;
let pool: ReturnType<typeof openPool>;
let port = 0;
let controlPlane: ControlPlane;
const folders: string[] = [];
const clients = new Map<string, DirectoryClient>();
let made = 0;

before(async () => {
  [postgres, nats] = await Promise.all([startTestPostgres({ fast: true }), startTestNats()]);
  pool = openPool(postgres.url, 2);
  controlPlane = await start();
  // Whoever restarts it finds it at the same place.
  port = controlPlane.port;
  listener = await connect({ servers: nats.url });
});

after(async () => {
  for (const client of clients.values()) client[Symbol.dispose]();
  await listener?.close();
  await controlPlane?.[Symbol.asyncDispose]();
  await pool?.end();
  await nats?.stop();
  await postgres?.stop();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** Nothing ever listens on port 1: a hub that is away. */
const awayHub = 'nats://127.0.0.1:1';

function start(hubUrls: readonly string[] = [awayHub, nats.url]): Promise<ControlPlane> {
  const secrets = { pgUrl: new Secret(postgres.url), nkeySeed: new Secret(nkeySeed()), signSeed: new Secret(seed.toString('base64url')) };
  const config = { host: '127.0.0.1', port, metricsPort: 0, logLevel: 'silent', drainMsMax: 1_000, tokens, cells, hubUrls, ...secrets };
  return startControlPlane(config, { log: silentLog() });
}

const nkeySeed = (): string => Buffer.from(nkeys.createUser().getSeed()).toString();

function as(name: string): DirectoryClient {
  const client = clients.get(name) ?? new DirectoryClient(`127.0.0.1:${port}`, `token of ${name}`);
  clients.set(name, client);
  return client;
}

function folder(): string {
  const dir = testFolder();
  folders.push(dir);
  return dir;
}

const openReplica = (dataDir: string): Promise<DirectoryReplica> =>
  DirectoryReplica.open({
    address: `127.0.0.1:${port}`,
    token: 'token of router-eu',
    publicKey: rawPublicKey(signKey),
    dataDir,
    clock: systemClock,
    random: systemRandom,
    log: silentLog(),
  });

const newUser = (home: number, handle = `u${++made}`) => ({
  user: makeId(Date.now(), home, 0, 0) + (BigInt(++made % 1024) << 42n),
  handle,
  skeleton: skeleton(handle),
  home,
});

const fails = (promise: Promise<unknown>, code: FaultCode): Promise<void> =>
  assert.rejects(promise, (error) => error instanceof WeftError && error.code === code);

const readLog = (): Promise<ChangeList> => readDirectoryLog(as('router-eu'), signKey);

test('of two who reserve the same handle at once, from two cells, exactly one gets it', async () => {
  for (let round = 0; round < 10; round++) {
    const [a, b] = [newUser(1, `racer${round}`), newUser(3, `racer${round}`)];
    const results = await Promise.all([as('eu-1').reserve(a), as('us-1').reserve(b)]);
    assert.deepEqual(results.map(({ kind }) => kind).sort(), ['reserved', 'taken']);
    const found = await as('eu-1').findUser({ handle: a.handle });
    assert.equal(found?.id, results[0]?.kind === 'reserved' ? a.user : b.user);
  }
});

test('of two handles that look alike exactly one is reserved', async () => {
  assert.equal(skeleton('paypal'), skeleton('paypa1'));
  const [a, b] = [newUser(1, 'paypal'), newUser(3, 'paypa1')];
  const results = await Promise.all([as('eu-1').reserve(a), as('us-1').reserve(b)]);
  assert.deepEqual(results.map(({ kind }) => kind).sort(), ['reserved', 'taken']);
});

test('the same user and handle again gets the same answer and makes no second change', async () => {
  const user = newUser(1);
  const [first, same] = await Promise.all([as('eu-1').reserve(user), as('eu-1').reserve(user)]);
  const log = await readLog();
  const again = await as('eu-1').reserve(user);
  assert.equal(first?.kind, 'reserved');
  assert.deepEqual([same, again], [first, first]);
  assert.deepEqual((await readLog()).positions, log.positions);
  assert.equal((await as('eu-1').reserve({ ...newUser(1), user: user.user })).kind, 'taken');
});

test('a cell reserves for itself only, in the one spelling, and with the look-alikes of the directory', async () => {
  await fails(as('us-1').reserve(newUser(1)), 'not_allowed');
  await fails(as('router-eu').reserve(newUser(1)), 'not_allowed');
  await fails(as('eu-1').reserve({ ...newUser(1), user: makeId(Date.now(), 3, 0, 0) }), 'bad_request');
  await fails(as('eu-1').reserve({ ...newUser(1), handle: 'NotFolded' }), 'handle_invalid');
  await fails(as('eu-1').reserve({ ...newUser(1), skeleton: 'another' }), 'handle_invalid');
  await fails(as('nobody').reserve(newUser(1)), 'token_invalid');
});

test('changes are numbered without a hole however many are made at once', async () => {
  await Promise.all(Array.from({ length: 60 }, (_, i) => as(i % 2 === 0 ? 'eu-1' : 'us-1').reserve(newUser(i % 2 === 0 ? 1 : 3))));
  const { changes, positions } = await readLog();
  for (const { shard, n: end } of positions) {
    const numbers = changes.filter((change) => change.shard === shard).map(({ n }) => n);
    assert.deepEqual(
      numbers,
      Array.from({ length: Number(end) }, (_, i) => BigInt(i + 1)),
    );
  }
  assert.equal(positions.length, directoryShards);
});

test('a cell registers itself only, node by node, and never goes back a generation', async () => {
  const nodeA = CellRecord.fromPartial({
    name: 'eu-1',
    urls: ['http://127.0.0.1:1'],
    generation: 1n,
    keys: [{ use: 'KEY_USE_SEAL', version: 1, key: Buffer.alloc(32, 1) }],
  });
  const nodeB = CellRecord.fromPartial({ ...nodeA, urls: ['http://127.0.0.1:2'], keys: [] });
  const [, record] = [await as('eu-1').registerCell(nodeA), await as('eu-1').registerCell(nodeB)];
  assert.deepEqual(record.urls, ['http://127.0.0.1:1', 'http://127.0.0.1:2']);
  assert.deepEqual([record.number, record.region, record.keys.length, record.state], [1, 'eu', 1, 'CELL_STATE_OPEN']);
  assert.equal((await as('eu-1').registerCell(nodeB)).version, record.version);
  assert.equal((await as('eu-1').registerCell({ ...nodeA, generation: 2n })).generation, 2n);
  const stale = await as('eu-1').registerCell({ ...nodeA, urls: ['http://127.0.0.1:9'] });
  assert.deepEqual([stale.generation, stale.urls.length], [2n, 2]);
  await fails(as('us-1').registerCell(nodeA), 'not_allowed');
  await fails(as('xx-1').registerCell({ ...nodeA, name: 'xx-1' }), 'unknown_cell');
  await fails(as('eu-1').registerCell({ ...nodeA, generation: 2n, urls: ['ftp://x'] }), 'bad_request');
});

test('a replica converges, lives on without the control plane, and starts from disk while it is dead', async () => {
  const dataDir = folder();
  const user = newUser(1);
  assert.equal((await as('eu-1').reserve(user)).kind, 'reserved');
  const first = await openReplica(dataDir);
  try {
    await until('the replica has the user', () => first.userByHandle(user.handle)?.id === user.user);
    assert.equal(first.fresh, true);
    await controlPlane[Symbol.asyncDispose]();
    assert.equal(first.userById(user.user)?.handle, user.handle);
    await fails(first.directory.reserve(newUser(1)), 'directory_away');
    await until('the replica knows that it may be behind', () => !first.fresh);
  } finally {
    await first[Symbol.asyncDispose]();
  }

  await using second = await openReplica(dataDir);
  assert.equal(second.userByHandle(user.handle)?.id, user.user);
  assert.equal(second.cell('eu-1')?.number, 1);
  assert.equal(second.homeOf(user.user), 1);
  assert.equal(second.fresh, false);

  controlPlane = await start();
  const late = newUser(3);
  await until('the directory answers again', () =>
    as('us-1')
      .reserve(late)
      .then(
        () => true,
        () => false,
      ),
  );
  await until('the replica follows again', () => second.userByHandle(late.handle) !== undefined && second.fresh);
});

test('signed changes and a beat each second come over the bus, and a hole in them is pulled', async () => {
  const heard: Uint8Array[] = [];
  const listening = listener.subscribe(subjects.directoryAll, { callback: (_error, message) => void heard.push(message.data) });
  await until(
    'beats of all shards',
    () => new Set(heard.flatMap((bytes) => opened(bytes, signKey)?.positions.map(({ shard }) => shard))).size === directoryShards,
  );
  await using replica = await openReplica(folder());
  await until('the replica is complete', () => replica.fresh);
  let user = newUser(1);
  let told: Told | undefined;
  // The first change of a shard has nothing before it that could be missing; a shard has one first change.
  while (told === undefined || told.n === 1n) {
    user = newUser(1);
    await as('eu-1').reserve(user);
    told = await toldOf(user.user, heard, signKey);
  }
  const { message } = told;
  assert.equal(replica.offer(message), 'applied');
  assert.equal(replica.userByHandle(user.handle)?.id, user.user);

  const empty = await openReplica(folder());
  const changes: string[] = [];
  empty.on('change', ({ users }) => changes.push(...users.map(({ handle }) => handle)));
  try {
    assert.equal(empty.offer(message), 'hole');
    await until('the hole is filled', () => empty.userCount === replica.userCount && empty.fresh);
    assert.equal(changes.filter((handle) => handle === user.handle).length, 1);
  } finally {
    await empty[Symbol.asyncDispose]();
    listening.unsubscribe();
  }
});

test('a forged change on the bus is counted, told and dropped', async () => {
  await using replica = await openReplica(folder());
  await until('the replica is complete', () => replica.fresh);
  const told: string[] = [];
  replica.on('rejected', (from) => told.push(from));
  const victim = newUser(1);
  const what = { $case: 'user', value: { id: victim.user, handle: victim.handle, home: 3, epoch: 9n } } as const;
  const list: ChangeList = { changes: [{ shard: 0, n: 1n, what }], positions: [{ shard: 0, n: 999_999n }], sentAt: BigInt(Date.now()) };
  const good = signChanges(list, signKey, 1);
  const forged = [
    SignedChanges.encode(signChanges(list, directorySigningKey(randomBytes(32)), 1)).finish(),
    SignedChanges.encode({ ...good, signature: new Uint8Array() }).finish(),
    SignedChanges.encode({ ...good, changes: ChangeList.encode({ ...list, sentAt: 1n }).finish() }).finish(),
    ChangeList.encode(list).finish(),
    randomBytes(100),
    new Uint8Array(),
  ];
  for (const bytes of forged) assert.equal(replica.offer(bytes), 'bad-signature');
  assert.equal(replica.rejected, forged.length);
  assert.equal(told.length, forged.length);
  assert.equal(replica.userById(victim.user), undefined);
  assert.equal(replica.homeOf(victim.user), 1);
  assert.equal(replica.fresh, true);
});

test('a replica that pinned another key takes nothing from the directory', async () => {
  await using replica = await DirectoryReplica.open({
    ...{ address: `127.0.0.1:${port}`, token: 'token of router-eu', publicKey: rawPublicKey(directorySigningKey(randomBytes(32))) },
    ...{ dataDir: folder(), clock: systemClock, random: systemRandom, log: silentLog() },
  });
  await until('the list is rejected', () => replica.rejected > 0);
  assert.deepEqual([replica.cells(), replica.userCount, replica.fresh], [[], 0, false]);
});

test('a snapshot that is cut short, changed or of another directory is ignored and read anew', async () => {
  const dataDir = folder();
  const file = join(dataDir, 'directory.snapshot');
  const whole = async (): Promise<number> => {
    await using replica = await openReplica(dataDir);
    await until('the replica is complete', () => replica.fresh && replica.userCount > 0);
    return replica.userCount;
  };
  const users = await whole();
  const good = readFileSync(file);
  const damages = [
    () => truncateSync(file, statSync(file).size - 10),
    () =>
      writeFileSync(
        file,
        good.map((byte, i) => (i === good.length - 5 ? byte ^ 1 : byte)),
      ),
    () => writeFileSync(file, good.toString('latin1').replace(/"key":"../, '"key":"zz'), 'latin1'),
    () => writeFileSync(file, '{"format":2}\n'),
    () => writeFileSync(file, ''),
  ];
  for (const damage of damages) {
    damage();
    assert.equal(await whole(), users);
    assert.deepEqual(readFileSync(file).subarray(0, 30), good.subarray(0, 30));
  }
});

test('the control plane starts and serves while every hub is away', async () => {
  await controlPlane[Symbol.asyncDispose]();
  controlPlane = await start([awayHub]);
  const user = newUser(1);
  await until('it answers', () =>
    as('eu-1')
      .reserve(user)
      .then(
        ({ kind }) => kind === 'reserved',
        () => false,
      ),
  );
  const ready = await fetch(`http://127.0.0.1:${controlPlane.metricsPort}/ready`);
  assert.deepEqual([ready.status, await ready.json()], [200, { ready: true, draining: false, not_ready: [] }]);
  assert.match(
    await (await fetch(`http://127.0.0.1:${controlPlane.metricsPort}/metrics`)).text(),
    /control_plane_hub_connected\{[^}]*\} 0/,
  );
});

test('a changed plan changes the record, a number given anew is refused', async () => {
  await controlPlane[Symbol.asyncDispose]();
  const plan = cells.slice();
  cells[0] = { name: 'eu-1', number: 2, region: 'eu', weight: 100 };
  await assert.rejects(start(), /numbers are never reused/);
  cells[0] = { name: 'eu-1', number: 1, region: 'eu', weight: 7 };
  controlPlane = await start();
  const { changes } = await readLog();
  const last = changes.findLast(({ what }) => what?.$case === 'cell' && what.value.name === 'eu-1')?.what;
  assert(last?.$case === 'cell');
  assert.deepEqual([last.value.weight, last.value.urls.length > 0], [7, true]);
  cells.splice(0, cells.length, ...plan);
});
