// A cell's side of the fabric (account FABRIC): everything it says to other cells and hears from them. All bytes that
// go through here are opaque, and sealed by whoever calls.
import type { NatsConnection } from '@nats-io/transport-node';
import { subjects, subjectTail } from '@weft/proto/subjects.ts';
import type { Log } from './log.ts';
import { openBus } from './nats.ts';
import { PeerAnswers } from './nats-answers.ts';
import { type InboundFrame, PartitionConsumer } from './nats-consumer.ts';
import { InboundStream } from './nats-inbound.ts';
import { LinkPublisher } from './nats-publisher.ts';
import { ask, type RequestAddress, type RequestHandler, type RequestOutcome, RequestServer } from './nats-requests.ts';
import { guarded, SourceSubscriptions } from './nats-sources.ts';
import { oldestInboundMs, type StreamSize } from './nats-streams.ts';
import { type BusCounters, BusWatch } from './nats-watch.ts';

export interface FabricBusOptions {
  readonly url: string;
  readonly password: string;
  readonly cell: string;
  /** Names of the other cells; the own name is ignored. */
  readonly peers: readonly string[];
  readonly log: Log;
  /** Ends the waiting for a server that is away at start. */
  readonly signal?: AbortSignal;
}

export class FabricBus implements AsyncDisposable {
  readonly cell: string;
  readonly #nc: NatsConnection;
  readonly #log: Log;
  readonly #watch: BusWatch;
  readonly #closing = new AbortController();
  readonly #answers = new Map<string, PeerAnswers>();
  readonly #publishers = new Map<string, LinkPublisher>();
  readonly #sources: SourceSubscriptions[] = [];
  readonly #servers: RequestServer[] = [];
  readonly #consumers: PartitionConsumer[] = [];
  #inbound: InboundStream | undefined;
  #peers: readonly string[];

  constructor(nc: NatsConnection, options: Pick<FabricBusOptions, 'cell' | 'peers' | 'log'>) {
    this.#nc = nc;
    this.cell = options.cell;
    this.#log = options.log;
    this.#peers = this.#others(options.peers);
    this.#watch = new BusWatch(nc, options.log);
    this.#watch.onLost(() => {
      for (const answers of this.#answers.values()) answers.lost();
    });
  }

  /** Resolves when the cell's server has taken the connection, however long that takes. */
  static async open(options: FabricBusOptions): Promise<FabricBus> {
    const { url, password, cell, log, signal } = options;
    const nc = await openBus({ url, account: 'fabric', password, cell, log, ...(signal === undefined ? {} : { signal }) });
    return new FabricBus(nc, options);
  }

  /** Whether the own cell's server is there. Says nothing about hubs or other cells. */
  get connected(): boolean {
    return this.#watch.connected;
  }

  get counters(): Readonly<BusCounters> {
    return this.#watch.counters;
  }

  get peers(): readonly string[] {
    return this.#peers;
  }

  /** The cell table changed: listens to the new cells, stops listening to those not named, and admits exactly these to the inbound stream. */
  setPeers(names: readonly string[]): void {
    const peers = this.#others(names);
    // Every change of the directory comes here, a sign-up too.
    if (peers.length === this.#peers.length && peers.every((peer) => this.#peers.includes(peer))) return;
    this.#peers = peers;
    for (const each of [...this.#sources]) each.set(this.#peers);
    for (const each of this.#servers) each.setSources(this.#peers);
    // It retries for itself, and rejects only because the bus is being closed.
    this.#inbound?.set(this.#peers).catch(() => undefined);
    for (const [peer, answers] of this.#answers) {
      if (this.#peers.includes(peer)) continue;
      answers[Symbol.dispose]();
      this.#answers.delete(peer);
      this.#publishers.delete(peer);
    }
  }

  /** The link to one cell. Ask for it each time, or at least after setPeers: a cell that left and came back has a new one. */
  publisher(peer: string): LinkPublisher {
    const known = this.#publishers.get(peer);
    if (known !== undefined) return known;
    const made = new LinkPublisher({ nc: this.#nc, watch: this.#watch, answers: this.#answersOf(peer), cell: this.cell, peer });
    this.#publishers.set(peer, made);
    return made;
  }

  /** Makes the inbound stream, and keeps it for the peers as they change. Resolves when it is there, however long that takes; rejects only when the bus is closed. */
  ensureInbound(size: StreamSize): Promise<void> {
    this.#inbound ??= new InboundStream({ nc: this.#nc, cell: this.cell, size, signal: this.#closing.signal, log: this.#log }, this.#peers);
    return this.#inbound.ensure();
  }

  /** Age of the oldest frame in the inbound stream in ms, 0 when it is empty; undefined while the server does not tell. */
  oldestInboundMs(): Promise<number | undefined> {
    return oldestInboundMs({ nc: this.#nc, cell: this.cell }).catch(() => undefined);
  }

  /**
   * Consumes one partition until it, or the bus, is disposed. Needs ensureInbound called before. `takenOver`: what another node
   * was handed and did not acknowledge comes here at once, instead of after its 30 s.
   */
  consumePartition(p: number, onFrame: (frame: InboundFrame) => void, options: { readonly takenOver?: boolean } = {}): PartitionConsumer {
    const inbound = this.#inbound;
    if (inbound === undefined) throw new Error('ensureInbound comes before consumePartition');
    const consumer = new PartitionConsumer({
      nc: this.#nc,
      cell: this.cell,
      p,
      onFrame,
      ensure: () => inbound.ensure(),
      remake: () => inbound.remakeConsumer(p),
      takenOver: options.takenOver ?? false,
      signal: this.#closing.signal,
      log: this.#log,
    });
    this.#consumers.push(consumer);
    return consumer;
  }

  /** Asks one cell; one of its nodes answers. */
  request(to: RequestAddress, bytes: Uint8Array): Promise<RequestOutcome> {
    return ask({ nc: this.#nc, watch: this.#watch, cell: this.cell, answersOf: (peer) => this.#answersOf(peer) }, to, bytes);
  }

  /** Answers the other cells' requests until the bus is disposed. */
  serveRequests(handler: RequestHandler): RequestServer {
    const server = new RequestServer({ nc: this.#nc, cell: this.cell, handler, log: this.#log }, this.#peers);
    this.#servers.push(server);
    return server;
  }

  /** End-to-end acknowledgements to one cell; may be lost. False: not sent. */
  publishAck(dst: string, bytes: Uint8Array): boolean {
    return this.#watch.publish(subjects.ack(dst, this.cell), bytes);
  }

  /** Every node of the cell hears every acknowledgement. */
  subscribeAcks(onBytes: (src: string, bytes: Uint8Array) => void): Disposable {
    return this.#hear(
      (src) => subjects.ack(this.cell, src),
      (src, { data }) => onBytes(src, data),
    );
  }

  /** What is true only now; may be lost. `what` is one subject token or more. False: not sent. */
  publishSignal(dst: string, what: string, bytes: Uint8Array): boolean {
    return this.#watch.publish(subjects.signal(dst, this.cell, what), bytes);
  }

  /** Every node of the cell hears every signal. */
  subscribeSignals(onBytes: (src: string, what: string, bytes: Uint8Array) => void): Disposable {
    return this.#hear(
      (src) => subjects.signalsFrom(this.cell, src),
      (src, { subject, data }) => onBytes(src, subjectTail(subject), data),
    );
  }

  /** Signed changes of the directory, of all shards; may be lost. */
  subscribeDirectory(onBytes: (bytes: Uint8Array) => void): Disposable {
    const subscription = this.#nc.subscribe(subjects.directoryAll, { callback: guarded(this.#log, ({ data }) => onBytes(data)) });
    return { [Symbol.dispose]: () => subscription.unsubscribe() };
  }

  /** Stops hearing, answers what was asked, sends what was said, closes. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error('the bus is closed'));
    await Promise.all(this.#consumers.map((each) => each[Symbol.asyncDispose]()));
    for (const each of this.#sources) each[Symbol.dispose]();
    await Promise.all(this.#servers.map((each) => each[Symbol.asyncDispose]()));
    for (const each of this.#answers.values()) each[Symbol.dispose]();
    await this.#watch.close();
  }

  #hear(
    subject: (src: string) => string,
    onMessage: (src: string, message: { readonly subject: string; readonly data: Uint8Array }) => void,
  ): Disposable {
    const sources = new SourceSubscriptions({ nc: this.#nc, subject, onMessage, log: this.#log }, this.#peers);
    this.#sources.push(sources);
    return {
      [Symbol.dispose]: () => {
        const at = this.#sources.indexOf(sources);
        if (at >= 0) this.#sources.splice(at, 1);
        sources[Symbol.dispose]();
      },
    };
  }

  #answersOf(peer: string): PeerAnswers {
    const known = this.#answers.get(peer);
    if (known !== undefined) return known;
    const made = new PeerAnswers({ nc: this.#nc, cell: this.cell, peer });
    this.#answers.set(peer, made);
    return made;
  }

  #others(names: readonly string[]): string[] {
    return [...new Set(names)].filter((name) => name !== this.cell);
  }
}
