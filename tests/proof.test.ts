// The proof in the client's hands: whatever is corrupted, at whatever hop, is reported within one heartbeat of 5 s with the
// log, the range and the hop up to which the history was right, and of what is right nothing is.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashOf } from '@weft/client/fake-log.ts';
import type { Hop, ProofKind } from '@weft/client/judge.ts';
import { nodeSha256 } from '@weft/client/sha256-node.ts';
import type { Entry } from '@weft/proto/gen/weft/client/v1/client.ts';
import { sayClean } from './proof-clean.ts';
import { type ClientHop, type Corruption, corruptions, heartbeatMs, hops, ProofScene, type SceneOptions } from './proof-scene.ts';

const eventsPerHop = 500;
const eventsPerScene = 500;
/** A million by `node tests/proof-long.ts`. */
const cleanEvents = 500;

/** What each corruption is called, and who still had it right. */
const expected: Readonly<Record<ClientHop, Readonly<Record<Corruption, readonly [ProofKind, Hop]>>>> = {
  push: {
    drop: ['missing', 'home'],
    duplicate: ['doubled', 'home'],
    reorder: ['reordered', 'home'],
    rewrite: ['rewritten', 'home'],
    fork: ['forked', 'home'],
  },
  'replica store': {
    drop: ['missing', 'owner'],
    duplicate: ['rewritten', 'owner'],
    reorder: ['reordered', 'owner'],
    rewrite: ['rewritten', 'owner'],
    fork: ['rewritten', 'owner'],
  },
  'owner store': {
    drop: ['missing', 'owner'],
    duplicate: ['rewritten', 'owner'],
    reorder: ['reordered', 'owner'],
    rewrite: ['rewritten', 'owner'],
    fork: ['forked', 'witness'],
  },
};

for (const hop of hops) {
  test(`${eventsPerHop} events corrupted at the ${hop} are reported, each within one heartbeat`, async (t) => {
    const told = new Map<string, number>();
    let latestMs = 0;
    for (let done = 0; done < eventsPerHop; done += eventsPerScene) {
      const scene = await ProofScene.open();
      for (let i = 0; i < eventsPerScene; i++) {
        const corruption = corruptions[i % corruptions.length] as Corruption;
        const { first, last, ms, reports } = await scene.corrupt(hop, corruption);
        const [report, ...more] = reports;
        assert.ok(report && ms <= heartbeatMs, `${corruption} number ${done + i} was not reported`);
        assert.ok(
          report.log === scene.log.id && report.from <= last && report.to >= first,
          `${corruption}: ${report.from} to ${report.to}, not in ${first} to ${last}`,
        );
        const name = `${corruption}: ${report.kind}, right up to ${report.agreed}`;
        told.set(name, (told.get(name) ?? 0) + 1);
        assert.deepEqual([report.kind, report.agreed], expected[hop][corruption], name);
        assert.ok(more.length <= 1, `${corruption}: ${more.length} more reports`);
        latestMs = Math.max(latestMs, ms);
      }
      await scene.close();
    }
    for (const [name, times] of told) t.diagnostic(`${times} × ${name}`);
    t.diagnostic(`the latest after ${latestMs} virtual ms`);
  });
}

test('what was found while the connection breaks is looked into on the next one, and reported with the hop that was right', async () => {
  const scene = await ProofScene.open();
  const { speaks } = scene.cell;
  let cuts = 0;
  scene.cell.speaks = (log, witness) => {
    if (cuts++ === 0) scene.cell.cut();
    return speaks(log, witness);
  };
  const { reports, ms } = await scene.corrupt('replica store', 'rewrite');
  assert.ok(cuts > 0 && ms <= heartbeatMs);
  assert.deepEqual(
    reports.map(({ kind, agreed, repaired }) => [kind, agreed, repaired]),
    [['rewritten', 'owner', false]],
  );
  await scene.close();
});

test('what nobody could be asked about at once is asked about again', async () => {
  const scene = await ProofScene.open();
  let refused = 0;
  scene.cell.refuses = ({ limit }) => limit > 20 && refused++ === 0;
  const { reports, ms } = await scene.corrupt('replica store', 'rewrite');
  assert.ok(refused > 1 && ms <= heartbeatMs);
  assert.deepEqual(
    reports.map(({ kind, agreed }) => [kind, agreed]),
    [['rewritten', 'owner']],
  );
  await scene.close();
});

test('while nobody can be asked, what the owner signed before stands against the page of the home cell', async () => {
  const scene = await ProofScene.open();
  const shown = ['one', 'two', 'three'].map((text) => scene.say(text));
  await scene.clock.advance(5);
  scene.beat();
  await scene.clock.advance(5);
  const [, second] = shown;
  scene.rewrite(Number(second?.seq));
  scene.cell.answersHeads = false;
  const read = scene.conversation.history({ limit: 20 });
  await scene.clock.advance(heartbeatMs);
  await read;
  assert.deepEqual(
    scene.reports.map(({ kind, from, agreed, repaired }) => [kind, from, agreed, repaired]),
    [['rewritten', Number(second?.seq), 'owner', false]],
  );
  const held = scene.conversation.last(3);
  await scene.clock.advance(5);
  assert.equal((await held).find(({ seq }) => seq === Number(second?.seq))?.text, 'two');
  await scene.close();
});

test('other words under the hash of the right ones are reported as any others', async () => {
  const scene = await ProofScene.open();
  scene.cell.pushes = (entry) => {
    if (entry.body?.$case !== 'text') return [entry];
    const bodyHash = nodeSha256(Buffer.from(entry.body.value));
    return [{ ...entry, body: { $case: 'text', value: 'words that nobody said' }, bodyHash }];
  };
  const { seq } = scene.say('one');
  await scene.clock.advance(5);
  scene.beat();
  await scene.clock.advance(heartbeatMs);
  assert.deepEqual(
    scene.reports.map(({ kind, from, agreed, repaired }) => [kind, from, agreed, repaired]),
    [['rewritten', Number(seq), 'home', true]],
  );
  await scene.close();
});

/** A device that holds nothing of the log is told words without a hash, and writes some itself. */
async function openEnd(): Promise<{ readonly scene: ProofScene; readonly pagesAsked: () => number }> {
  const scene = await ProofScene.open();
  for (const text of ['one', 'two', 'three']) scene.say(text);
  await scene.clock.advance(5);
  await scene.changeDevice();
  scene.cell.pushes = (entry) => [{ ...entry, prev: undefined }];
  scene.say('four');
  const { accepted } = scene.conversation.send('five, by himself');
  await scene.clock.advance(20);
  await accepted;
  let asked = 0;
  scene.cell.refuses = () => {
    asked += 1;
    return false;
  };
  return { scene, pagesAsked: () => asked };
}

test('words without a hash, told to a device that holds nothing, are compared once, and nothing is told where they are right', async () => {
  const { scene, pagesAsked } = await openEnd();
  for (let n = 0; n < 3; n++) {
    scene.beat();
    await scene.clock.advance(heartbeatMs);
  }
  assert.equal(pagesAsked(), 1);
  assert.deepEqual(scene.reports, []);
  assert.notEqual(scene.proofOf(scene.log.entries.length), undefined);
  await scene.close();
});

test('own words that the cell keeps otherwise than they were written are reported, also by a device that holds nothing else', async () => {
  const { scene } = await openEnd();
  const own = scene.log.entries.pop();
  assert.ok(own);
  const kept: Entry = { ...own, body: { $case: 'text', value: 'five, by somebody' } };
  scene.log.entries.push(kept);
  scene.log.hash = hashOf(kept);
  scene.beat();
  await scene.clock.advance(heartbeatMs);
  assert.deepEqual(
    scene.reports.map(({ kind, from, to }) => [kind, from, to]),
    [['rewritten', Number(own.seq), Number(own.seq)]],
  );
  await scene.close();
});

test('nothing is looked into after the end', async () => {
  const scene = await ProofScene.open();
  let pending: number | undefined;
  scene.cell.refuses = ({ limit }) => {
    if (limit > 20 && pending === undefined) {
      void scene.close();
      scene.clock.timer(500, () => {
        pending = scene.clock.pending;
      });
    }
    return limit > 20;
  };
  await scene.corrupt('replica store', 'rewrite');
  assert.equal(pending, 0);
});

test(`${cleanEvents} clean events raise nothing`, async (t) => {
  t.diagnostic(`${await sayClean(cleanEvents)} a second`);
});

/** The guard switched off: the scene must notice. */
async function isReported(corruption: Corruption, options: SceneOptions): Promise<boolean> {
  const scene = await ProofScene.open(options);
  const { reports } = await scene.corrupt('push', corruption);
  await scene.close();
  return reports.length > 0;
}

test('without hashes nothing that was rewritten is found, without signatures no fork', async () => {
  assert.equal(await isReported('rewrite', {}), true);
  assert.equal(await isReported('rewrite', { bare: true, verify: async () => false }), false);
  assert.equal(await isReported('fork', {}), true);
  assert.equal(await isReported('fork', { verify: async () => false }), false);
});
