// Two nodes of one cell: what one of them does, leaves undone or is late with, as the other's people see it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { laneOf } from '@weft/proto/ids.ts';
import { streams } from '@weft/proto/subjects.ts';
import { Scene } from './fault-harness.ts';
import { startFabric, type TestFabric } from './harness.ts';
import { until } from './until.ts';

/** A node's lease ends after 3 s, and is looked for each second. */
const takeOverMsMax = 6_000;
let fabric: TestFabric;

before(async () => {
  fabric = await startFabric({ cells: ['eu-1', 'us-1'], nodes: { 'us-1': 2 } });
});

after(() => fabric?.stop());

async function restart(node: string, failpoints: string): Promise<void> {
  fabric.fabric.configure(node, failpoints === '' ? {} : { WEFT_FAILPOINTS: failpoints });
  await fabric.fabric.stop(node);
  await fabric.fabric.start(node);
  fabric.fabric.configure(node, {});
}

test('a device that connects at another node replaces its old socket there, and its other devices stay', async () => {
  const laptop = await fabric.client('ana', 'us-1', { node: 'a', device: 'laptop' });
  const before = await fabric.client('ana', 'us-1', { node: 'a' });
  const now = await fabric.client('ana', 'us-1', { node: 'b' });
  assert.deepEqual(await before.closed, { code: 4005, reason: 'replaced' });
  // And back again: the newer one stays, wherever it is.
  const back = await fabric.client('ana', 'us-1', { node: 'a' });
  assert.equal((await now.closed).code, 4005);
  await Promise.all([laptop, back].map((client) => client.createGroup([])));
  assert.deepEqual([laptop.isOpen, back.isOpen], [true, true]);
});

/** A socket on b; somebody on a says a word that is told late, then somebody on b another. */
async function overtaken(label: string, onB: string): Promise<number[]> {
  const [quick, listener] = [await fabric.device(`${label}-quick`, 'us-1'), await fabric.device(`${label}-listener`, 'us-1')];
  const slow = await fabric.client(`${label}-slow`, 'us-1', { node: 'a' });
  const log = await slow.createGroup([quick.user, listener.user]);
  await Promise.all([restart('node-us-1-a', 'hold-node-push'), restart('node-us-1-b', onB)]);
  const ear = await fabric.client(listener.name, 'us-1', { node: 'b' });
  const [a, b] = [await fabric.client(`${label}-slow`, 'us-1', { node: 'a' }), await fabric.client(quick.name, 'us-1', { node: 'b' })];
  for (const node of ['node-us-1-a', 'node-us-1-b'])
    await until(`${node} hears the other`, async () => (await fabric.metric(node, 'cells_nodes_heard')) === 1);
  const said = [await a.accepted({ log }, 'five'), await b.accepted({ log }, 'six'), await a.accepted({ log }, 'seven')];
  await ear.toldUpTo(log, Number(said[2]?.seq));
  assert.deepEqual(
    said.map(({ seq }) => seq),
    [2n, 3n, 4n],
  );
  return ear.told(log).map(({ seq }) => seq);
}

test('a word of another node that comes late is shown in its place, before the one that overtook it', async () => {
  assert.deepEqual(await overtaken('order', ''), [2, 3, 4]);
});

test('without that guard sockets see the later word first and the earlier never', async () => {
  assert.notDeepEqual(await overtaken('chaos', 'no-push-order'), [2, 3, 4]);
});

test('a frozen node’s share of the inbound stream is taken over within seconds, with all that was in its hands', async (t) => {
  await using scene = await Scene.open(fabric, { label: 'frozen', cells: ['eu-1', 'us-1'], peoplePerCell: 1 });
  const [ana, bo] = [scene.one('eu-1'), scene.one('us-1')];
  const { log } = await scene.group([ana, bo]);
  const [lease] = await scene.sql('us-1', 'select holder from leases where name = $1', [`apply/${laneOf(log)}`]);
  const holder = String(lease?.holder).split('-')[0] ?? '';
  bo.moveTo([fabric.url(holder === 'a' ? 'node-us-1-b' : 'node-us-1-a')]);
  await until('the listener is on the other node', () => bo.isLive && bo.welcome?.node !== holder);
  fabric.fabric.freeze(`node-us-1-${holder}`);
  const frozenMs = performance.now();
  try {
    await scene.during({ perSecond: 200, ms: 2_000 }, async () => undefined);
    const head = ana.recorder.head(log);
    await until('what was said meanwhile is shown', () => bo.recorder.head(log) >= head, takeOverMsMax - (performance.now() - frozenMs));
    t.diagnostic(`shown ${Math.round(performance.now() - frozenMs)} ms after the freeze`);
  } finally {
    fabric.fabric.thaw(`node-us-1-${holder}`);
  }
  await scene.judge(t, { repairMsMax: takeOverMsMax });
});

test('a cell has its work queue, bounded, and only inside', async () => {
  const [plan] = fabric.fabric.plan.cells.filter(({ name }) => name === 'us-1');
  const { cell, fabric: outside } = fabric.fabric.natsCredentials.cell('us-1');
  const servers = `127.0.0.1:${plan?.nats.client}`;
  for (const [user, pass, sees] of [
    ['cell', cell, true],
    ['fabric', outside, false],
  ] as const) {
    const nc = await connect({ servers, user, pass });
    try {
      const manager = await jetstreamManager(nc, { domain: 'us-1', checkAPI: false });
      const info = manager.streams.info(streams.jobs('us-1'));
      if (!sees) await assert.rejects(info, /not found|timeout/i);
      else {
        const { config } = await info;
        assert.deepEqual(
          [config.retention, config.discard, config.max_bytes > 0, config.subjects],
          ['workqueue', 'new', true, [streams.jobSubjects]],
        );
      }
    } finally {
      await nc.close();
    }
  }
});
