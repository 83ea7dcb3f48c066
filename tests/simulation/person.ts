// A person's device: the real SDK over ports in memory. What it sends and sees is the history. It may be killed and
// started again; its session and its outbox survive.

import type { Conversation } from '@weft/client/conversation.ts';
import type { Entry } from '@weft/client/entry.ts';
import { isOfHistory } from '@weft/client/judge.ts';
import type { OutboxStore, StoredAppend } from '@weft/client/outbox-store.ts';
import type { Http, Ports, SocketFactory } from '@weft/client/ports.ts';
import type { Sent } from '@weft/client/sent.ts';
import type { Session } from '@weft/client/session-store.ts';
import { Weft } from '@weft/client/weft.ts';
import type { Encoding } from '@weft/client/wire.ts';
import { faults } from '@weft/proto/faults.ts';
import type { Random } from '@weft/runtime/random.ts';
import { sha256 } from '@weft/runtime/sha256.ts';
import type { DeviceRecord, HistoryEvent } from '../history.ts';
import type { ClientLink } from './client-link.ts';
import type { MemoryCell } from './memory-cell.ts';
import { seenOf } from './seen-entry.ts';
import type { ProcessClock, SimulatedTime } from './simulated-time.ts';
import { makeToken } from './tokens.ts';

export interface PersonOptions {
  readonly name: string;
  readonly user: bigint;
  readonly session: bigint;
  readonly home: number;
  readonly urls: readonly string[];
  readonly encoding: Encoding;
  /** Of a later version, as its node is to it. */
  readonly later: boolean;
  readonly deliveredMarks: boolean;
  readonly tokenMs: number;
  readonly time: SimulatedTime;
  readonly random: Random;
  readonly newClock: () => ProcessClock;
  readonly connect: (of: { person: Person; url: string; protocol: string }, handlers: Parameters<SocketFactory>[2]) => ClientLink;
  readonly record: (event: HistoryEvent) => void;
  readonly failed: (what: string, error: unknown) => void;
}

/** One log as one life of the device shows it. */
interface Shown {
  last: number;
  open: boolean;
}

export class Person {
  readonly options: PersonOptions;
  /** Logs the user was told to be in, and what was shown of each. */
  readonly logs = new Map<bigint, Shown>();
  readonly links = new Set<ClientLink>();
  /** Every life of the device, for the checker. */
  readonly lives: string[] = [];
  readonly groups = new Set<bigint>();
  clock: ProcessClock;
  weft: Weft | undefined;
  #session: Session;
  readonly #disk = new Map<string, StoredAppend>();
  readonly #direct = new Map<bigint, Conversation>();

  constructor(options: PersonOptions) {
    this.options = options;
    this.clock = options.newClock();
    this.#session = {
      user: String(options.user),
      handle: options.name,
      cell: `c${options.home}`,
      session: String(options.session),
      selfLog: String(options.user),
      device: 'd',
      refreshToken: 'r',
      urls: options.urls,
      router: 'http://router',
      ...this.#tokens(),
    };
  }

  get user(): bigint {
    return this.options.user;
  }

  /** Appends without a final answer. */
  get open(): number {
    return this.#disk.size;
  }

  get isLive(): boolean {
    return this.weft?.state.name === 'live';
  }

  /** For whoever looks into a seed. */
  waiting(): string[] {
    return [...this.#disk.values()].map(({ id, lane }) => `${id} in ${lane}`);
  }

  records(): DeviceRecord[] {
    const cell = String(this.options.home);
    return [
      { device: this.options.name, user: this.user, cell, settled: false },
      ...this.lives.map((device, i) => ({ device, user: this.user, cell, settled: i === this.lives.length - 1 && this.clock.alive })),
    ];
  }

  start(): void {
    const life = `${this.options.name}#${this.lives.length + 1}`;
    this.lives.push(life);
    if (!this.clock.alive) this.clock = this.options.newClock();
    this.logs.clear();
    this.#direct.clear();
    const { encoding, deliveredMarks, failed } = this.options;
    Weft.resume({ session: this.#session, ports: this.#ports(), encoding, deliveredMarks }).then(
      (weft) => this.#listen(weft, life),
      (error: unknown) => failed('a client could not start', error),
    );
  }

  kill(): void {
    this.clock.kill();
    this.weft = undefined;
    for (const link of this.links) link.clientDied();
    this.links.clear();
  }

  /** Writes to a group. */
  sendTo(log: bigint, text: string): void {
    if (this.weft) this.#send(this.weft.conversation(log), text, { log });
  }

  /** Writes to a person; the conversation may not be open yet. */
  sendToPeer(peer: bigint, text: string): void {
    const { weft } = this;
    if (!weft) return;
    const known = this.#direct.get(peer);
    if (known) return this.#send(known, text, { peer });
    weft.openDirect(peer).then(
      (conversation) => {
        this.#direct.set(peer, conversation);
        this.#send(conversation, text, { peer });
      },
      (error: unknown) => this.#expected('open', error),
    );
  }

  createGroup(members: readonly bigint[]): void {
    this.weft?.createGroup('group', members).catch((error: unknown) => this.#expected('create', error));
  }

  changeMembers(log: bigint, change: { readonly add?: bigint; readonly remove?: bigint }): void {
    const conversation = this.weft?.conversation(log);
    const changing =
      change.add === undefined ? conversation?.removeMembers([change.remove as bigint]) : conversation?.addMembers([change.add]);
    changing?.catch((error: unknown) => this.#expected('change', error));
  }

  /** Reads the newest page of a log. */
  read(log: bigint): void {
    const { time, record } = this.options;
    const life = this.lives.at(-1) as string;
    const askedAt = time.nowMs;
    this.weft
      ?.conversation(log)
      .history({ limit: 8 })
      .then(
        ({ entries, visibleFrom, end }) => {
          // The newest page speaks for everything from its first entry on, or for all that may be read.
          const from = end ? visibleFrom : (entries[0]?.seq ?? Number.POSITIVE_INFINITY);
          const to = Number.POSITIVE_INFINITY;
          record({ at: time.nowMs, device: life, what: 'fetched', askedAt, log, from, to, entries: entries.map(seenOf) });
        },
        (error: unknown) => this.#expected('read', error),
      );
  }

  markSeen(log: bigint): void {
    const conversation = this.weft?.conversation(log);
    const shown = this.logs.get(log);
    const last = this.#lastEntry.get(log);
    if (conversation && shown?.open && last) conversation.seen(last);
  }

  readonly #lastEntry = new Map<bigint, Entry>();

  /** Where the client believes each of these logs to end. */
  headOf(log: bigint): number {
    return this.weft?.conversation(log).head ?? 0;
  }

  /** A life that began after the user left a log may still show what the user wrote there; nothing has to follow it. */
  closeLeft(cell: MemoryCell): void {
    for (const log of this.logs.keys()) if (cell.logsOf(this.user).get(log)?.until !== 0) this.#left(log, this.lives.at(-1) as string);
  }

  #send(conversation: Conversation, text: string, to: { log: bigint } | { peer: bigint }): void {
    const { time, name, record } = this.options;
    const log = conversation.log;
    const shown = log === undefined ? undefined : this.logs.get(log);
    const after = shown?.open ? shown.last : undefined;
    try {
      const sent = conversation.send(text);
      record({
        at: time.nowMs,
        device: name,
        what: 'sent',
        clientEntryId: sent.id,
        body: Buffer.from(text).toString('base64'),
        ...to,
        ...(after === undefined || log === undefined ? {} : { after, afterLog: log }),
      });
    } catch (error) {
      this.#expected('send', error);
    }
  }

  /** Faults of the catalogue are answers; anything else is a bug. */
  #expected(what: string, error: unknown): void {
    const code = (error as { readonly code?: string }).code;
    if (code === undefined || !(code in faults)) this.options.failed(`${this.options.name}: ${what}`, error);
  }

  #listen(weft: Weft, life: string): void {
    this.weft = weft;
    weft.on('sent', (sent) => this.#sent(sent, life));
    weft.on('conversation', ({ log, kind }, change) => {
      if (log === undefined) return;
      if (kind === 'group' && change === 'joined') this.groups.add(log);
      // A new membership: the run may begin anew beyond what the older one showed.
      if (change === 'joined') this.#left(log, life);
      if (change === 'left') {
        this.groups.delete(log);
        this.#left(log, life);
      }
    });
    weft.on('entry', (entry) => this.#shown(entry, life));
    weft.on('truncated', ({ log }, at) => this.#truncated(log as bigint, at, life));
    weft.on('proof', (report) => {
      if (isOfHistory(report)) this.options.failed(`I17: ${life} reports ${report.kind}`, new Error(plain(report)));
    });
  }

  #sent(sent: Sent, device: string): void {
    const { time, record } = this.options;
    const [at, clientEntryId] = [time.nowMs, sent.id];
    if (sent.state === 'accepted' && sent.at) {
      const { log, epoch, seq } = sent.at;
      record({ at, device, what: 'accepted', log, epoch, seq, clientEntryId });
    } else if (sent.state === 'pending') record({ at, device, what: 'pending', clientEntryId });
    else if (sent.state === 'refused') record({ at, device, what: 'refused', clientEntryId, code: sent.fault?.code ?? '' });
  }

  #shown(entry: Entry, device: string): void {
    const { time, record } = this.options;
    const { log, seq } = entry;
    const before = this.logs.get(log);
    // The user was out of the log and is in it again: what lies between is not the user's to see.
    if (before?.open && seq > before.last + 1 && this.#joins(entry)) this.#left(log, device);
    let shown = this.logs.get(log);
    if (!shown?.open) {
      shown = { last: seq, open: true };
      this.logs.set(log, shown);
      record({ at: time.nowMs, device, what: 'follows', log, from: seq });
    }
    shown.last = seq;
    this.#lastEntry.set(log, entry);
    record({ at: time.nowMs, device, what: 'shown', entry: seenOf(entry) });
  }

  #truncated(log: bigint, { epoch, base }: { readonly epoch: bigint; readonly base: number }, device: string): void {
    const shown = this.logs.get(log);
    if (shown) shown.last = Math.min(shown.last, base);
    this.options.record({ at: this.options.time.nowMs, device, what: 'truncated', log, epoch, base });
  }

  #joins({ body }: Entry): boolean {
    return body?.$case === 'membersAdded' && body.value.members.some(({ user }) => user === this.user);
  }

  #left(log: bigint, device: string): void {
    const shown = this.logs.get(log);
    if (!shown?.open) return;
    shown.open = false;
    this.options.record({ at: this.options.time.nowMs, device, what: 'left', log, until: shown.last });
  }

  #tokens(): { accessToken: string; accessEnds: number } {
    const { user, session, tokenMs } = this.options;
    const endsMs = this.clock.now() + tokenMs;
    return { accessToken: makeToken({ user, session, device: 'd', endsMs }), accessEnds: endsMs };
  }

  #ports(): Ports {
    const { random, connect } = this.options;
    const { clock } = this;
    const timer = (ms: number, fn: () => void): (() => void) => {
      const timer = clock.timer(ms, fn);
      return () => timer[Symbol.dispose]();
    };
    return {
      socket: (url, protocol, handlers) => {
        const link = connect({ person: this, url, protocol }, handlers);
        this.links.add(link);
        return link.socket;
      },
      http: this.#http(clock),
      clock: { now: () => clock.now(), monotonic: () => clock.monotonic(), timer },
      random,
      sha256,
      // Who signed is not the simulator's to prove.
      verify: async () => true,
      outbox: this.#outbox(),
      session: {
        load: async () => this.#session,
        save: async (session) => {
          this.#session = session;
        },
        clear: async () => undefined,
      },
    };
  }

  /** On the disk of the device: put is slower than memory, and both survive. */
  #outbox(): OutboxStore {
    return {
      load: async () => [...this.#disk.values()],
      put: async (append) => void this.#disk.set(append.id, append),
      remove: async (id) => void this.#disk.delete(id),
      close: async () => undefined,
    };
  }

  /** The REST doors of cell and router: a new token, and where the home is. */
  #http(clock: ProcessClock): Http {
    const cells = [1, 2, 3, 4];
    return async ({ url }) => {
      await clock.sleep(5);
      const { user, name, home, urls } = this.options;
      const who = { user: String(user), handle: name, cell: `c${home}`, urls };
      if (url.endsWith('/jwks.json'))
        return { status: 200, body: { keys: cells.map((cell) => ({ kid: `c${cell}`, x: '', weft_cell: cell })) } };
      if (!url.includes('/v1/sessions/refresh')) return { status: 200, body: who };
      const { accessToken, accessEnds } = this.#tokens();
      const { session, selfLog, refreshToken } = this.#session;
      const tokens = { access_token: accessToken, access_ends: accessEnds, refresh_token: refreshToken };
      return { status: 200, body: { ...who, ...tokens, session, self_log: selfLog } };
    };
  }
}

const plain = (value: unknown): string => JSON.stringify(value, (_, each) => (typeof each === 'bigint' ? String(each) : each));
