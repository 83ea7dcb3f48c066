// Holds the simulator's model of the inbound stream to a real server: the same random operations on both, and the same
// answers, deliveries and redeliveries.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { lanes } from '@weft/proto/ids.ts';
import { linkLimits } from '@weft/runtime/link-limits.ts';
import type { InboundFrame } from '@weft/runtime/nats-consumer.ts';
import type { FabricBus } from '@weft/runtime/nats-fabric-bus.ts';
import type { Published } from '@weft/runtime/nats-publisher.ts';
import { type Random, seededRandom } from '@weft/runtime/random.ts';
import { NatsFabric, until } from './nats-fabric.ts';
import { InboundStream } from './simulation/inbound-stream.ts';

const steps = 120;
const maxBytes = 256 * 1024;
const server = 'nats-us-1';
const limits = { ...linkLimits, maxBytes, ackPendingMax: linkLimits.unackedPerPartitionMax };

let fabric: NatsFabric;
let source: FabricBus;
let home: FabricBus;

before(async () => {
  fabric = await NatsFabric.start({ cells: ['eu-1', 'us-1'] });
  [source, home] = await Promise.all([fabric.bus('eu-1'), fabric.bus('us-1')]);
  await home.ensureInbound({ maxBytes, replicas: 1 });
});
after(async () => {
  await fabric?.[Symbol.asyncDispose]();
});

/** The real stream and the model, side by side. */
class Pair {
  readonly model = new InboundStream(limits, lanes);
  readonly #random: Random;
  readonly #real: { readonly frame: InboundFrame; readonly text: string }[] = [];
  readonly #expected: string[] = [];
  /** Handed out by the model and not acknowledged: text → seq. */
  readonly held = new Map<string, number>();

  constructor(random: Random) {
    this.#random = random;
  }

  taken = (frame: InboundFrame): void => {
    this.#real.push({ frame, text: Buffer.from(frame.data).toString() });
  };

  async publish(id: number, attempt: number, p = id % 2): Promise<void> {
    const msgId = `eu-1.1.${id}.${attempt}`;
    const text = `${id}.${attempt}`;
    const data = Buffer.from(text);
    const found = await publishedFor(source.publisher('us-1').publish({ cls: 'e', p, msgId }, data));
    assert.equal(found, this.model.store(0, { src: 'eu-1', cls: 'e', p, msgId, data }), `publish ${msgId}`);
  }

  ack(): void {
    const text = this.pick();
    if (text === undefined) return;
    this.#last(text).ack();
    this.model.ack(0, this.held.get(text) as number);
    this.held.delete(text);
  }

  nak(): void {
    const text = this.pick();
    if (text === undefined) return;
    this.#last(text).nak(0);
    this.model.nak(0, this.held.get(text) as number, 0);
  }

  pick(): string | undefined {
    const texts = [...this.held.keys()];
    return texts[this.#random.int(Math.max(texts.length, 1))];
  }

  /** Both hand out the same, in whatever order the partitions come. */
  async handOut(what: string, limitMs?: number): Promise<void> {
    for (let p = 0; p < lanes; p++) {
      for (let message = this.model.next(0, p); message; message = this.model.next(0, p)) {
        const text = Buffer.from(message.data).toString();
        this.held.set(text, message.seq);
        this.#expected.push(text);
      }
    }
    const inOrder = (texts: readonly string[]): string => [...texts].sort().join(' ');
    const real = (): string[] => this.#real.map(({ text }) => text);
    await until(() => real().length >= this.#expected.length, `${what}: ${this.#expected.length} deliveries`, limitMs);
    assert.equal(inOrder(real()), inOrder(this.#expected), what);
  }

  /** The real server has as many messages as the model. */
  async settle(): Promise<void> {
    await until(async () => {
      const found = (await fabric.monitor(server, 'jsz?acc=FABRIC')) as { messages?: number };
      return found.messages === this.model.size;
    }, `${this.model.size} messages are stored`);
  }

  #last(text: string): InboundFrame {
    return (this.#real.findLast((each) => each.text === text) as { readonly frame: InboundFrame }).frame;
  }
}

/** A link that is just coming up is no answer. */
async function publishedFor(first: Promise<Published>): Promise<Published> {
  const found = await first;
  assert.ok(found !== 'timeout' && found !== 'no-responders', found);
  return found;
}

async function linkUp(): Promise<void> {
  await fabric.linked();
  await until(async () => {
    const found = await source.publisher('us-1').publish({ cls: 'e', p: 3, msgId: 'eu-1.1.warm.1' }, Buffer.from('warm'));
    return found === 'stored' || found === 'duplicate';
  }, 'the link is up');
}

test('the model answers, hands out and hands out again as a real stream does, also over a kill', async () => {
  await linkUp();
  const random = seededRandom(5);
  const pair = new Pair(random);
  const warm = home.consumePartition(3, (frame) => frame.ack());
  const consumers = [0, 1].map((p) => home.consumePartition(p, pair.taken));
  for (let step = 0; step < steps; step++) {
    const dice = random.next();
    if (dice < 0.5) await pair.publish(1 + random.int(40), 1 + random.int(2));
    else if (dice < 0.8) pair.ack();
    else pair.nak();
    await pair.handOut(`step ${step}`);
  }
  await pair.settle();
  await fabric.kill(server);
  await fabric.startServer(server);
  await linkUp();
  pair.model.restart();
  pair.held.clear();
  // A server that had written down what was handed out gives it again when the time to acknowledge it is over; the model, at once.
  await pair.handOut('after the kill', 2 * limits.ackWaitMs);
  // Ids of what is stored are known still; of what was acknowledged they are not.
  for (let id = 1; id <= 40; id++) await pair.publish(id, 1);
  await pair.handOut('published again');
  await Promise.all([...consumers, warm].map((each) => each[Symbol.asyncDispose]()));
});

test('no more than the window is handed out unacknowledged, and one more for each acknowledgement', async () => {
  const handed: InboundFrame[] = [];
  const model = new InboundStream(limits, lanes);
  const window = limits.ackPendingMax;
  const consumer = home.consumePartition(2, (frame) => handed.push(frame));
  for (let id = 0; id < window + 20; id++) {
    const msgId = `eu-1.1.window-${id}.1`;
    assert.equal(await source.publisher('us-1').publish({ cls: 'e', p: 2, msgId }, Buffer.from('x')), 'stored');
    model.store(0, { src: 'eu-1', cls: 'e', p: 2, msgId, data: Buffer.from('x') });
  }
  let expected = 0;
  const seqs: number[] = [];
  const handOut = (): void => {
    for (let message = model.next(0, 2); message; message = model.next(0, 2)) seqs[expected++] = message.seq;
  };
  handOut();
  assert.equal(expected, window);
  await until(() => handed.length >= window, 'the window is handed out');
  for (let i = 0; i < 5; i++) {
    assert.equal(handed.length, window + i);
    handed[i]?.ack();
    model.ack(0, seqs[i] as number);
    handOut();
    await until(() => handed.length === expected, 'one more is handed out');
  }
  for (const frame of handed) frame.ack();
  await until(() => handed.length === window + 20, 'the rest is handed out');
  for (const frame of handed.slice(window)) frame.ack();
  await consumer[Symbol.asyncDispose]();
});

test('a full stream refuses, and takes again what fits once something is acknowledged', async () => {
  const big = Buffer.alloc(60 * 1024, 'x');
  const model = new InboundStream(limits, lanes);
  const real: Published[] = [];
  const mine: string[] = [];
  const held: InboundFrame[] = [];
  const consumer = home.consumePartition(2, (frame) => held.push(frame));
  for (let id = 0; id < 8; id++) {
    const frame = { cls: 'e' as const, p: 2, msgId: `eu-1.1.big-${id}.1` };
    real.push(await source.publisher('us-1').publish(frame, big));
    mine.push(model.store(0, { ...frame, src: 'eu-1', data: big }));
  }
  assert.ok(real.includes('refused') && mine.includes('refused'));
  // What is left of the tests before counts in the one and not in the other.
  assert.ok(
    Math.abs(real.filter((each) => each === 'stored').length - mine.filter((each) => each === 'stored').length) <= 1,
    `${real} ${mine}`,
  );
  await until(async () => {
    for (const frame of held.splice(0)) frame.ack();
    return (await source.publisher('us-1').publish({ cls: 'e', p: 2, msgId: 'eu-1.1.big-7.1' }, big)) === 'stored';
  }, 'there is room again, and a refused id is not known');
  await consumer[Symbol.asyncDispose]();
});
