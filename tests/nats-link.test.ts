// What links between cells do over real servers: across the gateway, over full streams, lost stores and restarts.
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { linkLimits } from '@weft/runtime/link-limits.ts';
import { silentLog } from '@weft/runtime/log.ts';
import type { InboundFrame } from '@weft/runtime/nats-consumer.ts';
import { FabricBus } from '@weft/runtime/nats-fabric-bus.ts';
import type { Published } from '@weft/runtime/nats-publisher.ts';
import { NatsFabric, until } from './nats-fabric.ts';

const size = { maxBytes: 4 * 1024 * 1024, replicas: 1 };
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

let fabric: NatsFabric;
let eu1: FabricBus;
let eu2: FabricBus;
let us1: FabricBus;
/** Frames of partition 0 that us-1 was handed and acknowledged. */
const taken: string[] = [];
let ids = 0;
const newId = (): string => `eu-1.1.${++ids}.1`;

before(async () => {
  fabric = await NatsFabric.start({ cells: ['eu-1', 'eu-2', 'us-1'] });
  [eu1, eu2, us1] = await Promise.all([fabric.bus('eu-1'), fabric.bus('eu-2'), fabric.bus('us-1')]);
  await us1.ensureInbound(size);
  us1.consumePartition(0, (frame) => {
    taken.push(textOf(frame.data));
    frame.ack();
  });
  await until(async () => (await sends(eu1, 'us-1', 'warm')) === 'stored', 'the link is up');
});

after(async () => {
  await fabric[Symbol.asyncDispose]();
});

const sends = (from: FabricBus, to: string, text: string, msgId = newId()): Promise<Published> =>
  from.publisher(to).publish({ cls: 'e', p: 0, msgId }, bytesOf(text));
const count = (text: string): number => taken.filter((each) => each === text).length;

test('a frame crosses the gateway, is stored, and handed on with its source, class and partition', async () => {
  const frames: InboundFrame[] = [];
  await using consumer = us1.consumePartition(2, (frame) => {
    frames.push(frame);
    frame.ack();
  });
  assert.equal(await eu1.publisher('us-1').publish({ cls: 'i', p: 2, msgId: newId() }, bytesOf('an intake')), 'stored');
  await until(() => frames.length === 1, 'the frame arrives');
  const [frame] = frames;
  assert(frame);
  assert.deepEqual([frame.src, frame.cls, frame.p, textOf(frame.data), frame.redelivered], ['eu-1', 'i', 2, 'an intake', false]);
  assert.equal(consumer.counters.frames, 1);
});

test('the same message id is a duplicate, another attempt of the same frame is stored again', async () => {
  const id = `eu-1.1.${++ids}`;
  assert.equal(await sends(eu1, 'us-1', 'attempts', `${id}.1`), 'stored');
  await until(() => count('attempts') === 1, 'the first attempt arrives');
  assert.equal(await sends(eu1, 'us-1', 'attempts', `${id}.1`), 'duplicate');
  assert.equal(await sends(eu1, 'us-1', 'attempts', `${id}.2`), 'stored');
  await until(() => count('attempts') === 2, 'the second attempt arrives');
});

test('the same outbox id from two cells is two frames, because the message id names its source', async () => {
  const outbox = ++ids;
  assert.equal(await sends(eu1, 'us-1', 'from eu-1', `eu-1.1.${outbox}.1`), 'stored');
  assert.equal(await sends(eu2, 'us-1', 'from eu-2', `eu-2.1.${outbox}.1`), 'stored');
  await until(() => count('from eu-1') === 1 && count('from eu-2') === 1, 'both arrive');
});

test('requests are answered by one node, acknowledgements and signals are heard by every node', async () => {
  const nodes = [await fabric.bus('us-1'), await fabric.bus('us-1')];
  const seen: string[] = [];
  for (const [at, node] of nodes.entries()) {
    node.serveRequests(async (src, method, bytes) => bytesOf(`node ${at}: ${src} ${method} ${textOf(bytes)}`));
    node.subscribeAcks((src, bytes) => seen.push(`${at} ack ${src} ${textOf(bytes)}`));
    node.subscribeSignals((src, what, bytes) => seen.push(`${at} signal ${src} ${what} ${textOf(bytes)}`));
  }
  const ask = () => eu1.request({ dst: 'us-1', method: 'pull', timeoutMs: 1_000 }, bytesOf('?'));
  await until(async () => (await ask()).ok, 'somebody answers');
  const answers = await Promise.all(Array.from({ length: 32 }, ask));
  for (const answer of answers) {
    assert(answer.ok);
    assert.match(textOf(answer.bytes), /^node [01]: eu-1 pull \?$/);
  }
  await until(() => {
    eu1.publishAck('us-1', bytesOf('7'));
    eu1.publishSignal('us-1', 'beat', bytesOf('now'));
    return ['0 ack eu-1 7', '1 ack eu-1 7', '0 signal eu-1 beat now', '1 signal eu-1 beat now'].every((line) => seen.includes(line));
  }, 'both nodes hear both');
});

test('who asks a cell that is not there is told so at once, who asks one that does not answer is told after its time', async () => {
  const began = performance.now();
  assert.deepEqual(await eu1.request({ dst: 'eu-2', method: 'pull', timeoutMs: 5_000 }, bytesOf('?')), { ok: false, why: 'no-responders' });
  assert.equal(await sends(eu1, 'eu-2', 'nobody'), 'no-responders');
  assert(performance.now() - began < 1_000);
  eu2.serveRequests(async () => undefined);
  await until(async () => {
    const answer = await eu1.request({ dst: 'eu-2', method: 'pull', timeoutMs: 150 }, bytesOf('?'));
    return !answer.ok && answer.why === 'timeout';
  }, 'silence becomes a timeout');
});

test('a stream that was full accepts again once its frames were consumed', async () => {
  const held: InboundFrame[] = [];
  const fill = new Uint8Array(200 * 1024);
  const send = () => eu1.publisher('us-1').publish({ cls: 'e', p: 1, msgId: newId() }, fill);
  const answers: Published[] = [];
  await until(async () => {
    answers.push(await send());
    return answers.at(-1) === 'refused';
  }, 'the stream is full');
  assert(answers.filter((each) => each === 'stored').length > 10);
  await using _consumer = us1.consumePartition(1, (frame) => held.push(frame));
  await until(() => held.length > 10, 'the frames are handed out');
  assert.equal(await send(), 'refused');
  await until(async () => {
    for (const frame of held.splice(0)) frame.ack();
    return (await send()) === 'stored';
  }, 'it accepts again');
});

test('a paused partition holds its frames and hands them on, once each, when it goes on', async () => {
  const seen: string[] = [];
  await using consumer = us1.consumePartition(3, (frame) => {
    seen.push(textOf(frame.data));
    frame.ack();
  });
  const send = (text: string) => eu1.publisher('us-1').publish({ cls: 'm', p: 3, msgId: newId() }, bytesOf(text));
  await send('before');
  await until(() => seen.length === 1, 'the consumer runs');
  consumer.pause();
  for (const text of ['one', 'two', 'three']) assert.equal(await send(text), 'stored');
  // Through another partition and back: by then the held ones were handed out too.
  await sends(eu1, 'us-1', 'meanwhile');
  await until(() => count('meanwhile') === 1, 'another partition goes on');
  assert.deepEqual(seen, ['before']);
  consumer.resume();
  await until(() => seen.length === 4, 'the held frames are handed on');
  assert.deepEqual(seen, ['before', 'one', 'two', 'three']);
});

test('a partition that is paused again while it hands on what it held keeps the rest, in order', async () => {
  const seen: string[] = [];
  const take = (frame: InboundFrame): void => {
    seen.push(textOf(frame.data));
    frame.ack();
    consumer.pause();
  };
  // What the consumer before this one had asked for must not be handed to it.
  await using consumer = us1.consumePartition(3, take, { takenOver: true });
  const texts = ['first', 'second', 'third'];
  for (const text of texts) await eu1.publisher('us-1').publish({ cls: 'm', p: 3, msgId: newId() }, bytesOf(text));
  await until(() => seen.length === 1, 'the first is handed on');
  // Through another partition and back: by then the others were handed out too.
  await sends(eu1, 'us-1', 'in between');
  await until(() => count('in between') === 1, 'another partition goes on');
  for (let handedOn = 1; handedOn <= texts.length; handedOn++) {
    // On a crowded machine the other partition may be ahead all the same.
    await until(() => seen.length >= handedOn, 'the next is handed on');
    assert.deepEqual(seen, texts.slice(0, handedOn));
    consumer.resume();
  }
  assert.deepEqual(seen, texts);
});

test('a frame that was not taken comes again, and says so', async () => {
  const seen: boolean[] = [];
  await using _consumer = us1.consumePartition(2, (frame) => {
    if (textOf(frame.data) !== 'twice') return frame.ack();
    seen.push(frame.redelivered);
    if (seen.length === 1) frame.nak(10);
    else if (seen.length === 2) throw new Error('a bug of the caller');
    else frame.ack();
  });
  assert.equal(await eu1.publisher('us-1').publish({ cls: 'e', p: 2, msgId: newId() }, bytesOf('twice')), 'stored');
  await until(() => seen.length === 3, 'it comes three times');
  // The first may be marked too: a consumer that just left had asked for it.
  assert.deepEqual(seen.slice(1), [true, true]);
});

test('a cell that joins later is admitted by setPeers, one that leaves is not heard any more', async () => {
  const alone = await fabric.bus('eu-2', ['us-1']);
  await alone.ensureInbound(size);
  const acks: string[] = [];
  alone.subscribeAcks((src) => acks.push(src));
  assert.equal(await sends(eu1, 'eu-2', 'too early'), 'no-responders');
  alone.setPeers(['us-1', 'eu-1', 'eu-2']);
  assert.deepEqual(alone.peers, ['us-1', 'eu-1']);
  await until(async () => (await sends(eu1, 'eu-2', 'admitted')) === 'stored', 'eu-1 is admitted');
  await until(() => eu1.publishAck('eu-2', bytesOf('1')) && acks.includes('eu-1'), 'eu-1 is heard');
  alone.setPeers(['us-1']);
  await until(async () => (await sends(eu1, 'eu-2', 'too late')) === 'no-responders', 'eu-1 is not admitted any more');
});

test('a killed server comes back: what it had stored is handed on, publishers and consumers go on by themselves', async () => {
  assert.equal(await eu1.publisher('us-1').publish({ cls: 'e', p: 2, msgId: newId() }, bytesOf('kept')), 'stored');
  await fabric.kill('nats-us-1');
  await until(async () => (await sends(eu1, 'us-1', 'down')) === 'no-responders', 'the publisher is told');
  await until(() => !us1.connected, 'the destination notices');
  assert.equal(us1.publishAck('eu-1', bytesOf('lost')), false);
  await fabric.startServer('nats-us-1');
  await until(async () => (await sends(eu1, 'us-1', 'again')) === 'stored', 'publishing goes on');
  await until(() => count('again') >= 1, 'consuming goes on');
  const kept: string[] = [];
  const take = (frame: InboundFrame): void => {
    kept.push(textOf(frame.data));
    frame.ack();
  };
  // As a node that takes over: what a consumer had asked for that left less than 2 s before the frame came counts as handed out
  // to it, the server wrote that down before it was killed, and gives it again only when the time to acknowledge it is over.
  await using _consumer = us1.consumePartition(2, take, { takenOver: true });
  await until(() => kept.includes('kept'), 'what was stored before is handed on');
  assert(us1.counters.reconnects >= 1);
});

test('a server that lost its whole store gets its stream and consumers back without anybody’s help', async () => {
  await fabric.kill('nats-us-1');
  fabric.wipe('nats-us-1');
  await fabric.startServer('nats-us-1');
  await until(async () => (await sends(eu1, 'us-1', 'after the loss')) === 'stored', 'publishing goes on');
  await until(() => count('after the loss') >= 1, 'consuming goes on');
});

test('a server that does not read bounds what is written to it, and is written to again afterwards', async () => {
  const bus = await fabric.cellBus('eu-2');
  const server = fabric.process('nats-eu-2');
  const push = new Uint8Array(512 * 1024);
  server.freeze();
  try {
    let sent = 0;
    while (sent < 1_000 && bus.publishPush(0, push)) sent++;
    assert(sent >= 32 && sent <= 128, `${sent} pushes of 512 KiB were taken`);
    assert.equal(bus.counters.dropped, 1);
  } finally {
    server.thaw();
  }
  await until(() => bus.publishPush(0, push), 'pushes are sent again');
});

test('both hubs may go and come back', async () => {
  await fabric.kill('hub-us');
  await fabric.kill('hub-eu');
  await until(async () => (await sends(eu1, 'us-1', 'no hub')) !== 'stored', 'the link is cut');
  assert(eu1.connected && us1.connected, 'the cells’ own buses stand');
  await fabric.startServer('hub-eu');
  await fabric.startServer('hub-us');
  await until(async () => (await sends(eu1, 'us-1', 'healed')) === 'stored', 'the link heals');
  await until(() => count('healed') >= 1, 'the frame arrives');
});

test('what a node was handed and never acknowledged goes at once to the node that takes over, and to nobody else for 30 s', async () => {
  const sent = linkLimits.unackedPerPartitionMax + 40;
  const hands: string[] = [];
  await using _frozen = us1.consumePartition(3, (frame) => hands.push(textOf(frame.data)));
  for (let i = 0; i < sent; i++)
    assert.equal(await eu1.publisher('us-1').publish({ cls: 'i', p: 3, msgId: newId() }, bytesOf(`held ${i}`)), 'stored');
  await until(() => hands.length === linkLimits.unackedPerPartitionMax, 'its hands are full');
  const other = await fabric.bus('us-1');
  await other.ensureInbound(size);
  const seen = new Set<string>();
  const take = (frame: InboundFrame): void => {
    seen.add(textOf(frame.data));
    frame.ack();
  };
  await using beside = other.consumePartition(3, take);
  await sends(eu1, 'us-1', 'beside');
  await until(() => count('beside') === 1, 'another partition goes on');
  assert.equal(seen.size, 0, 'a second node without taking over gets nothing');
  await beside[Symbol.asyncDispose]();
  await using _successor = other.consumePartition(3, take, { takenOver: true });
  await until(() => seen.size === sent, 'everything comes to the successor', 5_000);
});

/** A frame for each partition that nobody else consumes comes to this bus, which took all of them over at once. */
async function takesAllOver(bus: FabricBus, round: string): Promise<void> {
  const came = new Set<number>();
  const partitions = [1, 2, 3];
  const consumers = partitions.map((p) =>
    bus.consumePartition(
      p,
      (frame) => {
        if (textOf(frame.data) === round) came.add(p);
        frame.ack();
      },
      { takenOver: true },
    ),
  );
  for (const p of partitions) assert.equal(await eu1.publisher('us-1').publish({ cls: 'e', p, msgId: newId() }, bytesOf(round)), 'stored');
  await until(() => came.size === partitions.length, `a frame of each partition comes in ${round}, not only of ${[...came]}`);
  await Promise.all(consumers.map((consumer) => consumer[Symbol.asyncDispose]()));
}

test('a node that takes over all partitions at once, again and again, is handed the frames of each', async () => {
  for (let round = 0; round < 40; round++) {
    const bus = await fabric.bus('us-1');
    await bus.ensureInbound(size);
    await takesAllOver(bus, `round ${round}`);
    await bus[Symbol.asyncDispose]();
  }
});

test('a consumer that the broker cannot write down any more is made anew', async () => {
  rmSync(join(fabric.dir, 'nats-us-1/jetstream/FABRIC/streams/XIN_us-1/obs/apply-3'), { recursive: true });
  const bus = await fabric.bus('us-1');
  await bus.ensureInbound(size);
  await takesAllOver(bus, 'made anew');
});

test('a bus may be opened before its server runs, and the waiting can be ended', async () => {
  await fabric.kill('nats-eu-2');
  const open = (signal?: AbortSignal) =>
    FabricBus.open({
      url: fabric.url('nats-eu-2'),
      password: fabric.credentials.cell('eu-2').fabric,
      cell: 'eu-2',
      peers: ['eu-1'],
      log: silentLog(),
      ...(signal === undefined ? {} : { signal }),
    });
  const given = new AbortController();
  const abandoned = open(given.signal);
  given.abort(new Error('leaving'));
  await assert.rejects(abandoned, /leaving/);
  const opening = open();
  await fabric.startServer('nats-eu-2');
  await using bus = await opening;
  assert(bus.connected);
});
