// What does not open, or was said by a cell that may not say it, is counted, logged and dropped, reaches no table, and the
// link goes on (R11, R16, R17, R27). eu-1 is in bad hands; us-1 defends itself.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import type { Entry } from '@weft/proto/gen/weft/client/v1/client.ts';
import { SignedChanges } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import { EntriesFrame, IntakeFrame, OpenAnswer, OpenRequest, PullAnswer, PullRequest } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { makeId } from '@weft/proto/ids.ts';
import { makeEpoch } from '@weft/proto/positions.ts';
import { frameAddress, subjects } from '@weft/proto/subjects.ts';
import { silentLog } from '@weft/runtime/log.ts';
import { openBus, openHub } from '@weft/runtime/nats.ts';
import { readFront } from '@weft/runtime/seal-header.ts';
import { startFabric, type TestFabric } from './harness.ts';
import { fingerprint, HostileCell, natsUrl, rejections } from './hostile-cell.ts';
import type { RawClient } from './raw-client.ts';
import { until } from './until.ts';

const node = 'node-us-1-a';
let fabric: TestFabric;
let hostile: HostileCell;
let ana: RawClient;
let bo: RawClient;
let cleo: RawClient;
/** Of ana in eu-1 and bo in us-1. */
let shared = 0n;
/** Of bo and cleo, in us-1 alone. */
let own = 0n;

before(async () => {
  fabric = await startFabric({ cells: ['eu-1', 'us-1'] });
  [ana, bo, cleo] = [await fabric.client('ana', 'eu-1'), await fabric.client('bo', 'us-1'), await fabric.client('cleo', 'us-1')];
  hostile = await HostileCell.open(fabric, 'eu-1');
  shared = await ana.openDirect(bo.user);
  own = await bo.openDirect(cleo.user);
  await bo.accepted({ log: own }, 'between us');
  await linkGoesOn();
});

after(async () => {
  await hostile?.[Symbol.asyncDispose]();
  await fabric?.stop();
});

let words = 0;

/** A message each way arrives. */
async function linkGoesOn(): Promise<void> {
  for (const [from, to] of [
    [ana, bo],
    [bo, ana],
  ] as const) {
    const id = from.freshEntryId();
    await from.append({ log: shared }, `word ${++words}`, id);
    await until('the word arrives', () => to.told(shared).some(({ clientEntryId }) => clientEntryId === id));
  }
}

/** Of what is counted while `act` runs, and until `times` of it are: only this. Tables stay as they were. */
async function refused(what: string, times: number, act: () => Promise<unknown>): Promise<void> {
  await settled();
  const [tables, before] = [await fingerprint(fabric, 'us-1'), await rejections(fabric, node)];
  await act();
  const more = async (): Promise<Record<string, number>> => {
    const now = await rejections(fabric, node);
    return Object.fromEntries([...now].map(([key, n]) => [key, n - (before.get(key) ?? 0)] as const).filter(([, n]) => n > 0));
  };
  await until(`${times} of ${what}`, async () => ((await more())[what] ?? 0) >= times);
  assert.deepEqual(await more(), { [what]: times });
  // A log said to be longer elsewhere is noted until the pull has found that there is nothing.
  await until('the tables are as they were', async () => isDeepStrictEqual(await fingerprint(fabric, 'us-1'), tables));
  await linkGoesOn();
}

/** Both cells' frames are acknowledged. */
async function settled(): Promise<void> {
  for (const cell of ['eu-1', 'us-1'])
    await until(`nothing is under way from ${cell}`, async () => {
      const [row] = await fabric.sql(cell, 'select (select count(*) from outbox) + (select count(*) from intake) as n');
      return row?.n === 0n;
    });
}

const frameOf = (bytes: Uint8Array, at: { cls?: 'e' | 'i'; p?: number } = {}) => hostile.put('us-1', { cls: 'e', p: 0, ...at }, bytes);
const plain = (): Uint8Array => EntriesFrame.encode({ runs: [] }).finish();

test('frames that were never sealed are dropped', async () => {
  await refused('frame unsealed eu-1', 3, async () => {
    await frameOf(randomBytes(200));
    await frameOf(new Uint8Array());
    await frameOf(plain(), { cls: 'i', p: 3 });
  });
  const log = readFileSync(join(fabric.fabric.dataDir, 'logs', `${node}.log`), 'utf8');
  assert.match(log, /"what":"frame".*"why":"unsealed".*did not open/);
});

test('frames sealed with another key than the cell’s are dropped', async () => {
  await refused('frame wrong-key eu-1', 3, async () => {
    await frameOf(hostile.impostor.seal({ kind: 'frame', dst: 'us-1' }, hostile.header({ cls: 'e' }), plain()));
    const changed = hostile.seal('frame', 'us-1', plain(), { cls: 'e' });
    changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1;
    await frameOf(changed);
    const renamed = Buffer.from(hostile.seal('frame', 'us-1', plain(), { cls: 'e' }));
    renamed.writeBigUInt64BE(1n, 20);
    await frameOf(renamed);
  });
});

test('frames meant for another cell, class, partition or purpose are dropped', async () => {
  await refused('frame re-addressed eu-1', 4, async () => {
    await frameOf(hostile.seal('frame', 'us-1', plain(), { cls: 'e' }), { cls: 'i' });
    await frameOf(hostile.seal('frame', 'us-1', plain(), { cls: 'e' }), { p: 1 });
    await frameOf(hostile.seal('frame', 'eu-1', plain(), { cls: 'e' }));
    await frameOf(hostile.seal('ack', 'us-1', plain()));
  });
});

test('frames of another life of the cell’s store are dropped', async () => {
  await refused('frame stale eu-1', 1, () =>
    frameOf(hostile.ghost.seal({ kind: 'frame', dst: 'us-1' }, hostile.header({ cls: 'e' }), plain())),
  );
});

test('acknowledgements, signals and requests that do not open are dropped, and nobody answers', async () => {
  await refused('ack unsealed eu-1', 1, async () => hostile.bus.publishAck('us-1', randomBytes(100)));
  await refused('ack re-addressed eu-1', 1, async () => hostile.bus.publishAck('us-1', hostile.seal('signal', 'us-1', plain())));
  await refused('signal wrong-key eu-1', 1, async () => {
    const forged = hostile.impostor.seal({ kind: 'signal', dst: 'us-1' }, hostile.header({ what: 'beat' }), plain());
    hostile.bus.publishSignal('us-1', 'beat', forged);
  });
  await refused('signal re-addressed eu-1', 1, async () =>
    hostile.bus.publishSignal('us-1', 'beat', hostile.seal('signal', 'us-1', plain(), { what: 'typing' })),
  );
  await refused('request unsealed eu-1', 1, async () => {
    const answer = await hostile.bus.request({ dst: 'us-1', method: 'pull', timeoutMs: 500 }, randomBytes(100));
    assert.deepEqual(answer, { ok: false, why: 'timeout' });
  });
  await refused('request re-addressed eu-1', 1, async () => {
    const sealed = hostile.seal('request', 'us-1', plain(), { what: 'open' });
    assert.deepEqual(await hostile.bus.request({ dst: 'us-1', method: 'pull', timeoutMs: 500 }, sealed), { ok: false, why: 'timeout' });
  });
});

test('directory changes without the directory’s signature are dropped, even from the directory’s place on the bus', async () => {
  const { plan, natsCredentials } = fabric.fabric;
  const url = `nats://127.0.0.1:${plan.regions.find(({ name }) => name === 'us')?.hub.client}`;
  const hub = await openHub({ url, nkeySeed: natsCredentials.directory.seed, log: silentLog() });
  try {
    await refused('directory bad-signature bus', 2, async () => {
      hub.publish(subjects.directory(0), randomBytes(100));
      hub.publish(
        subjects.directory(1),
        SignedChanges.encode({ changes: randomBytes(40), keyVersion: 1, signature: randomBytes(64) }).finish(),
      );
      await hub.flush();
    });
  } finally {
    await hub.close();
  }
});

test('what opens and says nothing that can be understood changes nothing but the parked frames', async () => {
  await settled();
  const before = await rejections(fabric, node);
  await hostile.send('us-1', 'e', randomBytes(300));
  hostile.bus.publishAck('us-1', hostile.seal('ack', 'us-1', Buffer.from('0fff', 'hex')));
  hostile.bus.publishSignal('us-1', 'beat', hostile.seal('signal', 'us-1', Buffer.from('0fff', 'hex'), { what: 'beat' }));
  assert.equal(await hostile.ask('us-1', 'pull', Buffer.from('0fff', 'hex')), undefined);
  const counted = async (what: string): Promise<number> => ((await rejections(fabric, node)).get(what) ?? 0) - (before.get(what) ?? 0);
  for (const what of ['frame', 'ack', 'signal'])
    await until(`the ${what} is counted`, async () => (await counted(`${what} unreadable eu-1`)) === 1);
  const parked = await fabric.sql('us-1', 'select src, class from parked');
  assert.deepEqual(
    parked.map((row) => ({ ...row })),
    [{ src: 1, class: 'e' }],
  );
  await linkGoesOn();
});

test('frames that come again, byte by byte as they were, change nothing', async () => {
  const [from, to] = ['eu-1', 'us-1'];
  const password = fabric.fabric.natsCredentials.cell(to).fabric;
  const ear = await openBus({ url: natsUrl(fabric, to), account: 'fabric', password, cell: to, log: silentLog() });
  const heard: { subject: string; data: Uint8Array }[] = [];
  try {
    ear.subscribe(subjects.framesFrom(to, from), {
      callback: (_, { subject, data }) => {
        if (readFront(Buffer.from(data))) heard.push({ subject, data: data.slice() });
      },
    });
    await ear.flush();
    for (let i = 0; i < 10; i++) await linkGoesOn();
    await settled();
  } finally {
    await ear.close();
  }
  assert(heard.length >= 10, `${heard.length} frames`);
  const [tables, before, told] = [await fingerprint(fabric, to), await rejections(fabric, node), bo.told(shared).length];
  for (const { subject, data } of heard) {
    const at = frameAddress(subject);
    if (at) await hostile.put(to, at, data);
  }
  await linkGoesOn();
  await settled();
  assert.equal(bo.told(shared).length, told + 2);
  assert.deepEqual(await rejections(fabric, node), before);
  const { entries: _e, logs: _l, intake_streams: _i, books: _b, ...rest } = await fingerprint(fabric, to);
  const { entries: _f, logs: _m, intake_streams: _j, books: _c, ...restBefore } = tables;
  const changed = Object.keys(rest).filter((table) => rest[table] !== restBefore[table]);
  assert(
    changed.every((table) => table === 'decided'),
    `changed: ${changed}`,
  );
});

test('a cell that speaks for another cell’s user is refused, in an intake and in opening a conversation', async () => {
  const peer = ana.user;
  const intake = {
    log: 0n,
    low: 0n,
    high: 0n,
    n: 1n,
    lowestOpen: 1n,
    author: bo.user,
    clientEntryId: 77n,
    kind: 9,
    body: Buffer.from('not bo'),
    peerHome: 0,
    epoch: 0n,
  };
  const [low, high] = bo.user < peer ? [bo.user, peer] : [peer, bo.user];
  await refused('operation foreign-author eu-1', 2, async () => {
    await hostile.send('us-1', 'i', IntakeFrame.encode({ intakes: [{ ...intake, log: own }] }).finish());
    await hostile.send('us-1', 'i', IntakeFrame.encode({ intakes: [{ ...intake, low, high, clientEntryId: 78n }] }).finish());
  });
  await refused('request foreign-author eu-1', 1, async () => {
    const request = OpenRequest.encode({ opener: cleo.user, peer, peerHome: 1, clientEntryId: 79n }).finish();
    const answer = OpenAnswer.decode((await hostile.ask('us-1', 'open', request)) ?? assert.fail('no answer'));
    assert(answer.result?.$case === 'fault' && answer.result.value.code === 'not_allowed');
  });
});

test('a cell that sends a log it does not own is refused', async () => {
  const last = (await bo.history(own)).at(-1) as Entry;
  const forged = { ...last, seq: last.seq + 1n, clientEntryId: 80n, body: { $case: 'text' as const, value: 'forged' } };
  const run = (entry: Entry): Uint8Array => EntriesFrame.encode({ runs: [{ log: entry.log, entries: [entry] }] }).finish();
  // The second claims a newer epoch: its list is pulled first (R16), which this cell, the owner, asks of nobody.
  await refused('operation not-owner eu-1', 2, async () => {
    await hostile.send('us-1', 'e', run(forged));
    await hostile.send('us-1', 'e', run({ ...forged, epoch: makeEpoch({ count: 2, cell: 1, generation: 1 }) }));
    // A log nobody has heard of, born in another cell.
    const unknown = makeId(Date.now(), 2, 0, 0);
    const epoch = makeEpoch({ count: 1, cell: 1, generation: 1 });
    const members = [ana, bo].map(({ user }, i) => ({ user, home: i === 0 ? 1 : 3, from: 1n }));
    const created = { kind: 'LOG_KIND_GROUP' as const, title: 'forged', membersMax: 10, members };
    await hostile.send('us-1', 'e', run({ ...forged, log: unknown, epoch, seq: 1n, ord: 0n, body: { $case: 'created', value: created } }));
  });
});

test('a cell that pulls a log it has no part in is refused', async () => {
  const pull = (log: bigint) =>
    hostile.ask('us-1', 'pull', PullRequest.encode({ log, from: 1n, to: 0n, snapshot: true, epoch: 0n }).finish());
  await refused('request not-a-replica eu-1', 2, async () => {
    for (const log of [own, bo.user]) {
      const answer = PullAnswer.decode((await pull(log)) ?? assert.fail('no answer'));
      assert(answer.result?.$case === 'fault' && answer.result.value.code === 'not_allowed');
    }
  });
});
