// A person with the real SDK, and everything that person saw for the history checker: what the SDK shows its caller is
// what counts, not what came over the wire.

import type { Conversation } from '@weft/client/conversation.ts';
import type { Entry } from '@weft/client/entry.ts';
import type { ProofReport } from '@weft/client/judge.ts';
import { socketsFrom } from '@weft/client/ports.ts';
import type { Sent } from '@weft/client/sent.ts';
import type { Session } from '@weft/client/session-store.ts';
import { Weft } from '@weft/client/weft.ts';
import type { Entry as WireEntry } from '@weft/proto/gen/weft/client/v1/client.ts';
import { WebSocket } from 'ws';
import type { EventOf, HistoryEvent, LogDump, SeenEntry } from '../history.ts';
import { bodyText } from '../history-recorder.ts';
import { limits } from './limits.ts';

export type Told = { [W in HistoryEvent['what']]: Omit<EventOf<W>, 'at' | 'device'> }[HistoryEvent['what']];

export interface PersonOptions {
  readonly name: string;
  readonly cell: string;
  readonly session: Session;
  readonly tell: (told: Told) => void;
  /** Our address to speak from; any when absent. */
  readonly localAddress?: string;
}

/** What came of one probe. */
export interface Answered {
  /** The moment of its round, which all probes of a round share. */
  readonly sentMs: number;
  readonly atMs: number;
}

export class Person implements AsyncDisposable {
  readonly name: string;
  readonly cell: string;
  readonly user: bigint;
  readonly weft: Weft;
  /** Newest seq shown, by log. */
  readonly heads = new Map<bigint, number>();
  /** Own appends without a final answer, by id; of a probe the moment of its round. */
  readonly waiting = new Map<bigint, number | undefined>();
  readonly counts = { connects: 0, cuts: 0, refused: 0 };
  /** What the SDK found wrong. */
  readonly reports: ProofReport[] = [];
  onAnswered: ((answered: Answered) => void) | undefined;
  readonly #tell: (told: Told) => void;
  readonly #sockets: Set<WebSocket>;
  #attached = false;

  static async open(options: PersonOptions): Promise<Person> {
    const sockets = new Set<WebSocket>();
    const weft = await Weft.resume({
      session: options.session,
      ports: { socket: socketsFrom(socketClass(sockets, options.localAddress)) },
      agent: 'weft-faults',
    });
    return new Person(options, weft, sockets);
  }

  private constructor(options: PersonOptions, weft: Weft, sockets: Set<WebSocket>) {
    this.name = options.name;
    this.cell = options.cell;
    this.user = BigInt(options.session.user);
    this.weft = weft;
    this.#tell = options.tell;
    this.#sockets = sockets;
    weft.on('entry', (entry) => this.#shown(entry));
    weft.on('sent', (sent) => this.#answered(sent));
    weft.on('state', () => this.#state());
    weft.on('proof', (report) => this.reports.push(report));
  }

  get isLive(): boolean {
    return this.weft.state.name === 'live';
  }

  head(log: bigint): number {
    return this.heads.get(log) ?? 0;
  }

  /** Writes into a conversation; nothing when too much is undecided already. */
  say(conversation: Conversation, text: string, roundMs?: number): Sent | undefined {
    return this.waiting.size >= limits.undecidedMax ? undefined : this.insist(conversation, text, roundMs);
  }

  insist(conversation: Conversation, text: string, roundMs?: number): Sent {
    const sent = conversation.send(text);
    sent.accepted.catch(() => undefined);
    this.waiting.set(sent.id, roundMs);
    const to = conversation.log === undefined ? {} : { log: conversation.log };
    this.#tell({ what: 'sent', ...to, clientEntryId: sent.id, body: text });
    return sent;
  }

  /** Reads the end of a log as the app would, for I7. */
  async look(conversation: Conversation): Promise<void> {
    const askedAt = performance.now();
    const { entries, visibleFrom, end } = await conversation.history({ limit: 50 });
    const from = end ? visibleFrom : (entries[0]?.seq ?? Number.POSITIVE_INFINITY);
    if (conversation.log === undefined) return;
    this.#tell({ what: 'fetched', askedAt, log: conversation.log, from, to: Number.POSITIVE_INFINITY, entries: entries.map(seen) });
  }

  /** This cell's copy of a log through its own door. */
  async dump(log: bigint, owner: boolean): Promise<LogDump> {
    const conversation = this.weft.conversation(log);
    const entries: SeenEntry[] = [];
    for (let pages = 0, before = 0; pages < limits.dumpPagesMax; pages++) {
      const page = await conversation.history({ before, limit: limits.dumpPageEntries });
      entries.unshift(...page.entries.map(seen));
      before = page.entries[0]?.seq ?? 0;
      if (page.end || before <= 1)
        return { cell: this.cell, log, owner, start: page.visibleFrom, until: Number.POSITIVE_INFINITY, entries };
    }
    throw new Error(`log ${log} has more than ${limits.dumpPagesMax} pages`);
  }

  /** Cuts the connection as a network would; the SDK comes back by itself. */
  readonly cut = (): void => {
    for (const socket of this.#sockets) socket.terminate();
  };

  /** Reads nothing from the connection any more, as a device that sleeps with its radio on. */
  stopReading(): Disposable {
    const paused = [...this.#sockets];
    for (const socket of paused) socket.pause();
    return {
      [Symbol.dispose]: () => {
        for (const socket of paused) if (socket.readyState === WebSocket.OPEN) socket.resume();
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.weft.close();
    this.cut();
  }

  #state(): void {
    const { name } = this.weft.state;
    const attached = name === 'live' || name === 'resuming';
    if (attached === this.#attached) return;
    this.#attached = attached;
    this.counts[attached ? 'connects' : 'cuts'] += 1;
    this.#tell({ what: attached ? 'connected' : 'disconnected' });
  }

  #shown(entry: Entry): void {
    if (!this.heads.has(entry.log)) this.#tell({ what: 'follows', log: entry.log, from: entry.seq });
    this.heads.set(entry.log, Math.max(this.head(entry.log), entry.seq));
    this.#tell({ what: 'shown', entry: seen(entry) });
  }

  #answered(sent: Sent): void {
    const { id, at, state, fault } = sent;
    if (state === 'pending') this.#tell({ what: 'pending', clientEntryId: id });
    else if (state === 'accepted' && at !== undefined)
      this.#tell({ what: 'accepted', log: at.log, epoch: at.epoch, seq: at.seq, clientEntryId: id });
    else if (state === 'refused') {
      this.counts.refused += 1;
      this.#tell({ what: 'refused', clientEntryId: id, code: fault?.code ?? 'unknown' });
    }
    if (!sent.final) return;
    const roundMs = this.waiting.get(id);
    this.waiting.delete(id);
    if (roundMs !== undefined) this.onAnswered?.({ sentMs: roundMs, atMs: performance.now() });
  }
}

function seen({ log, epoch, seq, author, id, kind, body }: Entry): SeenEntry {
  const content = kind === 'text' || kind === 'data';
  return { log, epoch, seq, author, clientEntryId: id, content, body: bodyText(body as WireEntry['body']) };
}

/** The package ws, from an address of ours, each socket remembered while it lives. */
function socketClass(sockets: Set<WebSocket>, localAddress: string | undefined) {
  return class extends WebSocket {
    constructor(url: string, protocol: string) {
      super(url, protocol, { perMessageDeflate: false, ...(localAddress === undefined ? {} : { localAddress }) });
      sockets.add(this);
      this.once('close', () => sockets.delete(this));
    }
  } as unknown as Parameters<typeof socketsFrom>[0];
}
