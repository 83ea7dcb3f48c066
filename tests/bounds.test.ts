// What is full says so, and loses nothing (R28): the bounds that are too large to be reached, lowered by configuration.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Scene } from './fault-harness.ts';
import { startFabric, type TestFabric } from './harness.ts';
import { appendRequest, type RawClient } from './raw-client.ts';
import { until } from './until.ts';

const intakeBytesMax = 20_000;
const outboxRowsMax = 10;
const logsPerUser = 4;
let fabric: TestFabric;

before(async () => {
  fabric = await startFabric({
    cells: ['eu-1', 'us-1'],
    env: {
      'node-eu-1-a': {
        WEFT_INTAKE_BYTES_MAX: String(intakeBytesMax),
        WEFT_OUTBOX_ROWS_MAX: String(outboxRowsMax),
        WEFT_OUTBOX_COUNT_MS: '200',
        WEFT_LOGS_PER_USER: String(logsPerUser),
        // Heads on the beats would find a lost tail first.
        WEFT_FAILPOINTS: 'no-beat-heads',
      },
    },
  });
});

after(() => fabric?.stop());

test('what waits for a cell that is away is bounded in bytes: intake_full, later; once it is back everything goes on in order', async () => {
  const [ana, bea] = [await fabric.client('ana', 'eu-1'), await fabric.client('bea', 'eu-1')];
  const uma = await fabric.client('uma', 'us-1');
  const log = await uma.createGroup([ana.user, bea.user]);
  await Promise.all([ana.toldUpTo(log, 1), bea.toldUpTo(log, 1)]);
  await fabric.fabric.stop('node-us-1-a');
  const sent = await fill(ana, log);
  // Bytes are what counts, not people.
  const id = bea.freshEntryId();
  const full = await bea.ask(appendRequest({ log }, 'one more', id), 'fault');
  assert.deepEqual([full.code, full.retry, full.afterMs > 0], ['intake_full', 'RETRY_LATER', true]);
  const bytes = Number((await fabric.sql('eu-1', 'select sum(octet_length(body)) as bytes from intake'))[0]?.bytes);
  assert.ok(bytes > intakeBytesMax / 2 && bytes <= intakeBytesMax, `${bytes} bytes wait`);
  assert.ok((await fabric.metric('node-eu-1-a', 'cells_intake_bytes')) <= intakeBytesMax + 2_000);
  await fabric.fabric.start('node-us-1-a');
  await until('there is room again', async () => (await bea.append({ log }, 'one more', id)).$case === 'pending', 30_000);
  await ana.toldUpTo(log, sent.length + 2);
  assert.deepEqual(
    ana.told(log).flatMap(({ text }) => (text.startsWith('m') ? [text] : [])),
    sent,
  );
});

/** Appends until the cell says that it is full; what it took. */
async function fill(client: RawClient, log: bigint): Promise<string[]> {
  const taken: string[] = [];
  for (let i = 0; i < 100; i++) {
    const text = `m${i} ${'x'.repeat(1_000)}`;
    const event = await client.append({ log }, text);
    if (event.$case !== 'pending') {
      assert.equal(event.$case === 'fault' && event.value.code, 'intake_full');
      return taken;
    }
    taken.push(text);
  }
  return assert.fail('it was never full');
}

test('frames beyond the bound are dropped; the cell that was away finds by comparing digests what it lacks, and pulls it', async (t) => {
  await using scene = await Scene.open(fabric, { label: 'outbox', cells: ['eu-1', 'us-1'], peoplePerCell: 1 });
  const [ana, bo] = [scene.one('eu-1'), scene.one('us-1')];
  const { log } = await scene.group([ana, bo]);
  const pulled = await fabric.metric('node-us-1-a', 'cells_link_entries_pulled_total');
  await fabric.fabric.stop('node-us-1-a');
  await fabric.fabric.stop('hub-us');
  for (let i = 0; i < 3 * outboxRowsMax; i++) assert.equal((await ana.append({ log }, `word ${i}`)).how, 'accepted');
  const waiting = async (): Promise<number> => Number((await scene.sql('eu-1', 'select count(*) as n from outbox'))[0]?.n);
  await until('the oldest frames are dropped', async () => (await waiting()) <= outboxRowsMax);
  // Not even the newest is left: nothing but the comparison can tell.
  await scene.sql('eu-1', 'delete from outbox');
  await fabric.fabric.start('hub-us');
  await fabric.fabric.start('node-us-1-a');
  await until('it is shown', () => bo.isLive && bo.recorder.head(log) === ana.recorder.head(log), 15_000);
  await scene.judge(t, { repairMsMax: 15_000 });
  assert.ok((await fabric.metric('node-us-1-a', 'cells_link_entries_pulled_total')) - pulled >= 3 * outboxRowsMax);
});

test('who is in as many logs as allowed can open and create no more', async () => {
  const zoe = await fabric.client('zoe', 'eu-1');
  const peer = await fabric.client('peer', 'eu-1');
  // The self log is one of them.
  for (let i = 1; i < logsPerUser; i++) await zoe.createGroup([]);
  const group = { clientEntryId: zoe.freshEntryId(), title: '', members: [], membersMax: 0 };
  assert.equal(await zoe.faultOf({ $case: 'createGroup', value: group }), 'too_many_logs');
  assert.equal(await zoe.faultOf({ $case: 'openDirect', value: { peer: peer.user, clientEntryId: zoe.freshEntryId() } }), 'too_many_logs');
  // Others may still bring them in.
  await peer.openDirect(zoe.user);
});
