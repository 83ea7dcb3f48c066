// Every limit of the protocol is named, held before anything is stored, and answered so that a client knows what to do.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ClientFrame, ServerFrame } from '@weft/proto/gen/weft/client/v1/client.ts';
import { limits } from '@weft/proto/limits.ts';
import { startFabric, type TestFabric } from './harness.ts';
import { appendRequest, type RawClient, type ServerEvent } from './raw-client.ts';
import { opcodes, RawSocket } from './raw-socket.ts';
import { until } from './until.ts';

let fabric: TestFabric;
const perSecond = 20;
const socketsPerAddress = 12;

before(async () => {
  fabric = await startFabric({
    cells: ['eu-1', 'us-1'],
    nodes: { 'eu-1': 2 },
    env: {
      'node-us-1-a': { WEFT_APPENDS_PER_SECOND: String(perSecond) },
      'node-eu-1-a': { WEFT_APPENDS_PER_SECOND: '5000' },
      'node-eu-1-b': { WEFT_SOCKETS_PER_ADDRESS: String(socketsPerAddress), WEFT_APPENDS_PER_SECOND: '5000' },
    },
  });
});

after(() => fabric.stop());

const codeOf = (event: ServerEvent): string => (event.$case === 'fault' ? event.value.code : event.$case);

test('257 members at once are too many, in a new group and in an addition', async () => {
  const ana = await fabric.client('ana', 'eu-1');
  const many = Array.from({ length: limits.membersPerEntryMax + 1 }, (_, i) => BigInt(i + 1_000));
  const create = (members: bigint[]) =>
    ana.request({ $case: 'createGroup', value: { clientEntryId: ana.freshEntryId(), title: '', members, membersMax: 0 } });
  assert.equal(codeOf(await create(many)), 'too_many_members');
  // One fewer is looked at: they are nobody.
  assert.equal(codeOf(await create(many.slice(2))), 'unknown_user');
  const log = await ana.createGroup([]);
  assert.equal(codeOf(await ana.changeMembers(log, { add: many })), 'too_many_members');
  assert.equal(codeOf(await ana.changeMembers(log, { remove: many })), 'too_many_members');
});

test('50 additions racing from two cells fill a group exactly, and the rest is told group_full', async () => {
  const membersMax = 12;
  const ana = await fabric.client('ana', 'eu-1');
  const uma = await fabric.client('uma', 'us-1');
  const log = await ana.createGroup([uma.user], membersMax);
  await uma.toldUpTo(log, 1);
  const people = await Promise.all(Array.from({ length: 50 }, (_, i) => fabric.device(`racer${i}`, i % 2 === 0 ? 'eu-1' : 'us-1')));
  // A node may not know yet who signed up at the other cell a moment ago, and asks.
  const answers = await Promise.all(
    people.map(({ user }, i) => (i % 2 === 0 ? ana.changeMembers(log, { add: [user] }) : uma.changeMembers(log, { add: [user] }))),
  );
  const here = answers.filter((_, i) => i % 2 === 0);
  const away = answers.filter((_, i) => i % 2 === 1);
  for (const event of here) assert.match(codeOf(event), /^(done|group_full)$/);
  const pending = away.filter(({ $case }) => $case === 'pending').length;
  const members = async (client: RawClient) =>
    (await client.ask({ $case: 'readMembers', value: { log } }, 'members')).members.map(({ user }) => user);
  await until(
    'the group is full in both cells',
    async () => (await members(ana)).length === membersMax && (await members(uma)).length === membersMax,
  );
  await until('every addition from away is decided', () => {
    const refused = uma.all('refused').filter((each) => each.log === log && each.code === 'group_full').length;
    const added = uma
      .pushed()
      .filter((entry) => entry.log === log && entry.body?.$case === 'membersAdded' && entry.author === uma.user).length;
    return refused + added === pending;
  });
  assert.deepEqual((await members(ana)).sort(), (await members(uma)).sort());
  const added = here.filter(({ $case }) => $case === 'done').length;
  assert.ok(added + pending >= membersMax - 2);
});

test('appends above the rate are told when to come again, and their order holds', async () => {
  const uma = await fabric.client('uma', 'us-1', { device: 'rate' });
  const log = await uma.createGroup([]);
  const sent = Array.from({ length: perSecond * 3 }, (_, i) => ({ text: `m${i}`, id: uma.freshEntryId() }));
  const answers = await Promise.all(sent.map(({ text, id }) => uma.append({ log }, text, id)));
  const faults = answers.filter((event) => event.$case === 'fault').map(({ value }) => value);
  const limited = faults.filter(({ code }) => code === 'rate_limited');
  assert.ok(limited.length >= 1 && answers.filter(({ $case }) => $case === 'accepted').length >= perSecond * 2 - 1);
  for (const { afterMs, retry } of limited) assert.ok(afterMs > 0 && afterMs <= 1_000 && retry === 'RETRY_LATER');
  // What was behind the first limited one waits for it (R8).
  for (const { code } of faults) assert.match(code, /^(rate_limited|earlier_faulted)$/);
  const last = sent.at(-1) as { text: string; id: bigint };
  assert.equal(codeOf(await uma.append({ log }, last.text, last.id)), 'earlier_faulted');
  // A device that sends what is unanswered again, in order, gets everything decided in order.
  for (const [i, { text, id }] of sent.entries()) {
    if (answers[i]?.$case === 'accepted') continue;
    await until(`append ${i}`, async () => (await uma.append({ log }, text, id)).$case === 'accepted');
  }
  const texts = (await uma.history(log)).flatMap(({ body }) => (body?.$case === 'text' ? [body.value] : []));
  assert.deepEqual(
    texts,
    sent.map(({ text }) => text),
  );
});

test('the eleventh device of a person is refused, and one that was replaced does not count', async () => {
  for (let i = 0; i < limits.devicesPerUserMax; i++) await fabric.device('dora', 'eu-1', `device${i}`);
  const { body } = await fabric.rest('node-eu-1-a', '/v1/sessions', {
    handle: 'dora',
    password: 'a private test fabric',
    device: 'one-more',
  });
  assert.deepEqual([body.code, body.status], ['too_many_devices', 409]);
  const again = await fabric.rest('node-eu-1-a', '/v1/sessions', { handle: 'dora', password: 'a private test fabric', device: 'device3' });
  assert.equal(again.status, 200);
});

test('sockets above the limit of one address are refused with 429, and a place that is given up is free again', async () => {
  const url = fabric.url('node-eu-1-b');
  const open: RawSocket[] = [];
  for (;;) {
    const { raw, head } = await RawSocket.upgrade(url);
    open.push(raw);
    if (head.startsWith('HTTP/1.1 101')) continue;
    assert.match(head, /^HTTP\/1\.1 429 /);
    break;
  }
  assert.equal(open.length, socketsPerAddress + 1);
  assert.equal(await fabric.metric('node-eu-1-b', 'cells_sockets_refused_total', 'status="429"'), 1);
  for (const raw of open) raw[Symbol.dispose]();
  await until('a free place', async () => {
    const { raw, head } = await RawSocket.upgrade(url);
    raw[Symbol.dispose]();
    return head.startsWith('HTTP/1.1 101');
  });
});

test('a socket that stops reading is bounded and told to resync, nobody else notices, and it catches up', async () => {
  const ana = await fabric.client('ana', 'eu-1', { device: 'writer' });
  const reader = await fabric.client('ben', 'eu-1');
  const { token } = await fabric.device('sam', 'eu-1');
  const sam = (await fabric.device('sam', 'eu-1')).user;
  const log = await ana.createGroup([sam, reader.user]);
  const { raw } = await RawSocket.upgrade(fabric.url('node-eu-1-a'));
  using _raw = raw;
  const say = (frame: ClientFrame): void => raw.send({ opcode: opcodes.binary, payload: ClientFrame.encode(frame).finish() });
  const events = (): ServerEvent[] =>
    raw.frames().flatMap(({ opcode, payload }) => (opcode === opcodes.binary ? (ServerFrame.decode(payload).event ?? []) : []));
  say({ id: 1n, request: { $case: 'hello', value: { token, device: 'phone', agent: '', resume: undefined, openedAt: 0n } } });
  await until('a welcome', () => events().some(({ $case }) => $case === 'welcome'));
  raw.socket.pause();
  const memory = () => fabric.metric('node-eu-1-a', 'process_resident_memory_bytes');
  const large = 'x'.repeat(16_000);
  const before = await memory();
  let sent = 0;
  // The kernel's buffers on both sides take some megabytes first.
  await until(
    'the node says it leaves out pushes',
    async () => {
      for (let i = 0; i < 16; i++) await ana.accepted({ log }, `${sent++} ${large}`);
      return (await fabric.metric('node-eu-1-a', 'cells_socket_lags_total')) > 0;
    },
    30_000,
  );
  for (let i = 0; i < 64; i++) await ana.accepted({ log }, `${sent++} ${large}`);
  await reader.toldUpTo(log, sent + 1);
  assert.ok((await memory()) - before < 200 * 1024 * 1024, 'the node kept what nobody reads');
  raw.socket.resume();
  await until('a resync', () => events().some(({ $case }) => $case === 'resync'));
  say({ id: 2n, request: { $case: 'readHistory', value: { log, from: BigInt(sent - 1), before: 0n, limit: 0 } } });
  await until('the last page', () => events().some((event) => event.$case === 'page' && Number(event.value.head?.seq) === sent + 1));
  const [one] = [await ana.accepted({ log }, 'after all that')];
  await until('pushes again', () => events().some((event) => event.$case === 'push' && event.value.entries.some((e) => e.seq === one.seq)));
});

test('who asks and never reads the answers is not read any more, and the node keeps little of it', async () => {
  const ana = await fabric.client('ana', 'eu-1', { device: 'large' });
  const log = await ana.createGroup([]);
  for (let i = 0; i < 4; i++) await ana.accepted({ log }, 'x'.repeat(15_000));
  const { token, device } = await fabric.device('ana', 'eu-1', 'greedy');
  const { raw } = await RawSocket.upgrade(fabric.url('node-eu-1-a'));
  using _raw = raw;
  const say = (frame: ClientFrame): void => raw.send({ opcode: opcodes.binary, payload: ClientFrame.encode(frame).finish() });
  say({ id: 1n, request: { $case: 'hello', value: { token, device, agent: '', resume: undefined, openedAt: 0n } } });
  await until('a welcome', () => raw.frames().length > 0);
  raw.socket.pause();
  const before = await fabric.metric('node-eu-1-a', 'process_resident_memory_bytes');
  // 3,000 answers of 60 KB would be 180 MB.
  const asked = 3_000;
  for (let i = 0; i < asked; i++) {
    say({ id: BigInt(i + 2), request: { $case: 'readHistory', value: { log, from: 1n, before: 0n, limit: 0 } } });
    if (i % 50 === 0) await ana.accepted({ log }, 'meanwhile');
  }
  for (let i = 0; i < 20; i++) await ana.accepted({ log }, 'meanwhile');
  assert.ok((await fabric.metric('node-eu-1-a', 'process_resident_memory_bytes')) - before < 120 * 1024 * 1024);
  raw.socket.resume();
  await until('every answer', () => raw.frames().filter(({ opcode }) => opcode === opcodes.binary).length > asked, 20_000);
});

test('a person’s 1,001st open append is told intake_full, later; once the owner is back it goes on', async () => {
  const ana = await fabric.client('ana', 'eu-1', { device: 'intake' });
  const uma = await fabric.client('uma', 'us-1', { device: 'intake' });
  const log = await uma.createGroup([ana.user]);
  await ana.toldUpTo(log, 1);
  await fabric.fabric.stop('node-us-1-a');
  for (let done = 0; done < limits.openIntakePerUserMax; done += 100) {
    const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => ana.append({ log }, `m${done + i}`)));
    for (const event of answers) assert.equal(event.$case, 'pending');
  }
  const id = ana.freshEntryId();
  const full = await ana.ask(appendRequest({ log }, 'one more', id), 'fault');
  assert.deepEqual([full.code, full.retry], ['intake_full', 'RETRY_LATER']);
  assert.equal(codeOf(await ana.append({ log }, 'behind it')), 'earlier_faulted');
  await fabric.fabric.start('node-us-1-a');
  await until('room for one more', async () => (await ana.append({ log }, 'one more', id)).$case === 'pending', 30_000);
  await ana.toldUpTo(log, limits.openIntakePerUserMax + 2);
  const texts = ana.told(log).flatMap(({ text }) => (text.startsWith('m') || text.startsWith('one') ? [text] : []));
  assert.deepEqual(texts, [...Array.from({ length: limits.openIntakePerUserMax }, (_, i) => `m${i}`), 'one more']);
});
