// A cell in memory for tests of clients: the protocol without storage, with faults on demand, under a clock the test moves.

import { chainStart } from '@weft/proto/chain.ts';
import {
  type Append,
  ClientFrame,
  type Entry,
  type Fault,
  type LogKind,
  type Page,
  type ReadHistory,
  ServerFrame,
  type SignedHead,
} from '@weft/proto/gen/weft/client/v1/client.ts';
import { bucketCount, bucketOf, type Digest, digestValue, toggleHead } from '@weft/proto/heads-digest.ts';

import { appendTo, type FakeLog, headKid, signedHeadOf } from './fake-log.ts';
import type { Clock, Http, HttpAnswer, SocketFactory, SocketHandlers } from './ports.ts';
import type { Reply } from './wire.ts';

interface Account {
  readonly id: bigint;
  readonly handle: string;
  readonly selfLog: bigint;
}

interface Connection {
  readonly handlers: SocketHandlers;
  user: Account | undefined;
  open: boolean;
}

export class FakeCell {
  readonly clock: Clock;
  readonly logs = new Map<bigint, FakeLog>();
  readonly #accounts = new Map<string, Account>();
  readonly #connections = new Set<Connection>();
  /** Every append that arrived, in order. */
  readonly appends: Append[] = [];
  /** What the cell answers instead of deciding. */
  answer: (append: Append) => Fault | 'pending' | undefined = () => undefined;
  /** What becomes of a push on its way, and what the cell reads from its store for a page. */
  pushes: (entry: Entry) => readonly Entry[] = (entry) => [entry];
  reads: (log: FakeLog) => readonly Entry[] = ({ entries }) => entries;
  /** What becomes of a page on its way. */
  pages: (entries: readonly Entry[]) => Entry[] = (entries) => [...entries];
  /** False: neither owner nor witness can be asked. */
  answersHeads = true;
  /** True: a page is not to be had now. */
  refuses: (asked: ReadHistory) => boolean = () => false;
  /** The owner's word on a log, or the witness's. */
  speaks: (log: FakeLog, witness: boolean) => SignedHead = signedHeadOf;
  /** True: this push is lost. */
  loses: () => boolean = () => false;
  up = true;
  latencyMs = 1;
  refreshes = 0;
  tokenMs = 600_000;
  #nextId = 1_000n;
  readonly #faulted = new Map<string, bigint>();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  readonly http: Http = async ({ method, url, body }): Promise<HttpAnswer> => {
    const { pathname } = new URL(url);
    if (!this.up) throw new Error('connection refused');
    const fields = (body ?? {}) as Record<string, string>;
    if (pathname === '/v1/placement') return { status: 200, body: { cell: 'eu-1', urls: ['http://a', 'http://b'] } };
    if (method === 'POST' && pathname === '/v1/accounts') return this.#signUp(fields.handle ?? '');
    if (pathname === '/v1/sessions/refresh') {
      this.refreshes += 1;
      return { status: 200, body: this.#session(fields.refresh_token ?? '') };
    }
    if (pathname === '/.well-known/jwks.json') return { status: 200, body: { keys: [{ kid: headKid, x: '', weft_cell: 0 }] } };
    if (pathname === '/v1/sessions') return { status: 200, body: this.#session(fields.handle ?? '') };
    return this.#find(decodeURIComponent(pathname.split('/').at(-1) ?? ''));
  };

  readonly socket: SocketFactory = (_url, _protocol, handlers) => {
    const connection: Connection = { handlers, user: undefined, open: true };
    this.#connections.add(connection);
    this.#later(() => (this.up ? handlers.opened() : this.#close(connection, 1006)));
    return {
      send: (data) => this.#later(() => connection.open && this.#receive(connection, ClientFrame.decode(data as Uint8Array))),
      close: () => this.#later(() => this.#close(connection, 1000)),
    };
  };

  /** Cuts every connection. */
  cut(code = 1006): void {
    for (const connection of [...this.#connections]) this.#close(connection, code);
  }

  beat(): void {
    for (const connection of this.#connections) {
      if (connection.user === undefined) continue;
      const heartbeat = { digest: this.#digest(connection.user.id), cursor: new Uint8Array([1]), now: BigInt(this.clock.now()) };
      this.#say(connection, 0n, { $case: 'heartbeat', value: heartbeat });
    }
  }

  push(handle: string, push: Reply): void {
    for (const connection of this.#connections) if (connection.user?.handle === handle) this.#say(connection, 0n, push);
  }

  texts(log: bigint): string[] {
    return (this.logs.get(log)?.entries ?? []).flatMap(({ body }) => (body?.$case === 'text' ? [body.value] : []));
  }

  user(handle: string): bigint {
    return this.#accounts.get(handle)?.id ?? 0n;
  }

  /** Puts an entry into a log, as the owner would. */
  add(log: bigint, author: bigint, body: Entry['body'], clientEntryId = this.#newId()): Entry {
    const to = this.#logOf(log);
    const entry = appendTo(to, { ts: BigInt(this.clock.now()), author, clientEntryId, body });
    for (const connection of this.#connections) {
      const user = connection.user?.id;
      const isAuthors = user === author && body?.$case === 'text' && this.#replying === connection;
      if (user !== undefined && to.members.includes(user) && !isAuthors && !this.loses()) {
        for (const pushed of this.pushes(entry)) this.#say(connection, 0n, { $case: 'push', value: { entries: [pushed] } });
      }
    }
    return entry;
  }

  #logOf(id: bigint): FakeLog {
    const log = this.logs.get(id);
    if (log === undefined) throw new Error(`no log ${id}`);
    return log;
  }

  #replying: Connection | undefined;

  #signUp(handle: string): HttpAnswer {
    if (this.#accounts.has(handle)) return { status: 409, body: { code: 'handle_taken', retry: 'never' } };
    const account = { id: this.#newId(), handle, selfLog: this.#newId() };
    this.#accounts.set(handle, account);
    this.logs.set(account.selfLog, {
      id: account.selfLog,
      kind: 'LOG_KIND_SELF',
      entries: [],
      members: [account.id],
      epoch: 1n,
      hash: chainStart,
    });
    return { status: 201, body: this.#session(handle) };
  }

  #session(handle: string): unknown {
    const account = this.#accounts.get(handle);
    return {
      user: String(account?.id),
      handle,
      cell: 'eu-1',
      session: '5',
      self_log: String(account?.selfLog),
      access_token: handle,
      access_ends: this.clock.now() + this.tokenMs,
      refresh_token: handle,
      urls: ['http://a', 'http://b'],
    };
  }

  #find(who: string): HttpAnswer {
    const account = [...this.#accounts.values()].find(({ id, handle }) => handle === who || String(id) === who);
    if (account === undefined) return { status: 404, body: { code: 'unknown_user', retry: 'never' } };
    return { status: 200, body: { user: String(account.id), handle: account.handle, cell: 'eu-1', urls: ['http://a', 'http://b'] } };
  }

  #receive(connection: Connection, { id, request }: ClientFrame): void {
    if (request === undefined) return;
    if (request.$case === 'hello') {
      connection.user = this.#accounts.get(request.value.token);
      return this.#say(connection, id, this.#welcome(connection.user));
    }
    if (connection.user === undefined) return;
    this.#replying = connection;
    this.#say(connection, id, this.#decide(connection.user, request));
    this.#replying = undefined;
  }

  #decide(user: Account, request: NonNullable<ClientFrame['request']>): Reply {
    switch (request.$case) {
      case 'append':
        return this.#append(user, request.value);
      case 'openDirect':
        return { $case: 'opened', value: { log: this.direct(user.id, request.value.peer) } };
      case 'createGroup':
        return { $case: 'opened', value: { log: this.#open('LOG_KIND_GROUP', [user.id, ...request.value.members], request.value.title) } };
      case 'readHistory':
        if (this.refuses(request.value)) return { $case: 'fault', value: { code: 'busy', text: '', retry: 'RETRY_LATER', afterMs: 0 } };
        return { $case: 'page', value: this.#page(request.value) };
      case 'readBuckets':
        return { $case: 'buckets', value: { digests: this.#buckets(user.id) } };
      case 'readHeads':
        return { $case: 'heads', value: { end: true, logs: this.#infos(user.id, request.value.buckets) } };
      case 'listLogs':
        return { $case: 'heads', value: { end: true, logs: this.#infos(user.id) } };
      case 'readSignedHead':
        if (!this.answersHeads) return { $case: 'fault', value: { code: 'peer_away', text: '', retry: 'RETRY_LATER', afterMs: 0 } };
        return { $case: 'signedHead', value: this.speaks(this.#logOf(request.value.log), request.value.witness) };
      case 'setMark': {
        const { log, kind, epoch, seq } = request.value;
        for (const connection of this.#connections) {
          if (connection.user === undefined || !this.logs.get(log)?.members.includes(connection.user.id)) continue;
          this.#say(connection, 0n, { $case: 'markMoved', value: { log, user: user.id, kind, epoch, seq } });
        }
        return { $case: 'done', value: {} };
      }
      default:
        return { $case: 'done', value: {} };
    }
  }

  /** The direct conversation of two users, opened when it is not. */
  direct(a: bigint, b: bigint): bigint {
    for (const log of this.logs.values()) {
      if (log.kind === 'LOG_KIND_DIRECT' && log.members.includes(a) && log.members.includes(b)) return log.id;
    }
    return this.#open('LOG_KIND_DIRECT', [a, b], '');
  }

  #open(kind: LogKind, members: bigint[], title: string): bigint {
    const log: FakeLog = { id: this.#newId(), kind, entries: [], members, epoch: 1n, hash: chainStart };
    this.logs.set(log.id, log);
    const wire = members.map((user) => ({ user, home: 1, from: 1n }));
    for (const user of members) {
      const self = [...this.#accounts.values()].find(({ id }) => id === user)?.selfLog;
      const peer = kind === 'LOG_KIND_DIRECT' ? (members.find((other) => other !== user) ?? 0n) : 0n;
      if (self !== undefined) this.add(self, user, { $case: 'logJoined', value: { log: log.id, kind, peer, from: 1n } });
    }
    this.add(log.id, members[0] ?? 0n, { $case: 'created', value: { kind, title, members: wire, membersMax: 1_000 } });
    return log.id;
  }

  #append(user: Account, append: Append): Reply {
    this.appends.push(append);
    const { target, clientEntryId, content } = append;
    const log = target?.$case === 'peer' ? this.direct(user.id, target.value) : (target?.value ?? 0n);
    const known = this.logs.get(log)?.entries.find((entry) => entry.author === user.id && entry.clientEntryId === clientEntryId);
    // Delivery rule R8: after a fault that passes, nothing later is decided before that entry comes again.
    const lane = `${user.id} ${log}`;
    const faulted = this.#faulted.get(lane);
    if (faulted !== undefined && faulted !== clientEntryId) {
      return { $case: 'fault', value: { code: 'earlier_faulted', text: '', retry: 'RETRY_LATER', afterMs: 0 } };
    }
    this.#faulted.delete(lane);
    const answer = known === undefined ? this.answer(append) : undefined;
    if (typeof answer === 'object' && answer.retry === 'RETRY_LATER') this.#faulted.set(lane, clientEntryId);
    if (answer === 'pending') return { $case: 'pending', value: { log, clientEntryId } };
    if (answer !== undefined) return { $case: 'fault', value: answer };
    const { epoch, seq, ts, ord } = known ?? this.add(log, user.id, content, clientEntryId);
    return { $case: 'accepted', value: { log, epoch, seq, ts, clientEntryId, ord } };
  }

  #page({ log, from, before, limit }: ReadHistory): Page {
    const of = this.logs.get(log);
    const all = of === undefined ? [] : this.reads(of);
    const older = before === 0n ? all : all.filter((entry) => entry.seq < before);
    const entries = from > 0n ? all.filter((entry) => entry.seq >= from).slice(0, limit) : older.slice(-limit);
    const end = from > 0n ? entries.at(-1)?.seq === all.at(-1)?.seq || entries.length === 0 : entries.length === older.length;
    return { log, head: this.#head(of), entries: this.pages(entries), visibleFrom: of?.visibleFrom ?? 1n, end, pending: [], epochs: [] };
  }

  #welcome(user: Account | undefined): Reply {
    const id = user?.id ?? 0n;
    const limits = {
      entryBytesMax: 16_384,
      frameBytesMax: 65_536,
      membersPerEntryMax: 256,
      appendsPerSecond: 500,
      appendsInFlightMax: 32,
      pageEntriesMax: 200,
      openIntakeMax: 1_000,
    };
    const value = {
      user: id,
      session: 5n,
      cell: 'eu-1',
      node: 'a',
      limits,
      heartbeatMs: 10_000,
      heads: this.#infos(id).flatMap(({ head }) => head),
      complete: true,
      digest: this.#digest(id),
      cursor: new Uint8Array([1]),
      tokenEnds: BigInt(this.clock.now() + this.tokenMs),
      selfLog: user?.selfLog ?? 0n,
    };
    return { $case: 'welcome', value };
  }

  #infos(user: bigint, buckets?: number[]) {
    const logs = [...this.logs.values()].filter((log) => log.members.includes(user));
    const wanted = buckets === undefined ? logs : logs.filter((log) => buckets.includes(bucketOf(log.id)));
    return wanted.map((log) => {
      const peer = log.kind === 'LOG_KIND_DIRECT' ? (log.members.find((other) => other !== user) ?? 0n) : 0n;
      return { head: this.#head(log), kind: log.kind, peer, title: '', visibleFrom: 1n, seenSeq: 0n, unread: 0n };
    });
  }

  #head(log: FakeLog | undefined) {
    const seq = BigInt(log?.entries.length ?? 0);
    return { log: log?.id ?? 0n, epoch: log?.epoch ?? 0n, seq, ord: seq, ts: 0n };
  }

  #digest(user: bigint): bigint {
    return this.#buckets(user).reduce((all, bucket) => all ^ bucket, 0n);
  }

  #buckets(user: bigint): bigint[] {
    const digests = Array.from({ length: bucketCount }, (): Digest => ({ hi: 0, lo: 0 }));
    for (const { id, members, epoch, entries } of this.logs.values()) {
      const bucket = digests[bucketOf(id)];
      if (members.includes(user) && bucket !== undefined) toggleHead(bucket, id, epoch, entries.length);
    }
    return digests.map(digestValue);
  }

  #say(connection: Connection, re: bigint, event: Reply): void {
    const data = ServerFrame.encode({ re, event }).finish();
    this.#later(() => connection.open && connection.handlers.message(data));
  }

  #close(connection: Connection, code: number): void {
    if (!connection.open) return;
    connection.open = false;
    this.#connections.delete(connection);
    connection.handlers.closed(code);
  }

  #later(fn: () => unknown): void {
    this.clock.timer(this.latencyMs, () => void fn());
  }

  #newId(): bigint {
    this.#nextId += 1n;
    return this.#nextId;
  }
}
