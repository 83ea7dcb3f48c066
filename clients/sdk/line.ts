// Carries out what connection.ts decides: look-ups, one socket, one timer, and the requests on the way.

import { WeftError } from '@weft/proto/faults.ts';
import type { Welcome } from '@weft/proto/gen/weft/client/v1/client.ts';

import { type Connection, type ConnectionEvent, type Effect, idleConnection, step } from './connection.ts';
import { socketUrl } from './doors.ts';
import { retryOf } from './faults.ts';
import { clientLimits as limits } from './limits.ts';
import type { Ports, Socket } from './ports.ts';
import type { SessionKeeper } from './session.ts';
import type { Reply, Request, Wire } from './wire.ts';

export interface Waiter {
  /** The one reply; a fault too. Called in the order the socket brings it, between pushes. */
  answered(reply: Reply): void;
  /** The connection ended first: whether the request was carried out is unknown. */
  lost(): void;
}

export interface LineEvents {
  /** Everything of Hello but the token. */
  hello(): { readonly device: string; readonly cursor: Uint8Array; readonly digest: bigint; readonly agent: string };
  /** The connection is usable from here … */
  attached(welcome: Welcome): void;
  /** … to here. */
  detached(): void;
  /** A frame without `re`, in order. */
  pushed(push: Reply): void;
  changed(connection: Connection): void;
}

const normalCode = 1000;

export class Line {
  #state: Connection = idleConnection;
  readonly #ports: Ports;
  readonly #wire: Wire;
  readonly #keeper: SessionKeeper;
  readonly #events: LineEvents;
  #socket: Socket | undefined;
  #look: AbortController | undefined;
  #attached = false;
  #welcome: Welcome | undefined;
  #nextId = 1n;
  /** What told this connection from the ones before it. */
  #openedAt = 0;
  readonly #waiting = new Map<bigint, { readonly waiter: Waiter; readonly sentMs: number }>();
  #cancelTimer: (() => void) | undefined;
  #timerDueMs = Number.POSITIVE_INFINITY;

  constructor(options: { ports: Ports; wire: Wire; keeper: SessionKeeper; events: LineEvents }) {
    this.#ports = options.ports;
    this.#wire = options.wire;
    this.#keeper = options.keeper;
    this.#events = options.events;
  }

  get connection(): Connection {
    return this.#state;
  }

  get attached(): boolean {
    return this.#attached;
  }

  start(): void {
    const { urls, accessEnds } = this.#keeper.session;
    this.#step({ on: 'start', urls, tokenEndsMs: this.#monotonic(accessEnds) });
  }

  stop(): void {
    this.#step({ on: 'stop' });
  }

  /** Ends a pause now. */
  hurry(): void {
    this.#step({ on: 'hurry' });
  }

  /** What was missed is fetched. */
  caughtUp(): void {
    if (this.#state.name === 'resuming') this.#step({ on: 'caughtUp', turn: this.#state.turn });
  }

  /** Sends one request; false, and nothing happens, when there is no connection. Throws what the encoder throws. */
  send(request: Request, waiter: Waiter): boolean {
    if (!this.#attached || this.#socket === undefined) return false;
    this.#post(request, waiter);
    return true;
  }

  #post(request: Request, waiter: Waiter): void {
    const id = this.#nextId;
    const data = this.#wire.encode(id, request);
    this.#nextId += 1n;
    this.#waiting.set(id, { waiter, sentMs: this.#ports.clock.monotonic() });
    if (this.#waiting.size === 1) this.#arm();
    this.#socket?.send(data);
  }

  #step(event: ConnectionEvent): void {
    const before = this.#state;
    const at = { nowMs: this.#ports.clock.monotonic(), draw: this.#ports.random.next() };
    const [next, effects] = step(before, event, at);
    this.#state = next;
    for (const effect of effects) this.#carryOut(effect);
    // An effect may have taken a step of its own; then that step has armed and told.
    if (this.#state !== next) return;
    this.#arm();
    if (next.name !== before.name || next.turn !== before.turn) this.#events.changed(next);
  }

  #carryOut(effect: Effect): void {
    switch (effect.do) {
      case 'locate':
        return this.#locate(effect);
      case 'open':
        return this.#open(effect.turn, effect.url);
      case 'hello':
        return this.#hello(effect.turn);
      case 'attach':
        this.#attached = true;
        if (this.#welcome !== undefined) this.#events.attached(this.#welcome);
        return;
      case 'detach':
        return this.#detach();
      case 'renew':
        return this.#renew(effect.turn);
      case 'abandon':
        return this.#abandon();
    }
  }

  #locate(want: { readonly turn: number; readonly lookUp: boolean; readonly refresh: boolean }): void {
    const { turn } = want;
    const look = new AbortController();
    this.#look = look;
    this.#keeper.locate(want, look.signal).then(
      ({ urls, accessEnds }) => this.#step({ on: 'located', turn, urls, tokenEndsMs: this.#monotonic(accessEnds) }),
      (error: unknown) => {
        const fault = asFault(error);
        this.#step({ on: 'locateFailed', turn, retry: fault.retry, afterMs: fault.afterMs, reason: fault.message });
      },
    );
  }

  #open(turn: number, url: string): void {
    try {
      this.#socket = this.#ports.socket(socketUrl(url), this.#wire.protocol, {
        opened: () => this.#step({ on: 'opened', turn }),
        message: (data) => this.#receive(turn, data),
        closed: (code) => this.#step({ on: 'closed', turn, code }),
      });
    } catch (error) {
      // An address that is none. Told from a timer, as a socket would: a step never runs inside another.
      const reason = asFault(error).message;
      this.#ports.clock.timer(0, () => this.#step({ on: 'stuck', turn, reason }));
    }
  }

  #hello(turn: number): void {
    const { device, cursor, digest, agent } = this.#events.hello();
    const resume = cursor.length === 0 ? undefined : { cursor, digest };
    this.#openedAt = Math.max(this.#openedAt + 1, this.#ports.clock.now());
    const hello = { token: this.#keeper.session.accessToken, device, resume, agent, openedAt: BigInt(Math.floor(this.#openedAt)) };
    this.#post({ $case: 'hello', value: hello }, { answered: (reply) => this.#greeted(turn, reply), lost: () => undefined });
  }

  #greeted(turn: number, reply: Reply): void {
    switch (reply.$case) {
      case 'welcome': {
        this.#welcome = reply.value;
        const tokenEndsMs = this.#monotonic(Number(reply.value.tokenEnds));
        return this.#step({ on: 'welcomed', turn, heartbeatMs: reply.value.heartbeatMs, tokenEndsMs });
      }
      case 'redirect':
        return this.#step({ on: 'redirected', turn, url: reply.value.url, afterMs: reply.value.afterMs });
      case 'fault': {
        const { code, text, afterMs } = reply.value;
        return this.#step({ on: 'helloRefused', turn, code, retry: retryOf(reply.value), afterMs, reason: text || code });
      }
      default:
        return this.#step({ on: 'stuck', turn, reason: 'the node answered hello with something else' });
    }
  }

  #receive(turn: number, data: Uint8Array | string): void {
    if (turn !== this.#state.turn) return;
    let frame: ReturnType<Wire['decode']>;
    try {
      frame = this.#wire.decode(data);
    } catch (error) {
      this.#step({ on: 'stuck', turn, reason: `a message could not be read: ${asFault(error).message}` });
      return;
    }
    // A kind of frame this version does not know is ignored, as unknown fields are.
    if (frame.event === undefined) return;
    if (frame.re === 0n) return this.#pushed(turn, frame.event);
    const waiting = this.#waiting.get(frame.re);
    this.#waiting.delete(frame.re);
    waiting?.waiter.answered(frame.event);
  }

  #pushed(turn: number, push: Reply): void {
    if (push.$case === 'redirect') return this.#step({ on: 'redirected', turn, url: push.value.url, afterMs: push.value.afterMs });
    if (push.$case === 'leaving') return this.#step({ on: 'leaving', turn, url: push.value.url, afterMs: push.value.afterMs });
    if (push.$case === 'heartbeat') this.#step({ on: 'heartbeat', turn });
    if (this.#attached) this.#events.pushed(push);
  }

  #renew(turn: number): void {
    const look = new AbortController();
    this.#look = look;
    const renewed = async (): Promise<void> => {
      await this.#keeper.refresh(look.signal);
      const { accessToken, accessEnds } = this.#keeper.session;
      const answered = (reply: Reply): void => {
        if (reply.$case === 'done') this.#step({ on: 'renewed', turn, tokenEndsMs: this.#monotonic(accessEnds) });
      };
      // Without an answer the next renewal is planned already.
      if (turn === this.#state.turn) this.send({ $case: 'renewToken', value: { token: accessToken } }, { answered, lost: () => undefined });
    };
    renewed().catch((error: unknown) => this.#step({ on: 'renewFailed', turn, retry: asFault(error).retry }));
  }

  #detach(): void {
    this.#attached = false;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    this.#events.detached();
    for (const { waiter } of waiting) waiter.lost();
  }

  #abandon(): void {
    this.#look?.abort();
    this.#look = undefined;
    this.#socket?.close(normalCode);
    this.#socket = undefined;
    this.#waiting.clear();
  }

  /** One timer for the state's deadline and the oldest unanswered request; an earlier one that fires finds nothing due and is set anew. */
  #arm(): void {
    const oldest = this.#waiting.values().next().value;
    const answerDueMs = oldest === undefined ? Number.POSITIVE_INFINITY : oldest.sentMs + limits.answerMsMax;
    const dueMs = Math.min(this.#state.deadlineMs, answerDueMs);
    if (this.#cancelTimer !== undefined && this.#timerDueMs <= dueMs && Number.isFinite(dueMs)) return;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    if (!Number.isFinite(dueMs)) return;
    this.#timerDueMs = dueMs;
    this.#cancelTimer = this.#ports.clock.timer(Math.max(0, Math.ceil(dueMs - this.#ports.clock.monotonic())), () => this.#due());
  }

  #due(): void {
    this.#cancelTimer = undefined;
    const nowMs = this.#ports.clock.monotonic();
    const oldest = this.#waiting.values().next().value;
    if (nowMs >= this.#state.deadlineMs) this.#step({ on: 'tick' });
    else if (oldest !== undefined && nowMs >= oldest.sentMs + limits.answerMsMax) {
      this.#step({ on: 'stuck', turn: this.#state.turn, reason: 'the node does not answer' });
    }
    this.#arm();
  }

  #monotonic(unixMs: number): number {
    return unixMs - this.#ports.clock.now() + this.#ports.clock.monotonic();
  }
}

/** Whatever was thrown, as a fault; what is none is retried later. */
export function asFault(error: unknown): WeftError {
  if (error instanceof WeftError) return error;
  return new WeftError('internal', error instanceof Error ? error.message : String(error));
}
