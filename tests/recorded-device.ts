// A device as docs/protocol.md tells it to behave: reconnects to whichever node answers, resumes, sends unanswered appends
// again first and in order, compares digests, repairs holes. Everything it sends and hears goes into one history.
import { ClientFrame, type Entry, type Head, type ReadHistory, ServerFrame, type Welcome } from '@weft/proto/gen/weft/client/v1/client.ts';
import { bucketCount, bucketOf, type Digest, digestValue, toggleHead } from '@weft/proto/heads-digest.ts';
import { makeClientEntryId } from '@weft/proto/ids.ts';
import { systemClock } from '@weft/runtime/clock.ts';
import { type RawData, WebSocket } from 'ws';
import type { DeviceRecorder, Wanted } from './history-recorder.ts';
import { type AppendTarget, appendRequest, type ClientRequest, type EventCase, type EventValue, type ServerEvent } from './raw-client.ts';
import type { Answer, Line, Unanswered } from './recorded-line.ts';

export interface RecordedDeviceOptions {
  readonly name: string;
  readonly user: bigint;
  readonly cell: string;
  /** The name the token was issued for. */
  readonly device: string;
  readonly token: string;
  /** Base URLs of nodes, tried in turn; the first first. */
  readonly nodes: readonly string[];
  readonly recorder: DeviceRecorder;
}

const inFlightMax = 24;
const askMsMax = 8_000;
/** What is beyond the next entry is held this long before it is asked for. */
const holdMs = 300;
const pageEntries = 200;

export class RecordedDevice implements AsyncDisposable {
  readonly options: RecordedDeviceOptions;
  readonly recorder: DeviceRecorder;
  /** Logs this user is in, and the epoch last heard of each. */
  readonly logs = new Map<bigint, bigint>();
  /** Wire events in the order they came, for tests that look at one kind. */
  readonly refusedIds = new Set<bigint>();
  readonly counts = { connects: 0, digestRepairs: 0, heartbeats: 0, accepted: 0, pending: 0, faults: 0 };
  readonly #lines = new Map<bigint, Line>();
  readonly #appends = new Map<bigint, { line: Line; item: Unanswered }>();
  readonly #asks = new Map<bigint, (event: ServerEvent | undefined) => void>();
  readonly #fetching = new Set<bigint>();
  #ws: WebSocket | undefined;
  #greeted = false;
  #closed = false;
  #node = 0;
  #id = 0n;
  #entryIds = Math.floor(Math.random() * 2 ** 22);
  #cursor: Uint8Array | undefined;
  #comparing = false;
  #welcome: Welcome | undefined;

  constructor(options: RecordedDeviceOptions) {
    this.options = options;
    this.recorder = options.recorder;
    this.#connect();
  }

  get user(): bigint {
    return this.options.user;
  }

  get isLive(): boolean {
    return this.#greeted;
  }

  /** The last Welcome. */
  get welcome(): Welcome | undefined {
    return this.#welcome;
  }

  /** Appends without an answer, sent or not. */
  get waiting(): number {
    let count = 0;
    for (const line of this.#lines.values()) count += line.waiting.length;
    return count;
  }

  freshEntryId(): bigint {
    return makeClientEntryId(Date.now(), ++this.#entryIds);
  }

  /** Appends; resolves with the final answer of this cell, over as many connections as it takes. */
  append(target: AppendTarget, text: string, clientEntryId = this.freshEntryId()): Promise<Answer> {
    const key = 'log' in target ? target.log : target.peer;
    const line: Line = this.#lines.get(key) ?? { target, waiting: [], faulted: false };
    this.#lines.set(key, line);
    return new Promise((answered) => {
      line.waiting.push({ clientEntryId, text, inFlight: false, answered });
      this.#pump(line);
    });
  }

  /** One request on the connection as it is; undefined when it was not answered. */
  ask(request: ClientRequest): Promise<ServerEvent | undefined> {
    if (!this.#greeted) return Promise.resolve(undefined);
    const id = ++this.#id;
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#asks.get(id)?.(undefined), askMsMax);
      this.#asks.set(id, (event) => {
        clearTimeout(timer);
        this.#asks.delete(id);
        resolve(event);
      });
      this.#send({ id, request });
    });
  }

  /** Asks again and again until this kind of answer comes. */
  async insist<C extends EventCase>(request: ClientRequest, expected: C): Promise<EventValue<C>> {
    const endsMs = performance.now() + 30_000;
    for (;;) {
      const event = await this.ask(request);
      if (event?.$case === expected) return event.value as EventValue<C>;
      const says = event?.$case === 'fault' ? event.value.code : (event?.$case ?? 'nothing');
      if (performance.now() > endsMs || (event?.$case === 'fault' && event.value.retry === 'RETRY_NEVER'))
        throw new Error(`${this.options.name}: ${request.$case} was answered with ${says}`);
      await systemClock.sleep(100);
    }
  }

  readHistory(value: ReadHistory): Promise<EventValue<'page'>> {
    return this.insist({ $case: 'readHistory', value }, 'page');
  }

  /** From the next connection on these nodes; the present one is cut. */
  moveTo(nodes: readonly string[]): void {
    Object.assign(this.options, { nodes });
    this.#node = -1;
    this.#ws?.terminate();
  }

  /** Another session of the same device; the present connection is cut. */
  useToken(token: string): void {
    Object.assign(this.options, { token });
    this.#ws?.terminate();
  }

  /** Cuts the connection; the device comes back by itself. */
  cut(): void {
    this.#ws?.terminate();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    const ws = this.#ws;
    if (!ws || ws.readyState === WebSocket.CLOSED) return;
    await new Promise<void>((resolve) => {
      ws.once('close', () => resolve());
      ws.terminate();
    });
  }

  #connect(): void {
    const { nodes } = this.options;
    const url = nodes[Math.max(0, this.#node) % nodes.length] as string;
    const ws = new WebSocket(`${url.replace(/^http/, 'ws')}/v1/socket`, 'weft.v1.proto', {
      perMessageDeflate: false,
      handshakeTimeout: 3_000,
    });
    this.#ws = ws;
    ws.on('open', () => this.#hello());
    ws.on('message', (data: RawData) => this.#received(ServerFrame.decode(data as Buffer)));
    ws.on('error', () => undefined);
    ws.on('close', () => this.#lost());
  }

  #hello(): void {
    const { token, device } = this.options;
    const resume = this.#cursor ? { cursor: this.#cursor, digest: digestValue(this.#digest(() => true)) } : undefined;
    const id = ++this.#id;
    this.#asks.set(id, (event) => {
      this.#asks.delete(id);
      if (event?.$case !== 'welcome') return void this.#ws?.terminate();
      this.#greeted = true;
      this.counts.connects += 1;
      for (const line of this.#lines.values()) this.#pump(line);
    });
    this.#send({ id, request: { $case: 'hello', value: { token, device, agent: 'weft-tests', resume, openedAt: 0n } } });
  }

  #lost(): void {
    if (this.#greeted) this.recorder.disconnected();
    this.#greeted = false;
    this.#appends.clear();
    for (const settle of [...this.#asks.values()]) settle(undefined);
    for (const line of this.#lines.values()) {
      line.faulted = false;
      for (const item of line.waiting) item.inFlight = false;
    }
    this.#node += 1;
    if (!this.#closed) setTimeout(() => this.#closed || this.#connect(), 50 + Math.random() * 200);
  }

  #send(frame: ClientFrame): void {
    this.recorder.outgoing(frame);
    if (this.#ws?.readyState === WebSocket.OPEN) this.#ws.send(ClientFrame.encode(frame).finish());
  }

  #pump(line: Line): void {
    if (!this.#greeted || line.faulted) return;
    for (const item of line.waiting) {
      if (this.#appends.size >= inFlightMax) return;
      if (item.inFlight) continue;
      item.inFlight = true;
      const id = ++this.#id;
      this.#appends.set(id, { line, item });
      this.#send({ id, request: appendRequest(line.target, item.text, item.clientEntryId) });
    }
  }

  #received(frame: ServerFrame): void {
    const { re, event } = frame;
    if (event === undefined) return;
    if (event.$case === 'welcome') this.recorder.connected();
    this.#note(event);
    const wanted = this.recorder.incoming(frame);
    const appended = this.#appends.get(re);
    if (appended) {
      this.#appends.delete(re);
      this.#answered(appended, event);
    } else this.#asks.get(re)?.(event);
    this.#fetchAll(wanted, event.$case === 'push' || event.$case === 'accepted' ? holdMs : 0);
    if (event.$case === 'heartbeat') this.#heartbeat(event.value.digest, event.value.cursor);
    if (event.$case === 'resync') void this.#compare();
  }

  /** Which logs there are, and their epochs. */
  #note(event: ServerEvent): void {
    const heads = (list: readonly (Head | undefined)[]): void => {
      for (const head of list) if (head) this.#noteEpoch(head.log, head.epoch);
    };
    if (event.$case === 'welcome') {
      this.#welcome = event.value;
      this.#cursor = event.value.cursor;
      heads(event.value.heads);
    } else if (event.$case === 'heads') heads(event.value.logs.map(({ head }) => head));
    else if (event.$case === 'refused') this.refusedIds.add(event.value.clientEntryId);
    else if (event.$case === 'push' || event.$case === 'page') for (const entry of event.value.entries) this.#noteEntry(entry);
    else if (event.$case === 'accepted' && this.logs.has(event.value.log)) this.#noteEpoch(event.value.log, event.value.epoch);
    else if (event.$case === 'truncated' && this.logs.has(event.value.log)) this.#noteEpoch(event.value.log, event.value.epoch);
  }

  /** The current epoch: an entry of an older one may still be fetched. */
  #noteEpoch(log: bigint, epoch: bigint): void {
    if (epoch > (this.logs.get(log) ?? -1n)) this.logs.set(log, epoch);
  }

  /** Entries of the self log tell of joins, departures and refusals. */
  #noteEntry({ log, epoch, seq, body }: Entry): void {
    if (Number(seq) <= this.recorder.head(log)) return;
    if (this.logs.has(log) || log === this.user) this.#noteEpoch(log, epoch);
    if (body?.$case === 'logJoined') this.logs.set(body.value.log, this.logs.get(body.value.log) ?? 0n);
    else if (body?.$case === 'logLeft') this.logs.delete(body.value.log);
    else if (body?.$case === 'appendRefused') this.refusedIds.add(body.value.clientEntryId);
  }

  #answered({ line, item }: { line: Line; item: Unanswered }, event: ServerEvent): void {
    if (event.$case === 'fault' && event.value.retry !== 'RETRY_NEVER') {
      this.counts.faults += 1;
      item.inFlight = false;
      line.faulted = true;
      if (!line.waiting.some((each) => each.inFlight)) this.#pumpLater(line, event.value.afterMs || 200);
      return;
    }
    line.waiting.splice(line.waiting.indexOf(item), 1);
    if (event.$case === 'accepted') {
      this.counts.accepted += 1;
      item.answered({ how: 'accepted', seq: Number(event.value.seq), log: event.value.log });
    } else if (event.$case === 'pending') {
      this.counts.pending += 1;
      item.answered({ how: 'pending' });
    } else item.answered({ how: 'refused', code: event.$case === 'fault' ? event.value.code : event.$case });
    if (line.faulted && !line.waiting.some((each) => each.inFlight)) this.#pumpLater(line, 200);
    else for (const each of this.#lines.values()) this.#pump(each);
  }

  #pumpLater(line: Line, ms: number): void {
    const ws = this.#ws;
    setTimeout(() => {
      if (ws !== this.#ws) return;
      line.faulted = false;
      this.#pump(line);
    }, ms);
  }

  #fetchAll(wanted: readonly Wanted[], afterMs: number): void {
    for (const { log } of wanted) {
      if (this.#fetching.has(log)) continue;
      this.#fetching.add(log);
      void this.#fetch(log, afterMs).finally(() => this.#fetching.delete(log));
    }
  }

  /** Forwards from the last entry shown, until the end of the log. */
  async #fetch(log: bigint, afterMs: number): Promise<void> {
    const before = this.recorder.head(log);
    if (afterMs > 0) await systemClock.sleep(afterMs);
    else await Promise.resolve();
    if (afterMs > 0 && this.recorder.head(log) > before) return this.#fetchIfHoled(log);
    for (;;) {
      const from = BigInt(this.recorder.head(log) + 1);
      const event = await this.ask({ $case: 'readHistory', value: { log, from, before: 0n, limit: pageEntries } });
      // A page may tell that an epoch began below what it was asked for.
      const isWhole = this.recorder.head(log) >= Number(from) - 1;
      if (event?.$case !== 'page' || (isWhole && (event.value.end || event.value.entries.length === 0))) return;
    }
  }

  /** The hole was filled while it was waited; another one may have come behind it. */
  async #fetchIfHoled(log: bigint): Promise<void> {
    const from = BigInt(this.recorder.head(log) + 1);
    await this.ask({ $case: 'readHistory', value: { log, from, before: 0n, limit: pageEntries } });
  }

  #heartbeat(digest: bigint, cursor: Uint8Array): void {
    this.counts.heartbeats += 1;
    if (digest === digestValue(this.#digest(() => true))) this.#cursor = cursor;
    else void this.#compare();
  }

  #digest(which: (log: bigint) => boolean): Digest {
    const digest = { hi: 0, lo: 0 };
    for (const [log, epoch] of this.logs) if (which(log)) toggleHead(digest, log, epoch, this.recorder.head(log));
    return digest;
  }

  async #compare(): Promise<void> {
    if (this.#comparing) return;
    this.#comparing = true;
    try {
      const event = await this.ask({ $case: 'readBuckets', value: {} });
      if (event?.$case !== 'buckets') return;
      const buckets = Array.from({ length: bucketCount }, (_, i) => i).filter(
        (i) => event.value.digests[i] !== digestValue(this.#digest((log) => bucketOf(log) === i)),
      );
      if (buckets.length === 0) return;
      this.counts.digestRepairs += 1;
      // What is missing in the heads that come is fetched like any other.
      await this.ask({ $case: 'readHeads', value: { buckets } });
    } finally {
      this.#comparing = false;
    }
  }
}
