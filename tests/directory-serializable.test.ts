// The directory's transactions where the engine serialises them (as CockroachDB does): they fail with 40001 and run again.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { type ControlPlane, startControlPlane } from '@weft/control-plane/control-plane.ts';
import { startTestPostgres, type TestServer } from '@weft/local/test-servers.ts';
import { CellRecord } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import { skeleton } from '@weft/proto/handle.ts';
import { makeId } from '@weft/proto/ids.ts';
import { Secret } from '@weft/runtime/config.ts';
import { DirectoryClient } from '@weft/runtime/directory-client.ts';
import { directorySigningKey, openChanges } from '@weft/runtime/directory-signature.ts';
import { silentLog } from '@weft/runtime/log.ts';

const seed = randomBytes(32);
const cells = [
  { name: 'eu-1', number: 1, region: 'eu', weight: 100 },
  { name: 'us-1', number: 3, region: 'us', weight: 100 },
];
let postgres: TestServer;
let controlPlane: ControlPlane;
let eu: DirectoryClient;
let us: DirectoryClient;
let made = 0;

before(async () => {
  postgres = await startTestPostgres({ fast: true, settings: { default_transaction_isolation: 'serializable' } });
  const tokens = new Map(cells.map(({ name }) => [name, createHash('sha256').update(name).digest()]));
  const secrets = { pgUrl: new Secret(postgres.url), nkeySeed: new Secret(''), signSeed: new Secret(seed.toString('base64url')) };
  const config = {
    host: '127.0.0.1',
    port: 0,
    metricsPort: 0,
    logLevel: 'silent',
    drainMsMax: 1_000,
    tokens,
    cells,
    hubUrls: [],
    ...secrets,
  };
  controlPlane = await startControlPlane(config, { log: silentLog() });
  [eu, us] = [new DirectoryClient(`127.0.0.1:${controlPlane.port}`, 'eu-1'), new DirectoryClient(`127.0.0.1:${controlPlane.port}`, 'us-1')];
});

after(async () => {
  eu?.[Symbol.dispose]();
  us?.[Symbol.dispose]();
  await controlPlane?.[Symbol.asyncDispose]();
  await postgres?.stop();
});

const newUser = (home: number, handle: string) => ({
  user: makeId(Date.now(), home, 0, 0) + (BigInt(++made) << 42n),
  handle,
  skeleton: skeleton(handle),
  home,
});

test('of two who reserve the same handle at once, from two cells, exactly one gets it', async () => {
  for (let round = 0; round < 10; round++) {
    const results = await Promise.all([eu.reserve(newUser(1, `racer${round}`)), us.reserve(newUser(3, `racer${round}`))]);
    assert.deepEqual(results.map(({ kind }) => kind).sort(), ['reserved', 'taken']);
  }
});

test('reservations and registrations at once leave a log without a hole', async () => {
  const record = CellRecord.fromPartial({ name: 'eu-1', generation: 1n });
  await Promise.all([
    ...Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? eu.reserve(newUser(1, `many${i}`)) : us.reserve(newUser(3, `many${i}`)))),
    ...Array.from({ length: 10 }, (_, i) => eu.registerCell({ ...record, urls: [`http://127.0.0.1:${i + 1}`] })),
  ]);
  const { signed, end } = await eu.readChanges({ after: [], limit: 0 });
  const list = signed && openChanges(signed, directorySigningKey(seed));
  assert(list !== undefined && end);
  for (const { shard, n } of list.positions) {
    const numbers: bigint[] = list.changes.filter((change) => change.shard === shard).map((change) => change.n);
    assert.deepEqual(
      numbers,
      Array.from({ length: Number(n) }, (_, i) => BigInt(i + 1)),
    );
  }
  const last = list.changes.findLast(({ what }) => what?.$case === 'cell' && what.value.name === 'eu-1')?.what;
  assert(last?.$case === 'cell');
  assert.equal(last.value.urls.length, 10);
  assert.equal(list.changes.filter(({ what }) => what?.$case === 'user').length, 50);
});
