// One connection of a device, as docs/protocol.md tells it and no smarter: what came is kept in the order it came,
// nothing is repaired, nothing is sent again.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { ClientFrame, type Entry, ServerFrame, type Welcome } from '@weft/proto/gen/weft/client/v1/client.ts';
import { makeClientEntryId } from '@weft/proto/ids.ts';
import { type RawData, WebSocket } from 'ws';
import { until } from './until.ts';

export type ClientRequest = NonNullable<ClientFrame['request']>;
export type ServerEvent = NonNullable<ServerFrame['event']>;
export type EventCase = ServerEvent['$case'];
export type EventValue<C extends EventCase> = Extract<ServerEvent, { readonly $case: C }>['value'];
export type Encoding = 'proto' | 'json';

/** What an entry is addressed to: a log, or a direct conversation by its other user. */
export type AppendTarget = { readonly log: bigint } | { readonly peer: bigint };

export interface ConnectOptions {
  /** Base URL of a node. */
  readonly url: string;
  readonly encoding?: Encoding;
  /** Over the subprotocol of the encoding. */
  readonly subprotocol?: string;
  /** Of the upgrade. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface HelloOptions {
  readonly token: string;
  readonly device: string;
  readonly resume?: { readonly cursor: Uint8Array; readonly digest: bigint };
}

export interface Closed {
  readonly code: number;
  readonly reason: string;
}

/** A position of a log that this connection was told, by a push or by Accepted in its place. */
export interface Told {
  readonly seq: number;
  readonly clientEntryId: bigint;
  readonly how: 'push' | 'accepted';
  /** Empty for what is no text, and for Accepted: the client knows what it sent. */
  readonly text: string;
}

const answerMsMax = 15_000;

export class RawClient implements AsyncDisposable {
  /** Everything that came, in order. */
  readonly frames: ServerFrame[] = [];
  /** Resolves when the connection has ended, whoever ended it. */
  readonly closed: Promise<Closed>;
  readonly ws: WebSocket;
  readonly encoding: Encoding;
  readonly #waiting = new Map<bigint, (event: ServerEvent | Closed) => void>();
  #welcome: Welcome | undefined;
  #id = 0n;
  #entryIds = Math.floor(Math.random() * 2 ** 22);

  /** An open connection without a hello. Rejects when the upgrade is refused, with the HTTP status in the message. */
  static async connect(options: ConnectOptions): Promise<RawClient> {
    const encoding = options.encoding ?? 'proto';
    const url = `${options.url.replace(/^http/, 'ws')}/v1/socket`;
    const ws = new WebSocket(url, options.subprotocol ?? `weft.v1.${encoding}`, {
      perMessageDeflate: false,
      headers: options.headers ?? {},
    });
    const client = new RawClient(ws, encoding);
    await once(ws, 'open');
    return client;
  }

  private constructor(ws: WebSocket, encoding: Encoding) {
    this.ws = ws;
    this.encoding = encoding;
    this.closed = new Promise((resolve) => {
      ws.on('close', (code, reason) => {
        const closed = { code, reason: reason.toString() };
        for (const settle of this.#waiting.values()) settle(closed);
        this.#waiting.clear();
        resolve(closed);
      });
    });
    ws.on('error', () => undefined);
    ws.on('message', (data: RawData) => this.#received(data as Buffer));
  }

  /** Says hello; throws when anything but Welcome comes. */
  async hello({ token, device, resume }: HelloOptions): Promise<Welcome> {
    this.#welcome = await this.ask({ $case: 'hello', value: { token, device, agent: 'weft-tests', resume, openedAt: 0n } }, 'welcome');
    return this.#welcome;
  }

  get welcome(): Welcome {
    assert.ok(this.#welcome, 'hello was not said');
    return this.#welcome;
  }

  get user(): bigint {
    return this.welcome.user;
  }

  /** An id for a new append. */
  freshEntryId(): bigint {
    return makeClientEntryId(Date.now(), ++this.#entryIds);
  }

  get isOpen(): boolean {
    return this.ws.readyState === WebSocket.OPEN;
  }

  /** Sends a request; resolves with its answer, whatever that is. Rejects when the connection ends first. */
  async request(request: ClientRequest): Promise<ServerEvent> {
    const id = ++this.#id;
    const answered = this.answerTo(id);
    this.sendFrame({ id, request });
    return answered;
  }

  /** Sends a request and expects this kind of answer; fails with what came instead. */
  async ask<C extends EventCase>(request: ClientRequest, expected: C): Promise<EventValue<C>> {
    const event = await this.request(request);
    assert.equal(event.$case, expected, `${request.$case} was answered with ${show(event)}`);
    return event.value as EventValue<C>;
  }

  /** Sends a request and expects a fault; answers its code. */
  async faultOf(request: ClientRequest): Promise<string> {
    return (await this.ask(request, 'fault')).code;
  }

  /** The answer to the request of this id. */
  answerTo(id: bigint): Promise<ServerEvent> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`request ${id} was not answered in ${answerMsMax} ms`)), answerMsMax);
      this.#waiting.set(id, (event) => {
        clearTimeout(timer);
        if ('$case' in event) resolve(event);
        else reject(new Error(`the connection ended with ${event.code} ${event.reason} before request ${id} was answered`));
      });
    });
  }

  sendFrame(frame: ClientFrame): void {
    if (this.encoding === 'proto') this.sendBytes(ClientFrame.encode(frame).finish());
    else this.sendBytes(JSON.stringify(ClientFrame.toJSON(frame)));
  }

  /** One WebSocket message: binary for bytes, text for a string. */
  sendBytes(message: Uint8Array | string): void {
    this.ws.send(message);
  }

  /** Appends a text; resolves with Accepted, Pending or Fault. */
  append(target: AppendTarget, text: string, clientEntryId = this.freshEntryId()): Promise<ServerEvent> {
    return this.request(appendRequest(target, text, clientEntryId));
  }

  /** Appends a text to a log that this cell owns, and expects Accepted. */
  accepted(target: AppendTarget, text: string, clientEntryId = this.freshEntryId()): Promise<EventValue<'accepted'>> {
    return this.ask(appendRequest(target, text, clientEntryId), 'accepted');
  }

  async openDirect(peer: bigint): Promise<bigint> {
    return this.#open({ $case: 'openDirect', value: { peer, clientEntryId: this.freshEntryId() } });
  }

  async createGroup(members: readonly bigint[], membersMax = 0): Promise<bigint> {
    const value = { clientEntryId: this.freshEntryId(), title: 'a group', members: [...members], membersMax };
    return this.#open({ $case: 'createGroup', value });
  }

  /** Says it again under its id while it is told to come later: links of a fabric that has just started may be coming up. */
  async #open(request: ClientRequest): Promise<bigint> {
    let event = await this.request(request);
    await until(`${request.$case} is answered`, async () => {
      if (event.$case !== 'fault' || event.value.retry !== 'RETRY_LATER') return true;
      event = await this.request(request);
      return false;
    });
    assert.equal(event.$case, 'opened', `${request.$case} was answered with ${show(event)}`);
    return (event.value as EventValue<'opened'>).log;
  }

  /** Answers Done, Pending or Fault. */
  changeMembers(log: bigint, change: { readonly add?: readonly bigint[]; readonly remove?: readonly bigint[] }): Promise<ServerEvent> {
    const value = { log, clientEntryId: this.freshEntryId(), add: [...(change.add ?? [])], remove: [...(change.remove ?? [])] };
    return this.request({ $case: 'changeMembers', value });
  }

  /** Forwards from a seq, or backwards before one; the newest page when neither is given. */
  page(log: bigint, range: { from?: bigint; before?: bigint; limit?: number } = {}): Promise<EventValue<'page'>> {
    const value = { log, from: range.from ?? 0n, before: range.before ?? 0n, limit: range.limit ?? 0 };
    return this.ask({ $case: 'readHistory', value }, 'page');
  }

  /** Every entry of a log from the first visible one on, read in pages. */
  async history(log: bigint, limit = 200): Promise<Entry[]> {
    const entries: Entry[] = [];
    for (let from = 1n; ; ) {
      const page = await this.page(log, { from, limit });
      entries.push(...page.entries);
      const last = page.entries.at(-1);
      if (page.end || !last) return entries;
      from = last.seq + 1n;
    }
  }

  /** Values of all frames of one kind so far, answers and pushes. */
  all<C extends EventCase>(kind: C): EventValue<C>[] {
    return this.frames.flatMap(({ event }) => (event?.$case === kind ? [event.value as EventValue<C>] : []));
  }

  /** Waits for the next frame of a kind, counted from the n-th on; answers that frame's value. */
  async next<C extends EventCase>(
    kind: C,
    options: { from?: number; where?: (value: EventValue<C>) => boolean } = {},
  ): Promise<EventValue<C>> {
    const { from = 0, where = () => true } = options;
    let found: EventValue<C> | undefined;
    await until(`a ${kind} frame`, () => {
      found = this.all(kind).slice(from).find(where);
      return found !== undefined;
    });
    return found as unknown as EventValue<C>;
  }

  /** All entries that were pushed, over all logs, in the order they came. */
  pushed(): Entry[] {
    return this.all('push').flatMap((push) => push.entries);
  }

  /** Positions of one log in the order this connection was told them: pushes, and Accepted in the place of a push. */
  told(log: bigint): Told[] {
    return this.frames.flatMap(({ event }): Told[] => {
      if (event?.$case === 'accepted' && event.value.log === log)
        return [{ seq: Number(event.value.seq), clientEntryId: event.value.clientEntryId, how: 'accepted', text: '' }];
      if (event?.$case !== 'push') return [];
      return event.value.entries
        .filter((entry) => entry.log === log)
        .map((entry) => ({ seq: Number(entry.seq), clientEntryId: entry.clientEntryId, how: 'push', text: textOf(entry) }));
    });
  }

  /** Waits until the log was told up to this seq on this connection. */
  async toldUpTo(log: bigint, seq: number): Promise<void> {
    await until(`seq ${seq} of ${log}`, () => this.told(log).some((told) => told.seq >= seq));
  }

  close(): void {
    this.ws.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.ws.terminate();
    await this.closed;
  }

  #received(data: Buffer): void {
    const frame = this.encoding === 'proto' ? ServerFrame.decode(data) : ServerFrame.fromJSON(JSON.parse(data.toString('utf8')));
    this.frames.push(frame);
    const settle = this.#waiting.get(frame.re);
    if (!settle || !frame.event) return;
    this.#waiting.delete(frame.re);
    settle(frame.event);
  }
}

export function appendRequest(target: AppendTarget, text: string, clientEntryId: bigint): ClientRequest {
  const to = 'log' in target ? { $case: 'log' as const, value: target.log } : { $case: 'peer' as const, value: target.peer };
  return { $case: 'append', value: { target: to, clientEntryId, followedBy: [], content: { $case: 'text', value: text } } };
}

const textOf = (entry: Entry): string => (entry.body?.$case === 'text' ? entry.body.value : '');

/** For messages of assertions. */
export const show = (event: ServerEvent): string =>
  `${event.$case} ${JSON.stringify(event.value, (_key, value) => (typeof value === 'bigint' ? String(value) : value)).slice(0, 300)}`;
