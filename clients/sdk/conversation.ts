import { WeftError } from '@weft/proto/faults.ts';
import type { Append, LogKind, Page } from '@weft/proto/gen/weft/client/v1/client.ts';
import { limits as wireLimits } from '@weft/proto/limits.ts';
import { comparePositions, type Position } from '@weft/proto/positions.ts';

import type { CatchUp } from './catch-up.ts';
import { type Entry, entryFromWire } from './entry.ts';
import type { Holdings } from './holdings.ts';
import { laneOfLog, laneOfPeer } from './lane.ts';
import { clientLimits as limits } from './limits.ts';
import type { LogView } from './log-view.ts';
import type { Marks } from './marks.ts';
import type { Outbox } from './outbox.ts';
import type { Clock } from './ports.ts';
import type { Requests } from './requests.ts';
import type { Content, Sent } from './sent.ts';
import { Subscription } from './subscription.ts';

export type ConversationKind = 'direct' | 'group' | 'self' | 'unknown';

export interface History {
  /** Ascending by seq, without a hole. */
  readonly entries: readonly Entry[];
  /** The first seq this user may read. */
  readonly visibleFrom: number;
  /** Nothing older exists for this user. */
  readonly end: boolean;
  /** The user's entries that are not decided yet, of all devices, in the order sent. */
  readonly pending: readonly Entry[];
}

export interface MemberInfo {
  readonly user: bigint;
  /** The first seq this member may read. */
  readonly from: number;
  readonly delivered: Position | undefined;
  readonly seen: Position | undefined;
}

export interface UserMarks {
  readonly delivered?: Position;
  readonly seen?: Position;
}

/** What all conversations of a client stand on. */
export interface Ground {
  readonly me: bigint;
  readonly requests: Requests;
  readonly holdings: Holdings;
  readonly catchUp: CatchUp;
  readonly outbox: Outbox;
  readonly marks: Marks;
  readonly clock: Clock;
  /** An entry that is not kept in the outbox. */
  readonly append: (log: bigint, content: NonNullable<Append['content']>) => Promise<void>;
}

/** One log and everything that can be done with it. Made by Weft: one object per conversation. */
export class Conversation {
  kind: ConversationKind = 'unknown';
  /** Empty for direct conversations. */
  title = '';
  #log: bigint | undefined;
  #peer: bigint | undefined;
  #lane: string | undefined;
  readonly #ground: Ground;
  readonly #subscriptions = new Set<Subscription>();
  readonly #marks = new Map<bigint, UserMarks>();

  constructor(ground: Ground, which: { readonly log: bigint } | { readonly peer: bigint }) {
    this.#ground = ground;
    if ('log' in which) this.#log = which.log;
    else {
      this.#peer = which.peer;
      this.kind = 'direct';
    }
  }

  /** Undefined while a direct conversation is not opened yet; it can be written to all the same. */
  get log(): bigint | undefined {
    return this.#log;
  }

  /** The other person of a direct conversation, once known. */
  get peer(): bigint | undefined {
    return this.#peer;
  }

  /** Seq of the newest entry held; 0 when nothing is known. */
  get head(): number {
    return Math.max(0, this.#view()?.head ?? 0);
  }

  /** How far others have it, as far as their cells told. */
  get marks(): ReadonlyMap<bigint, UserMarks> {
    return this.#marks;
  }

  /** Puts a message into the outbox and returns at once; it is sent when there is a connection. Throws WeftError when it never can be. */
  send(text: string): Sent {
    return this.#send({ $case: 'text', value: text });
  }

  /** As `send`, for bytes that only clients understand. */
  sendData(data: Uint8Array): Sent {
    return this.#send({ $case: 'data', value: data });
  }

  /**
   * Puts other words in the place of an own entry: the one with the words as they are now, the original or the last edit. The
   * edit is an entry of its own; the one it names stays in the history without its words. Throws WeftError: `not_allowed`.
   */
  edit(entry: Entry, text: string): Promise<void> {
    return this.#ground.append(entry.log, { $case: 'edited', value: { seq: BigInt(entry.seq), text } });
  }

  /** Takes the words of an own entry back, in every cell; its place in the history stays. Throws WeftError: `not_allowed`. */
  delete(entry: Entry): Promise<void> {
    return this.#ground.append(entry.log, { $case: 'deleted', value: { seq: BigInt(entry.seq) } });
  }

  /** Own entries that are not decided yet, in the order written. They stand after the head. */
  undecided(): readonly Sent[] {
    return this.#ground.outbox.undecided(this.#laneKey());
  }

  /**
   * Calls `fn` for each entry, once, in order, without a hole: from `from` on, or the last `last` entries and then
   * what follows, or what follows from now on. The result ends it.
   */
  subscribe(fn: (entry: Entry) => void, from: { from?: number; last?: number; truncated?: (base: number) => void } = {}): () => void {
    const view = this.#view();
    const next = from.from ?? (from.last === undefined && view?.anchored === true && !view.left ? view.head + 1 : undefined);
    const subscription = new Subscription({
      subscriber: { entry: fn, truncated: from.truncated },
      next,
      view: () => this.#view(),
      read: async (seq) => (await this.#read({ from: seq, limit: wireLimits.pageEntriesMax })).entries,
      clock: this.#ground.clock,
    });
    this.#subscriptions.add(subscription);
    if (view !== undefined) this.#ground.catchUp.watch(view);
    if (from.last !== undefined) this.#beginWithLast(subscription, from.last);
    else subscription.catchUp();
    return () => {
      subscription.end();
      this.#subscriptions.delete(subscription);
      if (view !== undefined) view.wanted = this.#subscriptions.size > 0 || this.#ground.holdings.wantAll;
    };
  }

  #beginWithLast(subscription: Subscription, count: number): void {
    this.last(count).then(
      (entries) => subscription.begin(entries[0]?.seq ?? this.head + 1),
      () =>
        this.#ground.clock.timer(
          limits.fetchAgainMs,
          () => this.#subscriptions.has(subscription) && this.#beginWithLast(subscription, count),
        ),
    );
  }

  /** The `limit` (≤ 200) entries before seq `before`, or before the end. Throws WeftError. */
  async history(page: { before?: number; limit?: number } = {}): Promise<History> {
    return this.#read({ before: page.before ?? 0, limit: page.limit ?? wireLimits.pageEntriesMax });
  }

  /** The last `count` entries up to the head, ascending; what `subscribe({from})` brings continues them. Throws WeftError. */
  async last(count: number): Promise<readonly Entry[]> {
    if (count <= 0) return [];
    const kept = this.#view()?.entries.slice(-count) ?? [];
    let entries: readonly Entry[] = kept;
    let end = false;
    while (entries.length < count && !end) {
      const limit = Math.min(wireLimits.pageEntriesMax, count - entries.length);
      const page = await this.#read({ before: entries[0]?.seq ?? 0, limit });
      entries = [...page.entries, ...entries];
      end = page.end || page.entries.length === 0;
    }
    return entries;
  }

  /** The user has seen everything up to this entry. Told to the cell within about a second. */
  seen(entry: Entry): void {
    this.#ground.marks.set({ log: entry.log, kind: 'MARK_KIND_SEEN', epoch: entry.epoch, seq: entry.seq });
  }

  /**
   * Resolves when the change is made, or stored by the home cell for the owner of the log to decide: the entry tells.
   * Throws WeftError: `not_allowed`, `group_full`, `too_many_members` …
   */
  addMembers(users: readonly bigint[]): Promise<void> {
    return this.#change({ add: [...users], remove: [] });
  }

  removeMembers(users: readonly bigint[]): Promise<void> {
    return this.#change({ add: [], remove: [...users] });
  }

  /** Afterwards nothing of the conversation can be read here. */
  leave(): Promise<void> {
    return this.removeMembers([this.#ground.me]);
  }

  /** Members and how far each has it. */
  async members(): Promise<readonly MemberInfo[]> {
    const reply = await this.#ground.requests.ask({ $case: 'readMembers', value: { log: this.#opened() } }, 'members');
    for (const mark of reply.marks) this.moved(mark.user, mark.kind, { epoch: mark.epoch, seq: Number(mark.seq) });
    return reply.members.map((member) => {
      const marks = this.#marks.get(member.user);
      return { user: member.user, from: Number(member.from), delivered: marks?.delivered, seen: marks?.seen };
    });
  }

  /** For Weft: the log of this conversation became known. */
  bind(log: bigint, about: { readonly kind?: LogKind; readonly peer?: bigint; readonly title?: string } = {}): void {
    const opened = this.#log === undefined;
    this.#log ??= log;
    if (about.peer !== undefined && about.peer !== 0n) this.#peer ??= about.peer;
    if (about.kind !== undefined) this.kind = kindFromWire(about.kind);
    if (about.title !== undefined && about.title !== '') this.title = about.title;
    const view = this.#view();
    if (!opened || view === undefined || this.#subscriptions.size === 0) return;
    // Nothing of it was known before, so all of it is news.
    for (const subscription of this.#subscriptions) if (view.anchored) subscription.begin(view.start);
    this.#ground.catchUp.watch(view);
  }

  /** For Weft: the log grew. */
  grown(entries: readonly Entry[]): void {
    for (const subscription of this.#subscriptions) subscription.grown(entries);
  }

  /** For Weft: entries above `base` were given up. */
  truncated(base: number): void {
    for (const subscription of this.#subscriptions) {
      subscription.truncated(base);
      subscription.catchUp();
    }
  }

  /** For Weft: the log begins anew after its head. */
  anchored(): void {
    for (const subscription of this.#subscriptions) subscription.anchored(this.head);
  }

  /** For Weft: the client stops. */
  close(): void {
    for (const subscription of this.#subscriptions) subscription.end();
    this.#subscriptions.clear();
  }

  /** For Weft: somebody's mark moved. False when it is not further than the known one. */
  moved(user: bigint, kind: string, to: Position): boolean {
    const which = kind === 'MARK_KIND_SEEN' ? 'seen' : 'delivered';
    const known = this.#marks.get(user);
    const before = known?.[which];
    if (before !== undefined && comparePositions(before, to) >= 0) return false;
    if (known === undefined && this.#marks.size >= limits.markedUsersMax) return false;
    this.#marks.set(user, { ...known, [which]: to });
    return true;
  }

  #send(content: Content): Sent {
    return this.#ground.outbox.add(this.#laneKey(), content);
  }

  /** Chosen once: two lanes of one conversation would not keep its order. */
  #laneKey(): string {
    this.#lane ??= this.#peer !== undefined ? laneOfPeer(this.#peer) : laneOfLog(this.#opened());
    return this.#lane;
  }

  #view(): LogView | undefined {
    return this.#log === undefined ? undefined : this.#ground.holdings.open(this.#log);
  }

  #opened(): bigint {
    if (this.#log === undefined) throw new WeftError('unknown_log', 'the conversation is not opened yet');
    return this.#log;
  }

  async #read(range: { from?: number; before?: number; limit: number }): Promise<History> {
    if (this.#log === undefined) return { entries: [], visibleFrom: 1, end: true, pending: [] };
    const { from = 0, before = 0, limit } = range;
    const view = this.#view();
    const head = Math.max(view?.head ?? 0, view?.known ?? 0);
    const value = { log: this.#log, from: BigInt(from), before: BigInt(before), limit };
    const page: Page = await this.#ground.requests.ask({ $case: 'readHistory', value }, 'page');
    const entries = this.#ground.catchUp.notePage(page, { from, before, head });
    return { entries, visibleFrom: Number(page.visibleFrom), end: page.end, pending: page.pending.map(entryFromWire) };
  }

  async #change(by: { add: bigint[]; remove: bigint[] }): Promise<void> {
    const value = { log: this.#opened(), clientEntryId: this.#ground.outbox.newId(), ...by };
    // Pending: the owner of the log is another cell and will decide; the change comes as an entry.
    await this.#ground.requests.ask({ $case: 'changeMembers', value }, ['done', 'pending'] as const);
  }
}

const kinds: Partial<Record<LogKind, ConversationKind>> = { LOG_KIND_DIRECT: 'direct', LOG_KIND_GROUP: 'group', LOG_KIND_SELF: 'self' };
export const kindFromWire = (kind: LogKind): ConversationKind => kinds[kind] ?? 'unknown';
