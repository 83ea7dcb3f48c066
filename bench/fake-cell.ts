// A stand-in for a cell, for the tests of the load generator and the replay only: logs in memory behind the real wire
// protocol. Its access token is the user's id, and whoever signs up is taken. It misbehaves on demand.

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ClientFrame, type Entry, type Head, ServerFrame } from '@weft/proto/gen/weft/client/v1/client.ts';
import { type Digest, digestValue, moveHead } from '@weft/proto/heads-digest.ts';
import { type WebSocket, WebSocketServer } from 'ws';

type Event = NonNullable<ServerFrame['event']>;

interface FakeLog {
  readonly log: bigint;
  readonly members: readonly bigint[];
  readonly entries: Entry[];
}

/** What it does wrong. */
export interface Mischief {
  /** Pushes of entries with these seqs are not sent. */
  readonly dropSeqs?: readonly number[];
  /** Every n-th append is answered by a fault that says later, once. */
  readonly busyEvery?: number;
  /** In pages: the entry with this seq is left out of the numbering, is there twice, or stands before its predecessor. */
  readonly history?: { readonly what: 'lost' | 'doubled' | 'swapped'; readonly seq: number };
}

const epoch = 5n;

export class FakeCell implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Map<bigint, WebSocket>();
  readonly #users = new WeakMap<WebSocket, bigint>();
  readonly #logs = new Map<bigint, FakeLog>();
  readonly #directs = new Map<string, bigint>();
  readonly #decided = new Map<string, Entry>();
  readonly #mischief: Mischief;
  readonly #busy = new Set<string>();
  #appends = 0;
  #nextLog = 1_000n;

  private constructor(server: Server, mischief: Mischief) {
    this.#server = server;
    this.#mischief = mischief;
    const sockets = new WebSocketServer({ server, path: '/v1/socket', handleProtocols: () => 'weft.v1.proto' });
    sockets.on('connection', (socket) => {
      socket.on('message', (bytes: Buffer) => this.#frame(socket, ClientFrame.decode(bytes)));
      socket.on('error', () => socket.terminate());
    });
  }

  static async start(mischief: Mischief = {}): Promise<FakeCell> {
    const server = createServer((request, response) => {
      const user = String(nextUser++);
      const session = {
        user,
        handle: user,
        cell: 'fake',
        session: '1',
        self_log: '1',
        access_token: user,
        access_ends: Date.now() + 600_000,
        refresh_token: user,
      };
      request.resume();
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ ...session, urls: [`http://${request.headers.host}`] }));
    });
    let nextUser = 500;
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    return new FakeCell(server, mischief);
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1/socket`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets.values()) socket.terminate();
    this.#server.closeAllConnections();
    await new Promise((resolve) => {
      this.#server.close(resolve);
    });
  }

  #frame(socket: WebSocket, { id, request }: ClientFrame): void {
    const answer = (event: Event): void => send(socket, id, event);
    const user = this.#users.get(socket) ?? 0n;
    switch (request?.$case) {
      case 'hello':
        return this.#hello(socket, id, BigInt(request.value.token));
      case 'openDirect':
        return answer({ $case: 'opened', value: { log: this.#direct(user, request.value.peer).log } });
      case 'createGroup':
        return answer({ $case: 'opened', value: { log: this.#create([user, ...request.value.members]).log } });
      case 'append': {
        const { target, clientEntryId, content } = request.value;
        const log = target?.$case === 'peer' ? this.#direct(user, target.value) : this.#logs.get(target?.value ?? 0n);
        if (log === undefined || content === undefined) throw new Error('an append to no log');
        return answer(this.#append(log, { author: user, clientEntryId, body: content }));
      }
      case 'readHistory': {
        const { log, from, before, limit } = request.value;
        const all = this.#spoilt(this.#logs.get(log)?.entries ?? []);
        const below = before === 0n ? all : all.filter(({ seq }) => seq < before);
        const entries = from > 0n ? all.filter(({ seq }) => seq >= from).slice(0, limit) : below.slice(-limit);
        return answer({
          $case: 'page',
          value: {
            log,
            head: this.#head(log),
            entries,
            visibleFrom: 1n,
            end: from > 0n ? entries.at(-1) === all.at(-1) : entries[0]?.seq === 1n,
            pending: [],
            epochs: [],
          },
        });
      }
      case 'setMark':
        return answer({ $case: 'done', value: {} });
      default:
        throw new Error(`the fake cell does not know ${request?.$case}`);
    }
  }

  #spoilt(entries: readonly Entry[]): readonly Entry[] {
    const { what, seq } = this.#mischief.history ?? { what: 'none', seq: 0 };
    const at = entries.findIndex((entry) => Number(entry.seq) === seq);
    const [before, one] = [entries[at - 1], entries[at]];
    if (before === undefined || one === undefined) return entries;
    const middle = { lost: [before], doubled: [before, one, one], swapped: [one, before], none: [] }[what];
    const all = [...entries.slice(0, at - 1), ...middle, ...entries.slice(at + 1)];
    return all.map((entry, place) => ({ ...entry, seq: BigInt(place + 1) }));
  }

  #hello(socket: WebSocket, id: bigint, user: bigint): void {
    this.#sockets.set(user, socket);
    this.#users.set(socket, user);
    const logs = [...this.#logs.values()].filter(({ members }) => members.includes(user));
    const digest: Digest = { hi: 0, lo: 0 };
    for (const { log, entries } of logs) moveHead(digest, { log, epoch }, 0, entries.length);
    const value = {
      user,
      session: 1n,
      cell: 'fake',
      node: 'a',
      limits: undefined,
      heartbeatMs: 10_000,
      complete: true,
      cursor: new Uint8Array([1]),
      tokenEnds: 0n,
      selfLog: 1n,
    };
    send(socket, id, { $case: 'welcome', value: { ...value, heads: logs.map(({ log }) => this.#head(log)), digest: digestValue(digest) } });
  }

  #head(log: bigint): Head {
    const length = BigInt(this.#logs.get(log)?.entries.length ?? 0);
    return { log, epoch, seq: length, ord: length, ts: 1n };
  }

  #create(members: readonly bigint[]): FakeLog {
    const log = { log: this.#nextLog++, members, entries: [] };
    this.#logs.set(log.log, log);
    return log;
  }

  #direct(a: bigint, b: bigint): FakeLog {
    const key = a < b ? `${a} ${b}` : `${b} ${a}`;
    const known = this.#logs.get(this.#directs.get(key) ?? 0n);
    if (known !== undefined) return known;
    const made = this.#create([a, b]);
    this.#directs.set(key, made.log);
    return made;
  }

  #append(to: FakeLog, what: Pick<Entry, 'author' | 'clientEntryId' | 'body'>): Event {
    const key = `${what.author}/${what.clientEntryId}`;
    this.#appends += 1;
    const every = this.#mischief.busyEvery;
    if (every !== undefined && this.#appends % every === 0 && !this.#busy.has(key)) {
      this.#busy.add(key);
      return { $case: 'fault', value: { code: 'busy', text: 'a queue is full', retry: 'RETRY_LATER', afterMs: 10 } };
    }
    let entry = this.#decided.get(key);
    if (entry === undefined) {
      const seq = BigInt(to.entries.length + 1);
      entry = { log: to.log, epoch, seq, ts: 1n, ord: seq, flags: 0, ...what };
      to.entries.push(entry);
      this.#decided.set(key, entry);
      if (this.#mischief.dropSeqs?.includes(Number(seq)) !== true) this.#push(to, entry);
    }
    const { log, seq, ts, clientEntryId, ord } = entry;
    return { $case: 'accepted', value: { log, epoch, seq, ts, clientEntryId, ord } };
  }

  #push(to: FakeLog, entry: Entry): void {
    for (const member of to.members) {
      const socket = this.#sockets.get(member);
      if (member !== entry.author && socket !== undefined) send(socket, 0n, { $case: 'push', value: { entries: [entry] } });
    }
  }
}

function send(socket: WebSocket, re: bigint, event: Event): void {
  if (socket.readyState === socket.OPEN) socket.send(ServerFrame.encode({ re, event }).finish());
}
