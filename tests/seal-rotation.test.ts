// Seal keys are replaced while messages are under way, and none is lost.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { KeyUse } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import { subjects } from '@weft/proto/subjects.ts';
import { silentLog } from '@weft/runtime/log.ts';
import { openBus } from '@weft/runtime/nats.ts';
import { readFront } from '@weft/runtime/seal-header.ts';
import { openPool } from '@weft/runtime/sql.ts';
import { startFabric, type TestFabric } from './harness.ts';
import { natsUrl, rejections } from './hostile-cell.ts';
import type { RawClient } from './raw-client.ts';
import { until } from './until.ts';

const cells = ['eu-1', 'us-1'] as const;
/** A key that the directory has is known to the nodes of every cell by then. */
const heardWithinMs = 3_000;
let fabric: TestFabric;

before(async () => {
  fabric = await startFabric({ cells });
});

after(async () => {
  await fabric?.stop();
});

type Pool = ReturnType<typeof openPool>;

/** A key is replaced when it is old: so an operator makes it old. Answers when the next one is published. */
async function rotate(cell: string, pool: Pool, directory: Pool): Promise<void> {
  await pool.query("update cell_keys set starts_ms = 0 where key_use = 'seal'");
  const next = "select 1 from cell_keys where key_use = 'seal' and version = 2";
  await until(`${cell} has its next key`, async () => (await pool.query(next)).rowCount === 1, 15_000);
  const published = 'select 1 from cell_keys k join cells c on c.cell = k.cell where c.name = $1 and k.key_version = 2 and k.key_use = $2';
  await until(
    `the next key of ${cell} is published`,
    async () => (await directory.query(published, [cell, KeyUse.KEY_USE_SEAL])).rowCount === 1,
    15_000,
  );
}

async function rotateAll(): Promise<void> {
  const directory = openPool(fabric.fabric.databaseUrl('directory'), 1);
  const pools = cells.map((cell) => openPool(fabric.fabric.databaseUrl(cell), 1));
  try {
    await Promise.all(cells.map((cell, i) => rotate(cell, pools[i] as Pool, directory)));
    // Instead of the minute that a new key waits until everybody has surely heard of it.
    const start = "update cell_keys set starts_ms = $1 where key_use = 'seal' and version = 2";
    const startsMs = Date.now() + heardWithinMs;
    for (const pool of pools) await pool.query(start, [startsMs]);
  } finally {
    for (const pool of [directory, ...pools]) await pool.end();
  }
}

/** Says a word every few milliseconds until told to stop; answers the ids of all. */
async function talk(from: RawClient, log: bigint, stop: AbortSignal): Promise<bigint[]> {
  const ids: bigint[] = [];
  while (!stop.aborted) {
    const id = from.freshEntryId();
    ids.push(id);
    const answer = await from.append({ log }, `word ${ids.length}`, id);
    assert(answer.$case === 'accepted' || answer.$case === 'pending', answer.$case);
  }
  return ids;
}

test('of a cell that has just begun nothing is heard before its key is known', async () => {
  for (const cell of cells) {
    const met = async () => (await fabric.metric(`node-${cell}-a`, 'cells_link_comparisons_total')) > 0;
    await until(`${cell} has met the other`, met);
    assert.deepEqual(await rejections(fabric, `node-${cell}-a`), new Map());
  }
});

test('keys are rotated in both cells under traffic, and every message arrives once', async (t) => {
  const [ana, bo] = [await fabric.client('ana', 'eu-1'), await fabric.client('bo', 'us-1')];
  const log = await ana.openDirect(bo.user);
  const password = fabric.fabric.natsCredentials.cell('us-1').fabric;
  const ear = await openBus({ url: natsUrl(fabric, 'us-1'), account: 'fabric', password, cell: 'us-1', log: silentLog() });
  const frames = new Map<string, number>();
  ear.subscribe(subjects.framesFrom('us-1', 'eu-1'), {
    callback: (_, { data }) => {
      const front = readFront(Buffer.from(data));
      if (front) frames.set(`${front.srcVersion}/${front.dstVersion}`, (frames.get(`${front.srcVersion}/${front.dstVersion}`) ?? 0) + 1);
    },
  });
  const stop = new AbortController();
  try {
    const talking = Promise.all([talk(ana, log, stop.signal), talk(bo, log, stop.signal)]);
    await until('the first keys are in use', () => (frames.get('1/1') ?? 0) > 20);
    await rotateAll();
    await until('the next keys of both are in use', () => (frames.get('2/2') ?? 0) > 20, 15_000);
    stop.abort();
    const said = (await talking).flat();
    const heardBy = (one: RawClient): bigint[] => one.told(log).map(({ clientEntryId }) => clientEntryId);
    for (const one of [ana, bo]) await until('everything is heard', () => said.every((id) => heardBy(one).includes(id)), 20_000);
    for (const one of [ana, bo]) assert.equal(heardBy(one).filter((id) => said.includes(id)).length, said.length);
    t.diagnostic(
      `${said.length} messages; frames by key versions of source and destination: ${JSON.stringify(Object.fromEntries(frames))}`,
    );
  } finally {
    stop.abort();
    await ear.close();
  }
  for (const cell of cells) assert.deepEqual(await rejections(fabric, `node-${cell}-a`), new Map());
});
