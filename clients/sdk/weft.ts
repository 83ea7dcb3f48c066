// The door of the SDK: sign up or log in, open conversations, send, listen. See README.md and examples/send.ts.

import { sameHash } from '@weft/proto/chain.ts';
import { WeftError } from '@weft/proto/faults.ts';
import type { LogInfo } from '@weft/proto/gen/weft/client/v1/client.ts';
import { limits as wireLimits } from '@weft/proto/limits.ts';

import { type Conversation, kindFromWire } from './conversation.ts';
import { CellDoor } from './doors.ts';
import { Engine } from './engine.ts';
import { clientLimits as limits } from './limits.ts';
import { asFault } from './line.ts';
import {
  type ConversationInfo,
  type LogInOptions,
  randomDevice,
  type SignUpOptions,
  type WeftEvents,
  type WeftOptions,
  type WeftState,
  withDefaults,
} from './options.ts';
import type { Ports } from './ports.ts';
import { type HistoryAt, safetyNumber } from './safety-number.ts';
import { SessionKeeper } from './session.ts';
import type { Session } from './session-store.ts';

export class Weft implements AsyncDisposable {
  readonly #ports: Ports;
  readonly #keeper: SessionKeeper;
  readonly #doors: CellDoor;
  readonly #engine: Engine;
  readonly #names = new Map<string, string>();
  readonly #ended = new AbortController();

  /** Makes an account, and with it a session. Throws WeftError: `handle_taken`, `handle_invalid`, `password_invalid`, `directory_away` … */
  static async signUp(options: SignUpOptions): Promise<Weft> {
    return Weft.#enter(options, (door, device) => door.signUp({ ...options, device }, new AbortController().signal));
  }

  /** A new session. Throws WeftError: `unknown_user`, `login_failed`, `rate_limited` … */
  static async logIn(options: LogInOptions): Promise<Weft> {
    return Weft.#enter(options, (door, device) => door.logIn({ ...options, device }, new AbortController().signal));
  }

  /** Goes on with a session of an earlier run: the one given, or the one in `ports.session`. Throws `session_ended` without one. Needs no network. */
  static async resume(options: WeftOptions & { readonly session?: Session }): Promise<Weft> {
    const ports = withDefaults(options.ports);
    const session = options.session ?? (await ports.session.load());
    if (session === undefined) throw new WeftError('session_ended', 'there is no stored session');
    return Weft.#start(session, ports, options);
  }

  static async #enter(options: LogInOptions, enter: (door: CellDoor, device: string) => Promise<Session>): Promise<Weft> {
    const ports = withDefaults(options.ports);
    const door = new CellDoor({ http: ports.http, clock: ports.clock, router: options.router });
    const session = await enter(door, options.device ?? randomDevice(ports.random));
    await ports.session.save(session);
    return Weft.#start(session, ports, options);
  }

  static async #start(session: Session, ports: Ports, options: WeftOptions): Promise<Weft> {
    const weft = new Weft(session, ports, options);
    await weft.#engine.start();
    return weft;
  }

  private constructor(session: Session, ports: Ports, options: WeftOptions) {
    this.#ports = ports;
    this.#doors = new CellDoor({ http: ports.http, clock: ports.clock, router: session.router });
    this.#keeper = new SessionKeeper({ session, store: ports.session, doors: this.#doors, clock: ports.clock });
    this.#engine = new Engine({
      ports,
      keeper: this.#keeper,
      options,
      keys: () => this.#doors.keys(this.#keeper.session, this.#ended.signal),
    });
  }

  /** The user's id. */
  get me(): bigint {
    return this.#engine.me;
  }

  get handle(): string {
    return this.#keeper.session.handle;
  }

  /** As it is now; its tokens are the user's. */
  get session(): Session {
    return this.#keeper.session;
  }

  get state(): WeftState {
    return this.#engine.state;
  }

  /** Listens; the result stops it. Order per conversation is kept. */
  on<E extends keyof WeftEvents>(event: E, fn: (...args: WeftEvents[E]) => void): () => void {
    if (event === 'entry') this.#engine.wantAll();
    return this.#engine.listeners.add(event, fn);
  }

  /** Resolves when the connection is live. Rejects with WeftError `not_ready` after `withinMs`, or when the client stopped. */
  live(withinMs: number = limits.stateMsMax): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const settle = (): void => {
      const { name, reason } = this.state;
      if (name === 'live') resolve();
      else if (name === 'stopped') reject(new WeftError('not_ready', `the client was stopped: ${reason}`));
    };
    const off = this.on('state', settle);
    const cancel = this.#ports.clock.timer(withinMs, () => reject(new WeftError('not_ready', this.state.reason)));
    settle();
    return promise.finally(() => {
      off();
      cancel();
    });
  }

  /**
   * The direct conversation with a person, by handle or id; the same object each time. It can be written to at once, also when
   * the other's cell is away. Throws WeftError: `unknown_user`, or `later` when no cell could be asked for the handle.
   */
  async openDirect(who: string | bigint): Promise<Conversation> {
    const peer = typeof who === 'bigint' ? who : BigInt((await this.#byHandle(who)).user);
    const conversation = this.#engine.table.byPeer(peer);
    if (conversation.log !== undefined) return conversation;
    const opening = this.#engine.requests
      .ask({ $case: 'openDirect', value: { peer, clientEntryId: this.#engine.outbox.newId() } }, 'opened')
      .then(({ log }) => this.#engine.table.bind(log, { kind: 'LOG_KIND_DIRECT', peer }));
    const patience = Promise.withResolvers<void>();
    const cancel = this.#ports.clock.timer(limits.restMsMax, () => patience.resolve());
    try {
      await Promise.race([opening, patience.promise]);
    } catch (error) {
      // Whoever cannot open it now can still write: the home cell keeps it until the pair's cell answers.
      if (asFault(error).retry === 'never') throw error;
    } finally {
      cancel();
      opening.catch(() => undefined);
    }
    return conversation;
  }

  /** A new group with these people (ids) besides the user. Throws WeftError. */
  async createGroup(title: string, members: readonly bigint[]): Promise<Conversation> {
    const value = { clientEntryId: this.#engine.outbox.newId(), title, members: [...members], membersMax: 0 };
    const { log } = await this.#engine.requests.ask({ $case: 'createGroup', value }, 'opened');
    return this.#engine.table.bind(log, { kind: 'LOG_KIND_GROUP', title });
  }

  /** The conversation of a log; the same object each time. */
  conversation(log: bigint): Conversation {
    return this.#engine.table.byLog(log);
  }

  /** All conversations of the user with their heads and unread counts. Throws WeftError. */
  async conversations(): Promise<ConversationInfo[]> {
    const infos: ConversationInfo[] = [];
    let after = 0n;
    for (let page = 0; page < limits.logPagesMax; page++) {
      const heads = await this.#engine.requests.ask({ $case: 'listLogs', value: { after, limit: wireLimits.pageEntriesMax } }, 'heads');
      for (const info of heads.logs)
        if (info.kind !== 'LOG_KIND_SELF' && info.head !== undefined) infos.push(this.#info(info, info.head.log));
      after = heads.logs.at(-1)?.head?.log ?? 0n;
      if (heads.end || after === 0n) break;
    }
    return infos;
  }

  /** The handle of a user; the id when nobody can tell now. */
  async nameOf(user: bigint): Promise<string> {
    if (user === this.#engine.me) return this.handle;
    const id = String(user);
    const known = this.#names.get(id);
    if (known !== undefined) return known;
    try {
      const { handle } = await this.#doors.homeOf(id, this.#ended.signal);
      this.#remember(id, handle);
      return handle;
    } catch {
      return id;
    }
  }

  /**
   * What this client holds of a log at `seq`, to be given to another member; the newest entry shown when not told. Undefined
   * when that entry is not among the last few hundred shown. `number` is the same to be read aloud.
   */
  proofOf(log: bigint, seq?: number): (HistoryAt & { readonly number: string }) | undefined {
    const at = seq ?? this.#engine.table.byLog(log).head;
    const hash = this.#engine.audit.hashAt(log, at);
    return hash && { log, seq: at, hash, number: safetyNumber(this.#ports.sha256, { log, seq: at, hash }) };
  }

  /** Whether another member's history of a log is this client's, up to that entry. `unknown`: it is not at hand here. */
  compare(other: HistoryAt): 'same' | 'different' | 'unknown' {
    const own = this.proofOf(other.log, other.seq);
    if (own === undefined) return 'unknown';
    return sameHash(own.hash, other.hash) ? 'same' : 'different';
  }

  /** Ends a pause now, as when the network came back. */
  hurry(): void {
    this.#engine.line.hurry();
  }

  /** Stops. What is in a durable outbox goes on at the next start. */
  async close(): Promise<void> {
    if (this.#ended.signal.aborted) return;
    this.#ended.abort();
    await this.#engine.close();
  }

  /** Ends the session in the cell too, as far as it can be told, and forgets it here. */
  async logOut(): Promise<void> {
    const late = new AbortController();
    const cancel = this.#ports.clock.timer(limits.restMsMax, () => late.abort());
    await this.#doors
      .logOut(this.#keeper.session, late.signal)
      .catch(() => undefined)
      .finally(cancel);
    await this.#keeper.forget();
    await this.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #info(info: LogInfo, log: bigint): ConversationInfo {
    const { kind, peer, title } = info;
    const conversation = this.#engine.table.bind(log, { kind, peer, title });
    return {
      conversation,
      kind: kindFromWire(kind),
      peer: conversation.peer,
      title,
      headSeq: Number(info.head?.seq ?? 0n),
      headTs: Number(info.head?.ts ?? 0n),
      seenSeq: Number(info.seenSeq),
      unread: Number(info.unread),
    };
  }

  async #byHandle(handle: string): Promise<{ readonly user: string }> {
    const found = await this.#doors.byHandle(handle, this.#keeper.session, this.#ended.signal);
    this.#remember(found.user, found.handle);
    return found;
  }

  #remember(user: string, handle: string): void {
    if (this.#names.size >= limits.namesMax) this.#names.clear();
    this.#names.set(user, handle);
  }
}
