// The bus between cells, in memory: one broker per cell, attached as a leaf to the hub of its region; hubs joined by
// gateways. Plain messages go the whole way or get lost; the inbound stream of each cell is kept by its own broker.
import { lanes } from '@weft/proto/ids.ts';
import { linkLimits } from '@weft/runtime/link-limits.ts';
import type { Random } from '@weft/runtime/random.ts';
import { InboundStream, type Stored, type StreamMessage } from './inbound-stream.ts';
import type { ProcessClock, SimulatedTime } from './simulated-time.ts';

export interface WayFaults {
  /** Chances of one message on its way, 0 to 1. */
  lose: number;
  duplicate: number;
  /** Late, and so behind what was sent after it. */
  late: number;
  /** A node's push to the other nodes of its cell is lost. */
  dropPush: number;
}

/** One node's connection to its cell's broker, and what it hears by it. */
export interface Connection {
  readonly cell: string;
  readonly clock: ProcessClock;
  readonly acks: ((src: string, bytes: Uint8Array) => void)[];
  readonly signals: ((src: string, what: string, bytes: Uint8Array) => void)[];
  readonly pushes: ((bytes: Uint8Array) => void)[];
  readonly serves: ((src: string, method: string, bytes: Uint8Array) => Promise<Uint8Array | undefined>)[];
  readonly consumers: Map<number, (message: StreamMessage & { readonly redelivered: boolean }) => void>;
}

export interface Broker {
  readonly cell: string;
  readonly region: string;
  readonly stream: InboundStream;
  readonly connections: Set<Connection>;
  up: boolean;
  /** Its bound is reached: it refuses. */
  isFull: boolean;
  /** After a wipe the stream is missing until a node makes it again. */
  hasStream: boolean;
  readonly waking: (Disposable | undefined)[];
  readonly wakingMs: number[];
}

export interface SuperclusterOptions {
  readonly time: SimulatedTime;
  readonly random: Random;
  readonly cells: readonly { readonly name: string; readonly region: string }[];
  /** Milliseconds between two regions, one way. */
  readonly regionMs: number;
  readonly inboundBytesMax: number;
  readonly trace: (what: string) => void;
}

/** Two unanswered pings, two seconds apart, and a silent link counts as closed. */
const silentMs = 4_000;
/** sync_interval of the cells' brokers. */
const syncEveryMs = 10_000;
const makeStreamMs = 500;

export class Supercluster {
  readonly faults: WayFaults = { lose: 0, duplicate: 0, late: 0, dropPush: 0 };
  readonly brokers = new Map<string, Broker>();
  /** Links that are cut in one direction, such as "eu-1>hub", "hub>eu-1", "eu>us", and since when. */
  readonly #cuts = new Map<string, number>();
  readonly #options: SuperclusterOptions;

  constructor(options: SuperclusterOptions) {
    this.#options = options;
    const limits = { ...linkLimits, maxBytes: options.inboundBytesMax, ackPendingMax: linkLimits.unackedPerPartitionMax };
    for (const { name, region } of options.cells) {
      this.brokers.set(name, {
        cell: name,
        region,
        stream: new InboundStream(limits, lanes),
        connections: new Set(),
        up: true,
        isFull: false,
        hasStream: true,
        waking: [],
        wakingMs: [],
      });
    }
  }

  broker(cell: string): Broker {
    return this.brokers.get(cell) as Broker;
  }

  join(cell: string, clock: ProcessClock): Connection {
    const connection: Connection = { cell, clock, acks: [], signals: [], pushes: [], serves: [], consumers: new Map() };
    this.broker(cell).connections.add(connection);
    return connection;
  }

  leave(connection: Connection): void {
    this.broker(connection.cell).connections.delete(connection);
  }

  cut(link: string): void {
    if (!this.#cuts.has(link)) this.#cuts.set(link, this.#options.time.nowMs);
  }

  mend(link: string): void {
    this.#cuts.delete(link);
  }

  healAll(): void {
    this.#cuts.clear();
  }

  /** The server dies; its files stay. What was on the way to it is lost. */
  stop(cell: string): void {
    this.broker(cell).up = false;
  }

  start(cell: string): void {
    const broker = this.broker(cell);
    if (broker.up) return;
    broker.up = true;
    broker.stream.restart();
    this.pumpAll(broker);
  }

  wipe(cell: string): void {
    const broker = this.broker(cell);
    broker.stream.wipe();
    broker.hasStream = false;
    this.#options.time.after(makeStreamMs, () => {
      broker.hasStream = true;
    });
  }

  changeLeader(cell: string): void {
    const broker = this.broker(cell);
    broker.stream.changeLeader(this.#options.time.nowMs);
    this.pumpAll(broker);
  }

  /** What one broker answers to a frame. */
  store(dst: string, message: Omit<StreamMessage, 'seq' | 'storedMs'>): Stored | 'no-responders' {
    const broker = this.broker(dst);
    if (!broker.hasStream) return 'no-responders';
    if (broker.isFull) return 'refused';
    const result = broker.stream.store(this.#options.time.nowMs, message);
    if (result === 'stored') this.pump(broker, message.p);
    return result;
  }

  /** As it would be found after a power cut: what the disk had at the last sync. */
  cutPower(cell: string): void {
    const { time } = this.#options;
    this.broker(cell).stream.cutPower(Math.floor(time.nowMs / syncEveryMs) * syncEveryMs);
    this.pumpAll(this.broker(cell));
  }

  /** Whether anybody would answer: a way that was cut a while ago is known to lead nowhere. */
  isKnownAway(src: string, dst: string): boolean {
    const { nowMs } = this.#options.time;
    if (!this.broker(dst).up) return true;
    if (this.#cuts.size === 0) return false;
    const way = [...this.#way(src, dst), ...this.#way(dst, src)];
    return way.some((link) => nowMs - (this.#cuts.get(link) ?? nowMs) > silentMs);
  }

  /** Calls `arrive` at the other broker, some time later, perhaps twice, perhaps never. */
  send(src: string, dst: string, arrive: () => void): void {
    const { time, random } = this.#options;
    const [from, to] = [this.broker(src), this.broker(dst)];
    if (!from.up || !this.#passes(src, dst)) return;
    const land = (): void => {
      if (to.up && this.#isWhole(src, dst)) arrive();
    };
    time.after(this.#delay(from, to), land);
    if (this.faults.duplicate > 0 && random.next() < this.faults.duplicate) time.after(this.#delay(from, to), land);
  }

  /** Milliseconds from broker to broker; some messages take long, which is what reorders. */
  #delay(from: Broker, to: Broker): number {
    const { random, regionMs } = this.#options;
    const { late } = this.faults;
    const near = 0.5 + random.next() * 2 + (from.region === to.region ? 0 : regionMs);
    return late > 0 && random.next() < late ? near + random.next() * 700 : near;
  }

  /** Hands out what there is to whoever consumes. */
  pump(broker: Broker, p: number): void {
    const { time, random } = this.#options;
    if (!broker.up || !broker.hasStream) return;
    for (;;) {
      const takers = [...broker.connections].filter((each) => each.clock.alive && each.consumers.has(p));
      const taker = takers[takers.length > 1 ? random.int(takers.length) : 0];
      // Whoever begins to consume is given what waits.
      if (!taker) return;
      const message = broker.stream.next(time.nowMs, p);
      if (!message) break;
      const hand = (): void => taker.consumers.get(p)?.(message);
      time.after(0.1 + random.next() * 0.5, hand, taker.clock);
      if (this.faults.duplicate > 0 && random.next() < this.faults.duplicate) time.after(1 + random.next() * 50, hand, taker.clock);
    }
    this.#wake(broker, p);
  }

  pumpAll(broker: Broker): void {
    for (let p = 0; p < lanes; p++) this.pump(broker, p);
  }

  /** One timer per partition, for the message that comes again first. */
  #wake(broker: Broker, p: number): void {
    const { time } = this.#options;
    const dueMs = broker.stream.nextDueMs(p);
    if (broker.waking[p] && (broker.wakingMs[p] as number) <= dueMs) return;
    broker.waking[p]?.[Symbol.dispose]();
    broker.waking[p] = undefined;
    if (!Number.isFinite(dueMs)) return;
    broker.wakingMs[p] = dueMs;
    broker.waking[p] = time.after(Math.max(dueMs - time.nowMs, 1), () => {
      broker.waking[p] = undefined;
      this.pump(broker, p);
    });
  }

  #passes(src: string, dst: string): boolean {
    return this.#isWhole(src, dst) && (this.faults.lose === 0 || this.#options.random.next() >= this.faults.lose);
  }

  #isWhole(src: string, dst: string): boolean {
    return this.#cuts.size === 0 || !this.#way(src, dst).some((link) => this.#cuts.has(link));
  }

  #way(src: string, dst: string): string[] {
    const [from, to] = [this.broker(src).region, this.broker(dst).region];
    return [`${src}>hub`, ...(from === to ? [] : [`${from}>${to}`]), `hub>${dst}`];
  }
}
