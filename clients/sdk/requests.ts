// Calls of the caller's: asked again on the next connection when one breaks, so all of them must be idempotent.

import { WeftError } from '@weft/proto/faults.ts';

import { faultFromWire } from './faults.ts';
import { clientLimits as limits } from './limits.ts';
import type { Line } from './line.ts';
import type { Clock } from './ports.ts';
import type { ReplyCase, ReplyOf, Request } from './wire.ts';

interface Call {
  readonly request: Request;
  readonly expect: readonly ReplyCase[];
  readonly resolve: (value: never) => void;
  readonly reject: (fault: WeftError) => void;
  /** Only on this connection. */
  readonly once: boolean;
  readonly dueMs: number;
}

export class Requests {
  readonly #line: () => Line;
  readonly #clock: Clock;
  /** Waiting for a connection, in the order asked. */
  #queue: Call[] = [];
  #cancelTimer: (() => void) | undefined;

  constructor(options: { line: () => Line; clock: Clock }) {
    this.#line = options.line;
    this.#clock = options.clock;
  }

  /**
   * Resolves with the reply of the expected kind. Rejects with WeftError: the fault that came instead, or `not_ready`
   * after requestMsMax without a connection (with `once`: when the connection breaks).
   */
  ask<C extends ReplyCase>(request: Request, expect: C | readonly C[], how: { readonly once?: boolean } = {}): Promise<ReplyOf<C>> {
    return new Promise<ReplyOf<C>>((resolve, reject) => {
      const dueMs = this.#clock.monotonic() + limits.requestMsMax;
      const kinds: readonly ReplyCase[] = typeof expect === 'string' ? [expect] : expect;
      this.#send({ request, expect: kinds, resolve: resolve as (value: never) => void, reject, once: how.once ?? false, dueMs });
    });
  }

  /** Sends what waited. */
  attached(): void {
    const queue = this.#queue;
    this.#queue = [];
    for (const call of queue) this.#send(call);
  }

  /** Nothing will be answered any more. */
  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    for (const call of this.#queue.splice(0)) call.reject(new WeftError('not_ready', 'the client was stopped'));
  }

  #send(call: Call): void {
    const sent = this.#line().send(call.request, {
      answered: (reply) => {
        if (call.expect.includes(reply.$case)) call.resolve(reply.value as never);
        else if (reply.$case === 'fault') call.reject(faultFromWire(reply.value));
        else call.reject(new WeftError('internal', `the node answered ${call.request.$case} with ${reply.$case}`));
      },
      lost: () => this.#wait(call),
    });
    if (!sent) this.#wait(call);
  }

  #wait(call: Call): void {
    const stopped = this.#line().connection.name === 'stopped';
    if (call.once || stopped || this.#clock.monotonic() >= call.dueMs)
      return call.reject(new WeftError('not_ready', 'no connection to the home cell'));
    if (this.#queue.length >= limits.requestsWaitingMax) return call.reject(new WeftError('busy', 'too many calls wait for a connection'));
    this.#queue.push(call);
    if (this.#cancelTimer === undefined) this.#arm();
  }

  #arm(): void {
    const due = Math.min(...this.#queue.map((call) => call.dueMs));
    if (!Number.isFinite(due)) return;
    this.#cancelTimer = this.#clock.timer(Math.max(0, due - this.#clock.monotonic()) + 1, () => {
      this.#cancelTimer = undefined;
      const nowMs = this.#clock.monotonic();
      const late = this.#queue.filter((call) => call.dueMs <= nowMs);
      this.#queue = this.#queue.filter((call) => call.dueMs > nowMs);
      for (const call of late) call.reject(new WeftError('not_ready', 'no connection to the home cell'));
      this.#arm();
    });
  }
}
