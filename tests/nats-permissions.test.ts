// What a cell may not do to another with its real credentials: through its own server, and with a leaf link spoken by hand.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { leafPermissions, streams, subjects } from '@weft/proto/subjects.ts';
import { silentLog } from '@weft/runtime/log.ts';
import { openBus, openHub } from '@weft/runtime/nats.ts';
import type { CellBus } from '@weft/runtime/nats-cell-bus.ts';
import type { FabricBus } from '@weft/runtime/nats-fabric-bus.ts';
import { NatsFabric, until } from './nats-fabric.ts';
import { RawLeaf } from './raw-leaf.ts';

const size = { maxBytes: 16 * 1024 * 1024, replicas: 1 };
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const forged = 'forged by eu-1';

let fabric: NatsFabric;
/** eu-1 is the attacker and has no bus of its own. */
const buses = new Map<string, FabricBus>();
/** Everything the three honest cells heard. */
const heard: string[] = [];
let fences = 0;

const bus = (cell: string): FabricBus => {
  const found = buses.get(cell);
  assert(found);
  return found;
};

before(async () => {
  fabric = await NatsFabric.start();
  for (const cell of ['eu-2', 'us-1', 'us-2']) {
    const made = await fabric.bus(cell);
    buses.set(cell, made);
    await made.ensureInbound(size);
    for (let p = 0; p < streams.partitions; p++) {
      made.consumePartition(p, (frame) => {
        heard.push(`${cell} frame ${textOf(frame.data)}`);
        frame.ack();
      });
    }
    made.subscribeAcks((_src, bytes) => heard.push(`${cell} ack ${textOf(bytes)}`));
    made.subscribeSignals((_src, _what, bytes) => heard.push(`${cell} signal ${textOf(bytes)}`));
    made.subscribeDirectory((bytes) => heard.push(`${cell} directory ${textOf(bytes)}`));
    made.serveRequests(async (_src, _method, bytes) => {
      heard.push(`${cell} request ${textOf(bytes)}`);
      return bytes;
    });
  }
});

after(async () => {
  await fabric[Symbol.asyncDispose]();
});

const cameThrough = (): string[] => heard.filter((line) => line.includes(forged));

/** A frame, an acknowledgement, a signal and a request from eu-2 to us-1; resolves when all arrived, so what was sent before would have too. */
async function honestTraffic(): Promise<string> {
  const word = `fence ${++fences}`;
  const from = bus('eu-2');
  await until(
    async () => (await from.publisher('us-1').publish({ cls: 'e', p: 0, msgId: word }, bytesOf(word))) !== 'no-responders',
    'the frame is taken',
  );
  await until(async () => {
    from.publishAck('us-1', bytesOf(word));
    from.publishSignal('us-1', 'beat', bytesOf(word));
    const answer = await from.request({ dst: 'us-1', method: 'echo', timeoutMs: 1_000 }, bytesOf(word));
    const kinds = new Set(heard.filter((line) => line === `us-1 ${line.split(' ')[1]} ${word}`).map((line) => line.split(' ')[1]));
    return answer.ok && textOf(answer.bytes) === word && kinds.size === 4;
  }, 'eu-2 reaches us-1 in every way');
  return word;
}

/** What eu-1 might publish to harm others. */
const forgeries = (): readonly (readonly [string, string])[] => [
  ['a frame as another cell, same region', subjects.frame('eu-2', 'e', 'us-1', 0)],
  ['a frame as another cell, other region', subjects.frame('us-2', 'i', 'us-1', 0)],
  ['an acknowledgement as another cell', subjects.ack('us-1', 'us-2')],
  ['a signal as another cell', subjects.signal('us-1', 'us-2', 'beat')],
  ['a request as another cell', subjects.request('us-1', 'us-2', 'echo')],
  ['an answer into an inbox for another cell', `${subjects.inbox('us-1', 'us-2')}.guess.1`],
  ['a directory change', subjects.directory(0)],
  ['a push between the nodes of a cell', subjects.push(3)],
  ["another cell's JetStream API", `$JS.us-1.API.STREAM.DELETE.${streams.inbound('us-1')}`],
  ["another cell's JetStream information", '$JS.us-1.API.INFO'],
];

/** What eu-1 might listen to. */
const eavesdropping = (): readonly string[] => [
  '>',
  '$JS.>',
  ...leafPermissions('us-1').subscribe,
  ...leafPermissions('eu-2').subscribe,
  subjects.framesFrom('*', '*'),
  subjects.framesFrom('us-1', 'eu-2'),
  subjects.signalsFrom('*', '*'),
  `${subjects.inbox('us-1', 'eu-2')}.>`,
  `${subjects.inbox('*', '*')}.>`,
];

test('what a cell publishes through its own server as another cell, or to another account, reaches nobody', async () => {
  await honestTraffic();
  const nc = await openBus({
    url: fabric.url('nats-eu-1'),
    account: 'fabric',
    password: fabric.credentials.cell('eu-1').fabric,
    cell: 'eu-1',
    log: silentLog(),
  });
  try {
    const outcome = async (subject: string): Promise<string> =>
      nc.request(subject, bytesOf(forged), { timeout: 500 }).then(
        (answer) => `answered: ${answer.string()}`,
        () => 'denied',
      );
    const own = subjects.frame('us-1', 'e', 'eu-1', 0);
    await until(async () => {
      nc.publish(own, bytesOf('as itself'));
      return heard.includes('us-1 frame as itself');
    }, 'eu-1 publishes as itself');
    for (const [what, subject] of forgeries()) assert.equal(await outcome(subject), 'denied', what);
    const ownApi = await outcome(`$JS.API.STREAM.INFO.${streams.inbound('us-1')}`);
    assert.match(ownApi, /stream not found/, 'the plain API is the own cell’s');
  } finally {
    await nc.close();
  }
  await honestTraffic();
  assert.deepEqual(cameThrough(), []);
});

test('a cell that subscribes to everything through its own server hears nothing of the others', async () => {
  const nc = await openBus({
    url: fabric.url('nats-eu-1'),
    account: 'fabric',
    password: fabric.credentials.cell('eu-1').fabric,
    cell: 'eu-1',
    log: silentLog(),
  });
  try {
    const ears: string[] = [];
    for (const subject of eavesdropping()) nc.subscribe(subject, { callback: (_error, message) => void ears.push(message.string()) });
    await nc.flush();
    const word = await honestTraffic();
    await until(() => {
      bus('us-1').publishSignal('eu-1', 'beat', bytesOf('for eu-1'));
      return ears.includes('for eu-1');
    }, 'eu-1 hears what is for it');
    assert(!ears.some((text) => text.includes(word)), 'the honest traffic was overheard');
  } finally {
    await nc.close();
  }
});

test('the inside of a cell is not reached from its own FABRIC account', async () => {
  const pushes: string[] = [];
  const [listener, speaker]: CellBus[] = [await fabric.cellBus('eu-2'), await fabric.cellBus('eu-2')];
  assert(listener && speaker);
  listener.subscribePush((bytes) => pushes.push(textOf(bytes)));
  for (const cell of ['eu-1', 'eu-2']) {
    const nc = await openBus({
      url: fabric.url(`nats-${cell}`),
      account: 'fabric',
      password: fabric.credentials.cell(cell).fabric,
      cell,
      log: silentLog(),
    });
    nc.publish(subjects.push(3), bytesOf(forged));
    await nc.flush();
    await nc.close();
  }
  await until(() => {
    speaker.publishPush(3, bytesOf('from a node'));
    return pushes.length > 0;
  }, 'a node hears another');
  assert.equal(new Set(pushes).size, 1);
  assert.equal(pushes[0], 'from a node');
});

test('a leaf that forges by hand is cut by its hub, and nothing of it arrives', async () => {
  await fabric.kill('nats-eu-1');
  const port = fabric.config('hub-eu').ports[1] ?? 0;
  for (const [what, subject] of forgeries()) {
    using leaf = await RawLeaf.open(port, fabric.credentials.leaf('eu-1'));
    assert(!leaf.closed, 'its own key opens the leaf port');
    leaf.publish(subject, forged, `${subjects.inbox('eu-1', 'us-1')}.x`);
    await leaf.settle();
    await until(() => leaf.closed, `the hub cuts a leaf that publishes ${what}`, 5_000);
    assert.match(leaf.errors.join(' '), /Permissions Violation/i, what);
    assert.deepEqual(leaf.received, [], what);
  }
  await honestTraffic();
  assert.deepEqual(cameThrough(), []);
  assert.match(readFileSync(fabric.logFile('hub-eu'), 'utf8'), /Publish Violation/);
});

test('a leaf that subscribes to everything by hand hears nothing of the others and is told of none of their inboxes', async () => {
  const port = fabric.config('hub-eu').ports[1] ?? 0;
  const key = fabric.credentials.leaf('eu-1');
  // Opens the inbox of us-1 that eu-1 may answer, and no other may.
  bus('us-1').publisher('eu-1');
  using leaf = await RawLeaf.open(port, key);
  leaf.subscribe(subjects.ack('eu-1', 'us-1'));
  for (const subject of eavesdropping().filter((each) => /[*>]/.test(each))) leaf.subscribe(subject);
  await leaf.settle();
  const word = await honestTraffic();
  assert(!leaf.closed && leaf.errors.length === 0, 'wildcards are accepted, and filtered at delivery');
  // Literals of another cell are refused outright, with the link.
  using second = await RawLeaf.open(port, key);
  second.subscribe(subjects.ack('us-1', 'eu-2'));
  await second.settle();
  await until(() => second.closed, 'the hub cuts a leaf that subscribes to a subject of another cell', 5_000);
  assert.match(second.errors.join(' '), /Permissions Violation/i);

  using listening = leaf.closed ? await RawLeaf.open(port, key) : undefined;
  const ears = listening ?? leaf;
  if (listening) listening.subscribe(subjects.ack('eu-1', 'us-1'));
  await until(() => {
    bus('us-1').publishAck('eu-1', bytesOf('for eu-1'));
    return ears.received.some(({ body }) => body.includes('for eu-1'));
  }, 'the leaf hears what is for eu-1');
  assert(![...leaf.received, ...ears.received].some(({ body }) => body.includes(word)), 'the honest traffic was overheard');
  const inboxes = subjects.inbox('*', '*').split('.')[0] ?? '';
  const told = [...leaf.interest].filter((subject) => subject.startsWith(`${inboxes}.`));
  assert(told.length > 0);
  assert.deepEqual(
    told.filter((subject) => subject.split('.')[2] !== 'eu-1'),
    [],
    'the hub told of inboxes that eu-1 may not answer',
  );
});

test('the key of a leaf opens neither a client port nor the other region', async () => {
  const key = fabric.credentials.leaf('eu-1');
  const doors = [
    ['the client port of its hub', fabric.config('hub-eu').ports[0]],
    ['the client port of the other hub', fabric.config('hub-us').ports[0]],
    ['the leaf port of the other region', fabric.config('hub-us').ports[1]],
  ] as const;
  for (const [what, port] of doors) {
    using leaf = await RawLeaf.open(port ?? 0, key);
    await until(() => leaf.closed, `${what} closes`, 5_000);
    assert.match(leaf.errors.join(' '), /Authorization Violation/i, what);
  }
  using asDirectory = await RawLeaf.open(fabric.config('hub-eu').ports[1] ?? 0, fabric.credentials.directory);
  await until(() => asDirectory.closed, 'the directory’s key opens no leaf link', 5_000);
});

test('the directory publishes changes to every cell, and nothing else', async () => {
  const nc = await openHub({ url: fabric.url('hub-us'), nkeySeed: fabric.credentials.directory.seed, log: silentLog() });
  try {
    await until(() => {
      nc.publish(subjects.directory(1), bytesOf('a change'));
      return ['eu-2', 'us-1', 'us-2'].every((cell) => heard.includes(`${cell} directory a change`));
    }, 'every cell hears the directory');
    for (const [what, subject] of forgeries()) {
      if (subject === subjects.directory(0)) continue;
      await assert.rejects(nc.request(subject, bytesOf(forged), { timeout: 300 }), what);
    }
  } finally {
    await nc.close();
  }
  await honestTraffic();
  assert.deepEqual(cameThrough(), []);
});

test('the tests above would notice: with the hub’s permissions taken away the same forgery arrives', async () => {
  const unguarded = (text: string): string => text.replaceAll(/permissions \{[^}]*\}/g, '');
  await using open = await NatsFabric.start({ cells: ['eu-1', 'eu-2'], rewrite: unguarded });
  const victim = await open.bus('eu-2', ['eu-1', 'us-1']);
  const frames: string[] = [];
  await victim.ensureInbound(size);
  victim.consumePartition(0, (frame) => {
    frames.push(`${frame.src} ${textOf(frame.data)}`);
    frame.ack();
  });
  await open.kill('nats-eu-1');
  using leaf = await RawLeaf.open(open.config('hub-eu').ports[1] ?? 0, open.credentials.leaf('eu-1'));
  leaf.publish(subjects.frame('eu-2', 'e', 'us-1', 0), forged);
  await until(() => frames.includes(`us-1 ${forged}`), 'the forged frame is stored', 5_000);
});
