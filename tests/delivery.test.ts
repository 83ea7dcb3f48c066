// Messages across cells and nodes while nothing is broken but what the test itself breaks; the history checker judges.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { systemClock } from '@weft/runtime/clock.ts';
import { Scene } from './fault-harness.ts';
import { startFabric, type TestFabric } from './harness.ts';
import type { RecordedDevice } from './recorded-device.ts';
import type { Answer } from './recorded-line.ts';
import { until } from './until.ts';

const cells = ['eu-1', 'eu-2', 'us-1'] as const;
let fabric: TestFabric;

before(async () => {
  fabric = await startFabric({ cells, nodes: { 'eu-1': 2, 'eu-2': 1, 'us-1': 2 }, env: { 'node-*': { WEFT_HEARTBEAT_MS: '2000' } } });
});

after(async () => {
  await fabric?.stop();
});

const accepted = (answer: Answer): { log: bigint; seq: number } => {
  assert.equal(answer.how, 'accepted');
  return answer as { log: bigint; seq: number; how: 'accepted' };
};

test('a direct message crosses cells in both directions, exactly once and in one order', async (t) => {
  await using scene = await Scene.open(fabric, { label: 'pair', cells: ['eu-1', 'us-1'], peoplePerCell: 1 });
  const [ana, bo] = [scene.one('eu-1'), scene.one('us-1')];
  const { log } = await scene.direct(ana, bo);
  for (let i = 1; i <= 50; i++) {
    const [speaker, hearer] = i % 2 === 0 ? [ana, bo] : [bo, ana];
    const id = speaker.freshEntryId();
    speaker.recorder.replies(id, speaker.recorder.head(log));
    const before = hearer.recorder.head(log);
    await speaker.append({ log }, `word ${i}`, id);
    await until(`word ${i} is heard`, () => hearer.recorder.head(log) > before);
  }
  const { counts } = await scene.judge(t);
  assert.equal(counts.accepted + counts.pending, 50);
});

test('the first words of both sides to each other, said before any conversation is open, make one conversation', async (t) => {
  await using scene = await Scene.open(fabric, { label: 'first', cells: ['eu-1', 'us-1'], peoplePerCell: 1 });
  const [ana, bo] = [scene.one('eu-1'), scene.one('us-1')];
  const said = [ana, bo].flatMap((one, i) =>
    ['one', 'two', 'three'].map((word) => one.append({ peer: i === 0 ? bo.user : ana.user }, `${word} of ${one.options.name}`)),
  );
  await Promise.all(said);
  const { log } = await scene.direct(ana, bo);
  await until('all six are there', () => ana.recorder.head(log) === 7 && bo.recorder.head(log) === 7);
  await scene.judge(t);
});

test('ten thousand concurrent appends of thirty people in three cells make one dense order for everybody', async (t) => {
  await using scene = await Scene.open(fabric, { label: 'crowd', cells, peoplePerCell: 10 });
  const { log } = await scene.group(scene.people);
  const first = scene.people[0]?.recorder.head(log) ?? 0;
  const startMs = performance.now();
  const texts = Array.from({ length: 10_000 }, (_, i) => `text ${i}`);
  await Promise.all(texts.map((text, i) => (scene.people[i % scene.people.length] as RecordedDevice).append({ log }, text)));
  t.diagnostic(`10,000 were answered in ${Math.round(performance.now() - startMs)} ms`);
  await scene.converge(60_000);
  for (const { recorder } of scene.people) assert.equal(recorder.head(log), first + 10_000);
  const { counts } = await scene.judge(t, { repairMsMax: 5_000 });
  assert.ok(counts.shown >= 300_000);
});

test('an append that comes again has the same place: at once on two nodes, after a restart, in the owner’s cell and in another', async (t) => {
  await using scene = await Scene.open(fabric, { label: 'again', cells: ['eu-1', 'us-1'], peoplePerCell: 1 });
  const { log } = await scene.group(scene.people);
  for (const cell of ['eu-1', 'us-1']) {
    const phone = scene.one(cell);
    const tablet = await scene.addDevice(phone, `tablet-${cell}`, 1);
    await until('the tablet has the log', () => tablet.logs.has(log));
    const id = phone.freshEntryId();
    const both = await Promise.all([phone.append({ log }, 'once', id), tablet.append({ log }, 'once', id)]);
    await until('it has its place', async () => (await seqOf(scene, cell, log, 'once')).length > 0);
    const seqs = await seqOf(scene, cell, log, 'once');
    if (cell === 'eu-1') for (const answer of both) assert.deepEqual(accepted(answer).seq, seqs[0]);
    await fabric.kill(`node-${cell}-a`);
    assert.equal(accepted(await phone.append({ log }, 'once', id)).seq, seqs[0]);
    await fabric.settle();
    assert.equal(accepted(await phone.append({ log }, 'once', id)).seq, seqs[0]);
    assert.deepEqual(await seqOf(scene, cell, log, 'once'), seqs);
    await tablet[Symbol.asyncDispose]();
    scene.people.splice(scene.people.indexOf(tablet), 1);
    // The next cell's text has to be another one.
    await phone.append({ log }, 'between');
    await scene.sql(cell, 'select 1');
    if (cell === 'eu-1') await scene.converge();
  }
  await scene.judge(t, { repairMsMax: 10_000 });
});

const seqOf = async (scene: Scene, cell: string, log: bigint, text: string): Promise<number[]> =>
  (
    await scene.sql(cell, 'select seq from entries where log_id = $1 and author_id = $2 and body = $3', [
      log,
      scene.one(cell).user,
      Buffer.from(text),
    ])
  ).map(({ seq }) => Number(seq));

test('two nodes of a cell deliver each other’s commits to their sockets in order, and killing one costs only its own sockets a resume', async (t) => {
  await using scene = await Scene.open(fabric, { label: 'nodes', cells: ['eu-1', 'us-1'], peoplePerCell: 6 });
  const { log } = await scene.group(scene.people);
  const listeners = await Promise.all(['a', 'b'].map((node) => fabric.client('nodes-eu-1-0', 'eu-1', { node, device: `ear-${node}` })));
  const first = scene.one('eu-1').recorder.head(log) + 1;
  await scene.during({ perSecond: 600, ms: 3_000 }, async () => undefined);
  await scene.converge();
  const last = scene.one('eu-1').recorder.head(log);
  for (const listener of listeners) {
    await listener.toldUpTo(log, last);
    const seqs = listener.told(log).map(({ seq }) => seq);
    assert.deepEqual(
      seqs,
      Array.from({ length: last - first + 1 }, (_, i) => first + i),
    );
  }
  const homes = scene.of('eu-1').map((person) => ({ person, node: person.welcome?.node, connects: person.counts.connects }));
  assert.deepEqual(homes.map(({ node }) => node).sort(), ['a', 'a', 'a', 'b', 'b', 'b']);
  await scene.during({ perSecond: 400, ms: 4_000 }, async () => {
    await systemClock.sleep(1_000);
    await fabric.kill('node-eu-1-b');
  });
  await scene.converge();
  for (const { person, node, connects } of homes) assert.equal(person.counts.connects > connects, node === 'b', person.options.name);
  await fabric.settle();
  await scene.judge(t, { repairMsMax: 5_000 });
});

test('two holders of every duty at once are harmless: leases that run out under their holders', async (t) => {
  await using scene = await Scene.open(fabric, { label: 'leases', cells: ['eu-1', 'us-1'], peoplePerCell: 4 });
  await scene.group(scene.people);
  await scene.group([...scene.of('us-1'), ...scene.of('eu-1')]);
  const held = new Map<string, Set<unknown>>();
  await scene.during({ perSecond: 500, ms: 6_000 }, async () => {
    for (let i = 0; i < 15; i++) {
      for (const cell of ['eu-1', 'us-1']) {
        for (const { name, holder } of await scene.sql(
          cell,
          'update leases set expires_ms = 0 where name not like $1 returning name, holder',
          ['node%'],
        )) {
          const key = `${cell} ${name}`;
          held.set(key, (held.get(key) ?? new Set()).add(holder));
        }
      }
      await systemClock.sleep(400);
    }
  });
  assert.ok(
    [...held.values()].some((holders) => holders.size > 1),
    'no lease ever changed hands',
  );
  await scene.judge(t, { repairMsMax: 5_000 });
});

test('a node that was frozen with its duties wakes among those who took them over, and nothing happens twice', async (t) => {
  await using scene = await Scene.open(fabric, { label: 'zombie', cells: ['eu-1', 'us-1'], peoplePerCell: 4 });
  await scene.group(scene.people);
  await scene.group([...scene.of('us-1'), ...scene.of('eu-1')]);
  await scene.during({ perSecond: 400, ms: 8_000 }, async () => {
    await systemClock.sleep(1_000);
    fabric.fabric.freeze('node-us-1-a');
    // The sockets of a frozen node do not answer: a device gives up on it as it would on a silent network.
    const node = scene.one('us-1').options.nodes[1] as string;
    await systemClock.sleep(1_500);
    for (const person of scene.of('us-1')) if (person.welcome?.node === 'a') person.moveTo([node]);
    await systemClock.sleep(2_500);
    fabric.fabric.thaw('node-us-1-a');
  });
  await scene.judge(t, { repairMsMax: 10_000 });
});

test('a device that comes back after a month on another node is told of what changed since, and only of that', async (t) => {
  await using scene = await Scene.open(fabric, { label: 'month', cells: ['eu-1', 'us-1'], peoplePerCell: 2 });
  const [ana, bo] = [scene.one('eu-1'), scene.one('us-1')];
  const quiet = await scene.direct(ana, scene.one('eu-1', 1));
  const busy = await scene.direct(ana, bo);
  await ana.append(quiet, 'nothing comes after this');
  await scene.converge();
  const tablet = await fabric.client('month-eu-1-0', 'eu-1', { device: 'tablet' });
  assert.equal(tablet.welcome.heads.length, 3);
  tablet.close();
  // The tablet's last sign of life was a month ago; the quiet log changed before, the others since.
  const monthAgoMs = Date.now() - 31 * 24 * 60 * 60_000;
  const cursor = Buffer.from(tablet.welcome.cursor);
  cursor.writeBigUInt64BE(BigInt(monthAgoMs));
  await scene.sql('eu-1', 'update logs set changed_ms = $2 where log_id = any($1)', [[quiet.log, ana.user], monthAgoMs - 60_000]);
  for (let i = 0; i < 40; i++) await bo.append(busy, `while you were away ${i}`);
  await scene.converge();
  const resume = { cursor, digest: tablet.welcome.digest };
  const again = await fabric.client('month-eu-1-0', 'eu-1', { device: 'tablet', node: 'b', resume });
  assert.deepEqual(
    again.welcome.heads.map(({ log, seq }) => ({ log, seq })),
    [{ log: busy.log, seq: 41n }],
  );
  assert.equal(again.welcome.complete, true);
  const current = await fabric.client('month-eu-1-0', 'eu-1', { device: 'tablet', resume: { cursor, digest: again.welcome.digest } });
  assert.deepEqual(current.welcome.heads, []);
  await scene.judge(t);
});
