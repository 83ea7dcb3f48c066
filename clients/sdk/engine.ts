// Wires the parts of a client together: what comes in on the line goes to the logs, the outbox, the conversations and the
// caller's listeners, and back.

import { Chain } from '@weft/proto/chain.ts';
import type { Append, MarkMoved, Refused, Welcome } from '@weft/proto/gen/weft/client/v1/client.ts';

import { Audit } from './audit.ts';
import { CatchUp } from './catch-up.ts';
import type { Ground } from './conversation.ts';
import { ConversationTable } from './conversation-table.ts';
import { type Entry, entryFromWire } from './entry.ts';
import { toFault } from './faults.ts';
import { GivenUp } from './given-up.ts';
import { HeadProofs } from './head-proofs.ts';
import { Holdings } from './holdings.ts';
import { Line } from './line.ts';
import { Listeners } from './listeners.ts';
import type { LogView } from './log-view.ts';
import { Marks } from './marks.ts';
import type { WeftEvents, WeftOptions, WeftState } from './options.ts';
import { Outbox } from './outbox.ts';
import type { Ports } from './ports.ts';
import { Requests } from './requests.ts';
import type { AcceptedAt, Sent } from './sent.ts';
import type { SessionKeeper } from './session.ts';
import { openWire, type Reply } from './wire.ts';

export class Engine {
  readonly line: Line;
  readonly requests: Requests;
  readonly outbox: Outbox;
  readonly table: ConversationTable;
  readonly listeners = new Listeners<WeftEvents>();
  readonly me: bigint;
  readonly #selfLog: bigint;
  readonly #ports: Ports;
  readonly #keeper: SessionKeeper;
  readonly #catchUp: CatchUp;
  readonly #holdings = new Holdings();
  readonly #marks: Marks;
  readonly audit: Audit;
  readonly #deliveredMarks: boolean;
  readonly #givenUp = new GivenUp((entry, fault) => this.listeners.tell('givenUp', entry, this.table.byLog(entry.log), fault));
  #node = '';
  #cell: string;

  constructor(options: { ports: Ports; keeper: SessionKeeper; options: WeftOptions; keys: () => Promise<unknown> }) {
    const { ports, keeper } = options;
    const { session } = keeper;
    this.#ports = ports;
    this.#keeper = keeper;
    this.me = BigInt(session.user);
    this.#selfLog = BigInt(session.selfLog);
    this.#cell = session.cell;
    this.#deliveredMarks = options.options.deliveredMarks ?? true;
    this.line = this.#openLine(options.options);
    this.requests = new Requests({ line: () => this.line, clock: ports.clock });
    this.#marks = new Marks({ requests: this.requests, clock: ports.clock });
    this.audit = this.#openAudit(options.keys);
    this.#catchUp = this.#openCatchUp();
    this.outbox = this.#openOutbox();
    this.table = new ConversationTable(this.#ground());
    // What the self log tells is needed by the client itself.
    this.#holdings.open(this.#selfLog).wanted = true;
  }

  get state(): WeftState {
    const c = this.line.connection;
    const retryAtMs = c.name === 'waiting' ? this.#ports.clock.now() + c.deadlineMs - this.#ports.clock.monotonic() : undefined;
    return { name: c.name, reason: c.reason, stop: c.stop, retryAtMs, cell: this.#cell, node: this.#node };
  }

  /** Takes in what an earlier run left, then connects. */
  async start(): Promise<void> {
    await this.outbox.load();
    this.line.start();
  }

  /** Somebody listens to every log: what was missed is fetched from now on. */
  wantAll(): void {
    if (this.#holdings.wantAll) return;
    this.#holdings.wantAll = true;
    for (const view of this.#holdings.all()) this.#catchUp.watch(view);
  }

  async close(): Promise<void> {
    this.line.stop();
    this.table.close();
    this.audit.stop();
    this.requests.stop();
    this.outbox.stop();
    await this.#ports.outbox.close();
  }

  #openLine(options: WeftOptions): Line {
    return new Line({
      ports: this.#ports,
      wire: openWire(options.encoding ?? 'proto'),
      keeper: this.#keeper,
      events: {
        hello: () => ({
          device: this.#keeper.session.device,
          cursor: this.#catchUp.cursor,
          digest: this.#holdings.digest(),
          agent: options.agent ?? 'weft-client/0.1',
        }),
        attached: (welcome) => this.#attached(welcome),
        detached: () => this.#detached(),
        pushed: (push) => this.#pushed(push),
        changed: () => this.listeners.tell('state', this.state),
      },
    });
  }

  #openCatchUp(): CatchUp {
    return new CatchUp({
      holdings: this.#holdings,
      requests: this.requests,
      clock: this.#ports.clock,
      isMe: (user) => user === this.me,
      events: {
        taken: (view, entries) => this.#taken(view, entries),
        truncated: (view, base, cut) => {
          this.#givenUp.cut(cut.filter(({ author }) => author === this.me));
          this.audit.truncated(view.log, base);
          this.table.truncated(view.log, base);
          if (view.log === this.#selfLog) this.#undoMembership(cut);
          this.listeners.tell('truncated', this.table.byLog(view.log), { epoch: view.epoch, base });
        },
        lost: (view, to) => this.audit.lost(view, to),
        stuck: (view, to) => this.audit.stuck(view, to),
        read: (log, entries, bounds) => this.audit.page(log, entries, bounds),
        anchored: (view) => {
          this.audit.anchored(view.log, view.head);
          this.table.anchored(view.log);
        },
        whole: () => this.line.caughtUp(),
      },
    });
  }

  #openAudit(read: () => Promise<unknown>): Audit {
    const { clock, sha256, verify } = this.#ports;
    return new Audit({
      chain: new Chain(sha256),
      clock,
      requests: this.requests,
      proofs: new HeadProofs({ verify, clock, read }),
      view: (log) => this.#holdings.view(log),
      tell: (report) => this.listeners.tell('proof', report),
      corrected: (entries) => {
        for (const entry of entries) if (entry.author === this.me) this.#mine(entry);
      },
    });
  }

  #openOutbox(): Outbox {
    return new Outbox({
      ports: this.#ports,
      events: {
        send: (request, waiter) => this.line.send(request, waiter),
        logOf: (lane) => this.table.logOfLane(lane),
        isIn: (log) => this.#holdings.view(log)?.left === false,
        changed: (sent) => this.#sentChanged(sent),
        accepted: (sent, at, ord) => this.#accepted(sent, at, ord),
        trouble: (error) => this.listeners.tell('trouble', error),
      },
    });
  }

  #ground(): Ground {
    return {
      me: this.me,
      requests: this.requests,
      holdings: this.#holdings,
      catchUp: this.#catchUp,
      outbox: this.outbox,
      marks: this.#marks,
      clock: this.#ports.clock,
      append: (log, content) => this.append(log, content),
    };
  }

  #attached(welcome: Welcome): void {
    this.#cell = welcome.cell;
    this.#node = welcome.node;
    // Undecided entries first: what a person did comes before what may be fetched.
    this.outbox.attached(welcome.limits?.appendsInFlightMax ?? 1);
    this.requests.attached();
    this.#marks.attached();
    this.audit.attached(welcome.complete);
    this.#catchUp.attached(welcome);
  }

  #detached(): void {
    this.outbox.detached();
    this.#marks.detached();
    this.#catchUp.detached();
  }

  #pushed(push: Reply): void {
    switch (push.$case) {
      case 'push':
        return this.#pushedEntries(push.value.entries.map(entryFromWire));
      case 'heartbeat':
        this.audit.heartbeat();
        return this.#catchUp.heartbeat(push.value.digest, push.value.cursor);
      case 'signedHead':
        // Nothing waits for it: what it shows is told.
        this.audit.signedHead(push.value).catch(() => undefined);
        return undefined;
      case 'markMoved':
        return this.#markMoved(push.value);
      case 'refused':
        return this.#refused(push.value);
      case 'truncated':
        return this.#catchUp.truncated(push.value);
      case 'resync':
        this.audit.resync();
        return this.#catchUp.resync();
      default:
        // A push this version does not know.
        return undefined;
    }
  }

  #pushedEntries(entries: readonly Entry[]): void {
    this.audit.pushed(entries);
    for (const entry of entries) this.#catchUp.take(entry);
  }

  #taken(view: LogView, entries: readonly Entry[]): void {
    this.audit.taken(view, entries);
    if (view.log === this.#selfLog) return this.#takenSelf(entries);
    for (const entry of entries) {
      this.#empty(view, entry);
      if (entry.author === this.me) this.#mine(entry);
    }
    const conversation = this.table.grown(view.log, entries);
    if (this.#deliveredMarks) this.#markDelivered(entries);
    if (conversation === undefined && !this.listeners.has('entry')) return;
    const told = conversation ?? this.table.byLog(view.log);
    for (const entry of entries) this.listeners.tell('entry', entry, told);
  }

  #mine(entry: Entry): void {
    this.outbox.seen(entry);
    this.#givenUp.taken(entry.id);
  }

  #takenSelf(entries: readonly Entry[]): void {
    for (const { seq, body } of entries) {
      if (body?.$case === 'logJoined') {
        const { log, kind, peer, from } = body.value;
        const conversation = this.table.bind(log, { kind, peer });
        if (!isLast(entries, seq, log)) continue;
        this.#catchUp.joined(log, Number(from));
        this.outbox.member(log, true);
        this.listeners.tell('conversation', conversation, 'joined');
      } else if (body?.$case === 'logLeft') {
        const { log, until } = body.value;
        if (!isLast(entries, seq, log)) continue;
        const isNews = this.#catchUp.leftLog(log, Number(until));
        // Where the run began anew before this was heard, what was decided in between was not shown.
        this.outbox.member(log, false);
        if (!isNews) continue;
        this.listeners.tell('conversation', this.table.byLog(log), 'left');
      } else if (body?.$case === 'appendRefused') this.#refused(body.value);
    }
  }

  /**
   * Where a restored home forgot that the user left a log, the user is in it; what was joined and left after that stays left.
   * A joining that it forgot may come again, at another place.
   */
  #undoMembership(cut: readonly Entry[]): void {
    const changed = new Set<bigint>();
    for (const { body } of cut) {
      if (body?.$case !== 'logJoined' && body?.$case !== 'logLeft') continue;
      const { log } = body.value;
      const view = this.#holdings.view(log);
      if (changed.has(log) || view === undefined) continue;
      changed.add(log);
      if (body.$case === 'logJoined') view.unjoined = true;
      if (body.$case === 'logJoined' || !view.stay()) continue;
      // Its epoch and head are other ones than the cell's: the next digest tells.
      this.#holdings.touch(view);
      this.outbox.member(log, true);
      this.listeners.tell('conversation', this.table.byLog(log), 'joined');
    }
  }

  #markDelivered(entries: readonly Entry[]): void {
    const newest = entries.findLast((entry) => entry.author !== this.me);
    if (newest !== undefined) this.#marks.set({ log: newest.log, kind: 'MARK_KIND_DELIVERED', epoch: newest.epoch, seq: newest.seq });
  }

  /** The reply counts as the push of the entry: its content is known here. */
  #accepted(sent: Sent, at: AcceptedAt, ord: number): void {
    this.table.learn(sent.lane, at.log);
    const { content, id } = sent;
    this.audit.accepted(at.log, at.seq);
    this.#catchUp.take({ ...at, author: this.me, id, ord, readable: true, kind: content.$case, text: sent.text, body: content });
  }

  /** An entry that is not kept in the outbox. Throws the fault it was answered with. */
  async append(log: bigint, content: NonNullable<Append['content']>): Promise<void> {
    const id = this.outbox.newId();
    const value: Append = { target: { $case: 'log', value: log }, clientEntryId: id, followedBy: [], content };
    const reply = await this.requests.ask({ $case: 'append', value }, ['accepted', 'pending'] as const);
    if (!('seq' in reply)) return;
    const { epoch, ts, ord } = reply;
    const header = { log, epoch, seq: reply.seq, ts, author: this.me, clientEntryId: id, ord, flags: 0 };
    this.audit.accepted(log, Number(reply.seq));
    this.#catchUp.take(entryFromWire({ ...header, body: content }));
  }

  /** The words of an entry were taken back: what is held of it is its place. */
  #empty(view: LogView, { author, body }: Entry): void {
    if (body?.$case !== 'edited' && body?.$case !== 'deleted') return;
    const seq = Number(body.value.seq);
    const [target] = view.range(seq, seq) ?? [];
    if (target?.author === author) view.replace({ ...target, text: '', body: undefined, emptied: true });
  }

  #refused({ clientEntryId, code, text }: Refused): void {
    const fault = toFault({ code, text, retry: 'never', afterMs: 0 });
    if (!this.outbox.refused(clientEntryId, fault)) this.#givenUp.refused(clientEntryId, fault);
  }

  #sentChanged(sent: Sent): void {
    this.listeners.tell('sent', sent);
    if (sent.state === 'refused') this.listeners.tell('refused', sent);
  }

  #markMoved({ log, user, kind, epoch, seq }: MarkMoved): void {
    const conversation = this.table.byLog(log);
    if (!conversation.moved(user, kind, { epoch, seq: Number(seq) })) return;
    this.listeners.tell('mark', { conversation, user, kind: kind === 'MARK_KIND_SEEN' ? 'seen' : 'delivered', seq: Number(seq) });
  }
}

/** Whether nothing after it says whether the user is in this log: what came in between is over, and may have been given up. */
const isLast = (entries: readonly Entry[], seq: number, log: bigint): boolean =>
  !entries.some(({ seq: later, body }) => later > seq && isMembership(body) && body.value.log === log);

const isMembership = (body: Entry['body']) => body?.$case === 'logJoined' || body?.$case === 'logLeft';
