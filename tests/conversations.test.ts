// What people rely on in a conversation, over two cells and two nodes of one of them.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { bucketOf, type Digest, digestValue, toggleHead } from '@weft/proto/heads-digest.ts';
import { startFabric, type TestFabric } from './harness.ts';
import type { EventValue, RawClient, ServerEvent } from './raw-client.ts';
import { until } from './until.ts';

let fabric: TestFabric;

before(async () => {
  fabric = await startFabric({ cells: ['eu-1', 'us-1'], nodes: { 'eu-1': 2 }, env: { 'node-*': { WEFT_HEARTBEAT_MS: '1000' } } });
});

after(() => fabric.stop());

const logOf = (event: ServerEvent): bigint | undefined =>
  event.$case === 'accepted' || event.$case === 'pending' || event.$case === 'opened' ? event.value.log : undefined;

const texts = async (client: RawClient, log: bigint): Promise<string[]> =>
  (await client.history(log)).flatMap(({ body }) => (body?.$case === 'text' ? [body.value] : []));

const logsWith = async (client: RawClient, peer: bigint): Promise<bigint[]> => {
  const { logs } = await client.ask({ $case: 'listLogs', value: { after: 0n, limit: 200 } }, 'heads');
  return logs.filter((info) => info.peer === peer && info.kind === 'LOG_KIND_DIRECT').map((info) => info.head?.log ?? 0n);
};

describe('a direct conversation', () => {
  test('opened by both at once from two cells is one, in both', async () => {
    for (let round = 0; round < 3; round++) {
      const [ana, uma] = await Promise.all([fabric.client(`ana${round}`, 'eu-1'), fabric.client(`uma${round}`, 'us-1')]);
      const opened = await Promise.all([ana.openDirect(uma.user), uma.openDirect(ana.user), ana.openDirect(uma.user)]);
      assert.equal(new Set(opened).size, 1);
      assert.deepEqual(await logsWith(ana, uma.user), [opened[0]]);
      assert.deepEqual(await logsWith(uma, ana.user), [opened[0]]);
    }
  });

  test('begun by first messages from both sides at once is one, with both messages in one order', async (t) => {
    /** As a client does: what is told to come later is sent again under its id, those behind it as well (R8). */
    const say = async (client: RawClient, peer: bigint, said: readonly string[]): Promise<void> => {
      let open = said.map((text) => ({ text, id: client.freshEntryId() }));
      await until('everything is taken', async () => {
        const answers = await Promise.all(open.map(({ text, id }) => client.append({ peer }, text, id)));
        open = open.filter((_, i) => answers[i]?.$case === 'fault');
        for (const answer of answers) {
          if (answer.$case !== 'fault') continue;
          t.diagnostic(`told ${answer.value.code}: ${answer.value.text}`);
          assert.equal(answer.value.retry, 'RETRY_LATER', answer.value.code);
        }
        return open.length === 0;
      });
    };
    for (let round = 0; round < 3; round++) {
      const [ana, uma] = await Promise.all([fabric.client(`pia${round}`, 'eu-1'), fabric.client(`ulf${round}`, 'us-1')]);
      await Promise.all([say(ana, uma.user, ['a1', 'a2', 'a3']), say(uma, ana.user, ['u1', 'u2', 'u3'])]);
      await until(
        'both know the conversation',
        async () => (await logsWith(ana, uma.user)).length === 1 && (await logsWith(uma, ana.user)).length === 1,
      );
      const [log = 0n] = await logsWith(ana, uma.user);
      assert.deepEqual(await logsWith(uma, ana.user), [log]);
      await until('all six messages', async () => (await texts(ana, log)).length === 6 && (await texts(uma, log)).length === 6);
      const order = await texts(ana, log);
      assert.deepEqual(await texts(uma, log), order);
      for (const who of ['a', 'u'])
        assert.deepEqual(
          order.filter((text) => text.startsWith(who)),
          [1, 2, 3].map((n) => `${who}${n}`),
        );
    }
  });
});

describe('the same client_entry_id', () => {
  test('on two nodes at once, and again later, is one entry', async () => {
    const [phone, laptop] = await Promise.all([
      fabric.client('dan', 'eu-1'),
      fabric.client('dan', 'eu-1', { node: 'b', device: 'laptop' }),
    ]);
    const log = await phone.createGroup([]);
    for (let i = 0; i < 20; i++) {
      const id = phone.freshEntryId();
      const answers = await Promise.all([
        phone.accepted({ log }, 'x', id),
        laptop.accepted({ log }, 'x', id),
        phone.accepted({ log }, 'x', id),
      ]);
      assert.equal(new Set(answers.map(({ seq }) => seq)).size, 1);
    }
    assert.equal((await texts(phone, log)).length, 20);
  });

  test('after a kill of the node, there and on the other node, has the same position', async () => {
    const phone = await fabric.client('eva', 'eu-1');
    const log = await phone.createGroup([]);
    const id = phone.freshEntryId();
    const first = await phone.accepted({ log }, 'once', id);
    await phone.accepted({ log }, 'another');
    await fabric.kill('node-eu-1-a');
    await phone.closed;
    await using other = await fabric.client('eva', 'eu-1', { node: 'b' });
    assert.deepEqual((await other.accepted({ log }, 'once', id)).seq, first.seq);
    await fabric.settle();
    await using again = await fabric.client('eva', 'eu-1');
    assert.deepEqual((await again.accepted({ log }, 'once', id)).seq, first.seq);
    assert.deepEqual(await texts(again, log), ['once', 'another']);
  });

  test('sent to a log of another cell is decided once, whatever is sent again meanwhile', async () => {
    const [ana, uma] = await Promise.all([fabric.client('fay', 'eu-1'), fabric.client('ute', 'us-1')]);
    const log = await ana.createGroup([uma.user]);
    await uma.toldUpTo(log, 1);
    const id = uma.freshEntryId();
    for (let i = 0; i < 5; i++) assert.match((await uma.append({ log }, 'once', id)).$case, /^(pending|accepted)$/);
    await uma.toldUpTo(log, 2);
    assert.equal((await uma.accepted({ log }, 'once', id)).seq, 2n);
    assert.deepEqual(await texts(ana, log), ['once']);
  });
});

test('history pages neither overlap nor leave a hole while messages arrive', async () => {
  const [writer, reader] = await Promise.all([fabric.client('gus', 'eu-1'), fabric.client('hal', 'eu-1', { node: 'b' })]);
  const log = await writer.createGroup([reader.user]);
  const count = 250;
  const writing = (async () => {
    for (let i = 0; i < count; i++) await writer.accepted({ log }, `m${i}`);
  })();
  const seqs: number[] = [];
  while (seqs.length < count + 1) {
    const page = await reader.page(log, { from: BigInt(seqs.length + 1), limit: 7 });
    seqs.push(...page.entries.map(({ seq }) => Number(seq)));
    assert.equal(page.end, page.entries.at(-1)?.seq === page.head?.seq || page.entries.length === 0);
  }
  await writing;
  assert.deepEqual(
    seqs,
    Array.from({ length: count + 1 }, (_, i) => i + 1),
  );
  const more = writer.accepted({ log }, 'meanwhile');
  let newest = await reader.page(log, { limit: 9 });
  assert.equal(newest.entries.at(-1)?.seq, newest.head?.seq);
  const back: number[] = newest.entries.map(({ seq }) => Number(seq));
  while (!newest.end) {
    newest = await reader.page(log, { before: BigInt(back[0] as number), limit: 9 });
    back.unshift(...newest.entries.map(({ seq }) => Number(seq)));
  }
  await more;
  assert.deepEqual(
    back,
    Array.from({ length: back.length }, (_, i) => i + 1),
  );
  await reader.toldUpTo(log, count + 2);
  assert.deepEqual(
    reader.told(log).map(({ seq }) => seq),
    Array.from({ length: count + 2 }, (_, i) => i + 1),
  );
});

test('a page of large entries is cut where a frame ends, and goes on there', async () => {
  const ana = await fabric.client('ida', 'eu-1');
  const log = await ana.createGroup([]);
  for (let i = 0; i < 12; i++) await ana.accepted({ log }, `${i}`.padStart(16_000, 'x'));
  const page = await ana.page(log, { from: 1n, limit: 200 });
  assert.ok(page.entries.length < 13 && !page.end);
  assert.equal((await ana.history(log)).length, 13);
  const back = await ana.page(log, { limit: 200 });
  assert.deepEqual([back.entries.at(-1)?.seq, back.end], [13n, false]);
});

/** What the client holds, as it computes it itself: heads of the Welcome, of what it was told, of pages it read. */
function heldBy(client: RawClient): Map<bigint, { epoch: bigint; seq: number }> {
  const held = new Map<bigint, { epoch: bigint; seq: number }>();
  const note = (log: bigint, epoch: bigint, seq: bigint): void => {
    const known = held.get(log);
    if (!known || Number(seq) > known.seq) held.set(log, { epoch, seq: Number(seq) });
  };
  for (const { event } of client.frames) {
    if (event?.$case === 'welcome') for (const head of event.value.heads) note(head.log, head.epoch, head.seq);
    if (event?.$case === 'accepted') note(event.value.log, event.value.epoch, event.value.seq);
    if (event?.$case === 'push' || event?.$case === 'page') for (const e of event.value.entries) note(e.log, e.epoch, e.seq);
  }
  return held;
}

function digestOf(held: ReadonlyMap<bigint, { epoch: bigint; seq: number }>, only = (_log: bigint): boolean => true): bigint {
  const digest: Digest = { hi: 0, lo: 0 };
  for (const [log, { epoch, seq }] of held) if (only(log)) toggleHead(digest, log, epoch, seq);
  return digestValue(digest);
}

test('a push left out on purpose is noticed by the digest of the next heartbeat and found by its bucket', async () => {
  fabric.fabric.configure('node-eu-1-b', { WEFT_FAILPOINTS: 'drop-push:6' });
  await fabric.kill('node-eu-1-b');
  await fabric.settle();
  const [ana, bo] = await Promise.all([fabric.client('jan', 'eu-1', { node: 'b' }), fabric.client('kim', 'eu-1', { node: 'b' })]);
  const log = await ana.createGroup([bo.user]);
  const missed = async (): Promise<number | undefined> => {
    const { seq } = await ana.accepted({ log }, 'did you get this?');
    // The answer stands behind whatever was pushed before.
    await bo.ask({ $case: 'readBuckets', value: {} }, 'buckets');
    return bo.told(log).at(-1)?.seq === Number(seq) ? undefined : Number(seq);
  };
  let lost: number | undefined;
  for (let i = 0; i < 12 && lost === undefined; i++) lost = await missed();
  assert.ok(lost !== undefined, 'the failpoint dropped nothing');
  const beats = bo.all('heartbeat').length;
  const beat = await bo.next('heartbeat', { from: beats });
  assert.notEqual(beat.digest, digestOf(heldBy(bo)));
  const { digests } = await bo.ask({ $case: 'readBuckets', value: {} }, 'buckets');
  const unequal = digests.flatMap((digest, bucket) =>
    digest === digestOf(heldBy(bo), (each) => bucketOf(each) === bucket) ? [] : [bucket],
  );
  assert.deepEqual(unequal, [bucketOf(log)]);
  const { logs } = await bo.ask({ $case: 'readHeads', value: { buckets: unequal } }, 'heads');
  assert.deepEqual(
    logs.filter(({ head }) => head && head.seq > BigInt(heldBy(bo).get(head.log)?.seq ?? 0)).map(({ head }) => head?.log),
    [log],
  );
  await bo.page(log, { from: BigInt(lost) });
  const next = await bo.next('heartbeat', { from: bo.all('heartbeat').length });
  assert.equal(next.digest, digestOf(heldBy(bo)));
  fabric.fabric.configure('node-eu-1-b', {});
});

test('a device that comes back is told only what changed', async () => {
  const [ana, bo] = await Promise.all([fabric.client('lea', 'eu-1'), fabric.client('max', 'eu-1')]);
  const logs: bigint[] = [];
  for (let i = 0; i < 5; i++) logs.push(await ana.createGroup([bo.user]));
  for (const log of logs) await bo.toldUpTo(log, 1);
  const { cursor } = await bo.next('heartbeat', { from: bo.all('heartbeat').length });
  const digest = digestOf(heldBy(bo));
  await bo[Symbol.asyncDispose]();
  await using same = await fabric.client('max', 'eu-1', { resume: { cursor, digest } });
  assert.deepEqual([same.welcome.heads, same.welcome.digest], [[], digest]);
  await same[Symbol.asyncDispose]();
  const { seq } = await ana.accepted({ log: logs[2] as bigint }, 'news');
  await using back = await fabric.client('max', 'eu-1', { node: 'b', resume: { cursor, digest } });
  assert.equal(back.welcome.complete, true);
  assert.deepEqual(back.welcome.heads.find((head) => head.log === logs[2])?.seq, seq);
});

test('the sender’s other device is shown what was sent, with its id', async () => {
  const [phone, laptop] = await Promise.all([fabric.client('nia', 'eu-1'), fabric.client('nia', 'eu-1', { node: 'b', device: 'laptop' })]);
  const log = await phone.createGroup([]);
  const id = phone.freshEntryId();
  const { seq } = await phone.accepted({ log }, 'from the phone', id);
  await laptop.toldUpTo(log, Number(seq));
  const echo = laptop.pushed().find((entry) => entry.log === log && entry.seq === seq);
  assert.deepEqual([echo?.author, echo?.clientEntryId], [phone.user, id]);
  assert.deepEqual(
    phone
      .told(log)
      .filter((told) => told.clientEntryId === id)
      .map(({ how }) => how),
    ['accepted'],
  );
});

test('marks are merged by maximum over devices and cells, and never pass the head', async () => {
  const [ana, phone] = await Promise.all([fabric.client('ola', 'eu-1'), fabric.client('vic', 'us-1')]);
  const tablet = await fabric.client('vic', 'us-1', { device: 'tablet' });
  const log = await ana.createGroup([phone.user]);
  let epoch = 0n;
  for (let i = 0; i < 5; i++) epoch = (await ana.accepted({ log }, `m${i}`)).epoch;
  await Promise.all([phone.toldUpTo(log, 6), tablet.toldUpTo(log, 6)]);
  const mark = (client: RawClient, kind: 'MARK_KIND_SEEN' | 'MARK_KIND_DELIVERED', seq: bigint) =>
    client.ask({ $case: 'setMark', value: { log, kind, epoch, seq } }, 'done');
  await mark(phone, 'MARK_KIND_SEEN', 4n);
  await mark(tablet, 'MARK_KIND_SEEN', 2n);
  await mark(tablet, 'MARK_KIND_DELIVERED', 1_000n);
  const newest = async (client: RawClient): Promise<string[]> => {
    const { marks } = (await client.ask({ $case: 'readMembers', value: { log } }, 'members')) as EventValue<'members'>;
    return marks.filter(({ user }) => user === phone.user).map(({ kind, seq }) => `${kind} ${seq}`);
  };
  const expected = ['MARK_KIND_DELIVERED 6', 'MARK_KIND_SEEN 4'];
  assert.deepEqual(await newest(phone), expected);
  await until('the other cell has the marks', async () => (await newest(ana)).join() === expected.join());
  await tablet.next('markMoved', { where: (moved) => moved.kind === 'MARK_KIND_SEEN' && moved.seq === 4n });
  await ana.next('markMoved', { where: (moved) => moved.user === phone.user && moved.kind === 'MARK_KIND_SEEN' && moved.seq === 4n });
  const { logs } = await tablet.ask({ $case: 'listLogs', value: { after: 0n, limit: 200 } }, 'heads');
  const info = logs.find(({ head }) => head?.log === log);
  assert.deepEqual([info?.seenSeq, info?.unread], [4n, 2n]);
});

test('who was removed sees nothing more; who comes back sees from there on', async () => {
  const [ana, bo, uma] = await Promise.all([fabric.client('pam', 'eu-1'), fabric.client('quin', 'eu-1'), fabric.client('vera', 'us-1')]);
  const log = await ana.createGroup([bo.user, uma.user]);
  await ana.accepted({ log }, 'before');
  await Promise.all([bo.toldUpTo(log, 2), uma.toldUpTo(log, 2)]);
  assert.equal((await ana.changeMembers(log, { remove: [bo.user] })).$case, 'done');
  assert.match((await uma.changeMembers(log, { remove: [uma.user] })).$case, /^(pending|done)$/);
  const hasLeft = (client: RawClient) => client.pushed().some(({ body }) => body?.$case === 'logLeft' && body.value.log === log);
  await until('both were told', () => hasLeft(bo) && hasLeft(uma));
  const { seq } = await ana.accepted({ log }, 'between');
  for (const client of [bo, uma]) {
    const asked = await client.request({ $case: 'readHistory', value: { log, from: 1n, before: 0n, limit: 0 } });
    assert.equal(asked.$case === 'fault' && asked.value.code, 'not_a_member');
    const sent = await client.append({ log }, 'let me in');
    assert.match(sent.$case === 'fault' ? sent.value.code : sent.$case, /^(not_a_member|unknown_log)$/);
    assert.equal(await client.faultOf({ $case: 'readMembers', value: { log } }), 'unknown_log');
    assert.equal(
      (await client.ask({ $case: 'listLogs', value: { after: 0n, limit: 200 } }, 'heads')).logs.some(({ head }) => head?.log === log),
      false,
    );
  }
  assert.equal((await ana.changeMembers(log, { add: [bo.user, uma.user] })).$case, 'done');
  const { seq: last } = await ana.accepted({ log }, 'after');
  await Promise.all([bo.toldUpTo(log, Number(last)), uma.toldUpTo(log, Number(last))]);
  for (const client of [bo, uma]) {
    const told = client.told(log).map((each) => each.seq);
    assert.equal(told.includes(Number(seq)), false, 'was told what was said without them');
    const page = await client.page(log, { from: 1n });
    assert.equal(page.visibleFrom, last - 1n);
    assert.deepEqual(
      page.entries.map((entry) => entry.seq),
      [last - 1n, last],
    );
  }
  assert.equal(logOf(await bo.append({ log }, 'thanks')), log);
});
