// What the user wrote and nobody decided yet. Entries of one lane (a log, or a peer) leave in the order written and keep their
// ids; after a reconnect everything undecided is sent again first, in order. A lane that met a `later` fault stands still
// until all its answers are in and the time is up: delivery rule R8 refuses later entries before that one comes again.

import { WeftError } from '@weft/proto/faults.ts';
import { makeClientEntryId } from '@weft/proto/ids.ts';

import type { Entry } from './entry.ts';
import { faultFromWire, toFault } from './faults.ts';
import { followedBy, type Lane, laneOfLog, newLane, queuedOf, type Target, targetOf } from './lane.ts';
import { clientLimits as limits } from './limits.ts';
import type { Waiter } from './line.ts';
import type { Ports } from './ports.ts';
import { type AcceptedAt, type Content, Sent } from './sent.ts';
import { checkContent, contentFrom, toStored } from './stored-content.ts';
import type { Reply, Request } from './wire.ts';

export interface OutboxEvents {
  /** False when there is no connection. */
  send(request: Request, waiter: Waiter): boolean;
  /** The log of a lane addressed by peer, when known. */
  logOf(lane: string): bigint | undefined;
  /** Whether the user is in this log, as far as is known. */
  isIn(log: bigint): boolean;
  changed(sent: Sent): void;
  /** Decided by a reply: counts as the push of the entry. `ord` is the entry's. */
  accepted(sent: Sent, at: AcceptedAt, ord: number): void;
  /** The store failed. */
  trouble(error: unknown): void;
}

/** Faults that speak of the connection, not of the entry: it is kept, and the connection will end. */
const notTheEntrys: ReadonlySet<string> = new Set(['token_expired', 'token_invalid', 'session_ended', 'hello_first']);

export class Outbox {
  readonly #ports: Ports;
  readonly #events: OutboxEvents;
  readonly #lanes = new Map<string, Lane>();
  readonly #byId = new Map<bigint, Sent>();
  #window = 0;
  #unanswered = 0;
  #turn = 0;
  #lastId = 0n;
  #cancelTimer: (() => void) | undefined;
  #stopped = false;

  constructor(options: { ports: Ports; events: OutboxEvents }) {
    this.#ports = options.ports;
    this.#events = options.events;
  }

  /** Takes in what an earlier process left. Before anything is added. */
  async load(): Promise<void> {
    for (const stored of await this.#ports.outbox.load()) {
      const content = contentFrom(stored);
      const sent = this.#keep({ id: BigInt(stored.id), lane: stored.lane, content, stored: Promise.resolve() });
      // The earlier process may have sent it: it can no longer be taken back.
      sent.wasSent = true;
    }
  }

  /** Undecided entries of a lane, in the order written. */
  undecided(lane: string): readonly Sent[] {
    return [...(this.#lanes.get(lane)?.items ?? [])];
  }

  /** Throws WeftError: `entry_too_large`, `bad_text`, `busy` when outboxEntriesMax wait, `not_ready` after stop. */
  add(lane: string, content: Content): Sent {
    if (this.#stopped) throw new WeftError('not_ready', 'the client was stopped');
    checkContent(content);
    if (this.#byId.size >= limits.outboxEntriesMax) throw new WeftError('busy', 'the outbox is full');
    const id = this.newId();
    const stored = this.#ports.outbox.put(toStored(id, lane, content));
    stored.catch((error: unknown) => this.#events.trouble(error));
    const sent = this.#keep({ id, lane, content, stored });
    this.#pump(this.#lane(lane));
    return sent;
  }

  /** An id never used before by this user: ids of one client rise, and other devices differ in 22 random bits. */
  newId(): bigint {
    const fresh = makeClientEntryId(this.#ports.clock.now(), Math.floor(this.#ports.random.next() * 0x400000));
    this.#lastId = fresh > this.#lastId ? fresh : this.#lastId + 1n;
    return this.#lastId;
  }

  attached(window: number): void {
    this.#window = Math.max(1, window);
    this.#turn += 1;
    this.#unanswered = 0;
    for (const lane of this.#lanes.values()) {
      lane.unanswered = 0;
      lane.owed.clear();
      lane.faulted = lane.heldUntilMs > this.#ports.clock.monotonic();
      for (const sent of lane.items) sent.become('queued');
    }
    this.#pumpAll();
  }

  detached(): void {
    this.#window = 0;
  }

  /** An entry of ours turned up in its log. */
  seen(entry: Entry): void {
    const sent = this.#byId.get(entry.id);
    if (sent !== undefined)
      this.#decide(sent, () => sent.become('accepted', { at: { log: entry.log, epoch: entry.epoch, seq: entry.seq, ts: entry.ts } }));
  }

  /** The owner refused it, for ever. False when it is not undecided here. */
  refused(id: bigint, fault: WeftError): boolean {
    const sent = this.#byId.get(id);
    if (sent !== undefined) this.#refuse(sent, fault);
    return sent !== undefined;
  }

  /** The user left the log, or is back in it. */
  member(log: bigint, isMember: boolean): void {
    const lane = this.#lanes.get(laneOfLog(log));
    if (lane === undefined) return;
    // Where a restored home tells of the membership only, the user may have been out of the log all the same.
    if (isMember) lane.unseenTo = lane.items.at(-1)?.id ?? 0n;
    this.#askAgain(lane);
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    for (const sent of this.#byId.values()) sent.giveUp(new WeftError('not_ready', 'the client was stopped'));
  }

  #keep(of: { id: bigint; lane: string; content: Content; stored: Promise<void> }): Sent {
    const sent = new Sent({
      ...of,
      backing: { cancel: (which) => this.#cancel(which), changed: (which) => this.#events.changed(which) },
    });
    if (sent.id > this.#lastId) this.#lastId = sent.id;
    this.#byId.set(sent.id, sent);
    this.#lane(sent.lane).items.push(sent);
    return sent;
  }

  #lane(key: string): Lane {
    const known = this.#lanes.get(key);
    if (known !== undefined) return known;
    const lane = newLane(key);
    this.#lanes.set(key, lane);
    return lane;
  }

  #cancel(sent: Sent): boolean {
    if (sent.final || sent.wasSent) return false;
    this.#decide(sent, () => sent.become('cancelled', { fault: new WeftError('not_allowed', 'the entry was cancelled') }));
    return true;
  }

  /** Lanes take turns: one with thousands of entries holds up its own only. */
  #pumpAll(): void {
    const served: Lane[] = [];
    for (const lane of this.#lanes.values()) {
      if (this.#unanswered >= this.#window) break;
      const before = this.#unanswered;
      this.#pump(lane);
      if (this.#unanswered > before) served.push(lane);
    }
    for (const lane of served) if (this.#lanes.delete(lane.key)) this.#lanes.set(lane.key, lane);
  }

  #pump(lane: Lane): void {
    if (this.#unanswered >= this.#window) return;
    if (lane.faulted) {
      if (lane.unanswered > 0) return;
      if (this.#ports.clock.monotonic() < lane.heldUntilMs) return this.#arm();
      lane.faulted = false;
      const owed = [...lane.owed].filter(({ final }) => final);
      lane.owed.clear();
      for (const sent of owed) this.#send(lane, sent);
    }
    for (const sent of queuedOf(lane.items).slice(0, this.#window - this.#unanswered)) if (!this.#send(lane, sent)) return;
  }

  #send(lane: Lane, sent: Sent): boolean {
    const turn = this.#turn;
    const waiter: Waiter = {
      answered: (reply) => {
        if (turn === this.#turn) this.#answered(lane, sent, reply);
      },
      lost: () => undefined,
    };
    const target = lane.unanswered > 0 && lane.target !== undefined ? lane.target : this.#targetOf(lane);
    lane.target = target;
    const value = { target, clientEntryId: sent.id, followedBy: followedBy(lane, sent), content: sent.content };
    if (!this.#events.send({ $case: 'append', value }, waiter)) return false;
    lane.unanswered += 1;
    this.#unanswered += 1;
    sent.wasSent = true;
    sent.become('sent');
    return true;
  }

  #targetOf({ key }: Lane): Target {
    const log = this.#events.logOf(key);
    return log !== undefined ? { $case: 'log', value: log } : targetOf(key);
  }

  #answered(lane: Lane, sent: Sent, reply: Reply): void {
    lane.unanswered -= 1;
    this.#unanswered -= 1;
    switch (reply.$case) {
      case 'accepted': {
        const { log, epoch, seq, ts, ord } = reply.value;
        const at = { log, epoch, seq: Number(seq), ts: Number(ts) };
        lane.faults = 0;
        this.#decide(sent, () => sent.become('accepted', { at }));
        this.#events.accepted(sent, at, Number(ord));
        break;
      }
      case 'pending':
        lane.faults = 0;
        sent.become('pending');
        if (this.#isUnseen(lane)) this.#askAgain(lane);
        break;
      case 'refused':
        this.#refuse(sent, toFault({ code: reply.value.code, text: reply.value.text, retry: 'never', afterMs: 0 }));
        break;
      case 'fault':
        this.#faulted(lane, sent, faultFromWire(reply.value));
        break;
      default:
        this.#faulted(lane, sent, new WeftError('internal', `the node answered an append with ${reply.$case}`));
    }
    this.#pumpAll();
  }

  #faulted(lane: Lane, sent: Sent, fault: WeftError): void {
    if (fault.retry === 'never' && !notTheEntrys.has(fault.code)) return this.#refuse(sent, fault);
    sent.become('queued');
    // Those behind it say `earlier_faulted`: the pause is the first one's.
    if (!lane.faulted || fault.code !== 'earlier_faulted') lane.owed.add(sent);
    if (lane.faulted) return;
    lane.faulted = true;
    lane.faults += 1;
    const pause = limits.backoffBaseMs * 2 ** Math.min(lane.faults - 1, 30);
    const jittered = (this.#ports.random.next() * Math.min(limits.backoffMsMax, pause)) / 2;
    const asked = Math.min(fault.afterMs, limits.askedPauseMsMax) || pause / 2;
    lane.heldUntilMs = this.#ports.clock.monotonic() + Math.min(limits.askedPauseMsMax, asked) + jittered;
  }

  /** It may be decided where the user does not see it: in a log they are not in, or were not in meanwhile. */
  #isUnseen(lane: Lane): boolean {
    if ((lane.items[0]?.id ?? lane.unseenTo + 1n) <= lane.unseenTo) return true;
    return lane.target?.$case === 'log' && !this.#events.isIn(lane.target.value);
  }

  /** Sends what is pending once more: the answer says what was decided. */
  #askAgain(lane: Lane): void {
    const pending = lane.items.filter(({ state }) => state === 'pending');
    if (pending.length === 0) return;
    for (const sent of pending) sent.become('queued');
    lane.faulted = true;
    lane.heldUntilMs = this.#ports.clock.monotonic() + limits.fetchAgainMs;
    this.#pump(lane);
  }

  #refuse(sent: Sent, fault: WeftError): void {
    this.#decide(sent, () => sent.become('refused', { fault }));
  }

  #decide(sent: Sent, become: () => void): void {
    if (!this.#byId.delete(sent.id)) return;
    const lane = this.#lane(sent.lane);
    const index = lane.items.indexOf(sent);
    if (index >= 0) lane.items.splice(index, 1);
    if (lane.items.length === 0 && lane.unanswered === 0 && !lane.faulted) this.#lanes.delete(lane.key);
    this.#ports.outbox.remove(String(sent.id)).catch((error: unknown) => this.#events.trouble(error));
    become();
    if (sent.state === 'accepted' && sent.id > lane.newestAccepted) lane.newestAccepted = sent.id;
  }

  /** One timer for all lanes: at the earliest pause that ends. */
  #arm(): void {
    if (this.#stopped) return;
    const nowMs = this.#ports.clock.monotonic();
    const pauses = [...this.#lanes.values()].filter((lane) => lane.faulted && lane.heldUntilMs > nowMs).map((lane) => lane.heldUntilMs);
    // None is left where the pause ended between two looks at the clock.
    const due = pauses.length === 0 ? nowMs : Math.min(...pauses);
    this.#cancelTimer?.();
    this.#cancelTimer = this.#ports.clock.timer(Math.max(1, Math.ceil(due - nowMs)), () => {
      this.#cancelTimer = undefined;
      this.#pumpAll();
    });
  }
}
