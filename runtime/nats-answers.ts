// Answers of one peer: one wildcard inbox that only that peer may answer to, and a table of what is still open.
import { type Msg, type NatsConnection, nuid, type Subscription } from '@nats-io/transport-node';
import { subjects } from '@weft/proto/subjects.ts';
import { linkLimits } from './link-limits.ts';

/** A message, or why none came: `timeout` includes a connection lost meanwhile. */
export type Answer = Msg | 'timeout';

interface Open {
  readonly endsMs: number;
  readonly settle: (answer: Answer) => void;
}

export class PeerAnswers implements Disposable {
  readonly #inbox: string;
  readonly #subscription: Subscription;
  readonly #open = new Map<string, Open>();
  #next = 0;
  #sweep: NodeJS.Timeout | undefined;

  constructor({ nc, cell, peer }: { readonly nc: NatsConnection; readonly cell: string; readonly peer: string }) {
    this.#inbox = `${subjects.inbox(cell, peer)}.${nuid.next()}.`;
    this.#subscription = nc.subscribe(`${this.#inbox}*`, {
      callback: (error, message) => (error === null ? this.#arrived(message) : undefined),
    });
  }

  get size(): number {
    return this.#open.size;
  }

  get full(): boolean {
    return this.#open.size >= linkLimits.unansweredPerPeerMax;
  }

  /** Opens a place for one answer and gives its reply subject. `settle` is called exactly once. */
  expect(timeoutMs: number, settle: (answer: Answer) => void): string {
    const id = (this.#next++).toString(36);
    this.#open.set(id, { endsMs: performance.now() + timeoutMs, settle });
    this.#sweep ??= setInterval(() => this.#expire(performance.now()), linkLimits.answerSweepMs);
    return this.#inbox + id;
  }

  /** Gives up a place whose question was never sent; `settle` is not called. */
  withdraw(reply: string): void {
    this.#open.delete(reply.slice(this.#inbox.length));
  }

  /** The connection was lost: nothing that is open will be answered. */
  lost(): void {
    this.#expire(Number.POSITIVE_INFINITY);
  }

  [Symbol.dispose](): void {
    this.#subscription.unsubscribe();
    this.lost();
    clearInterval(this.#sweep);
  }

  #arrived(message: Msg): void {
    const id = message.subject.slice(this.#inbox.length);
    const open = this.#open.get(id);
    if (open === undefined) return;
    this.#open.delete(id);
    open.settle(message);
  }

  #expire(nowMs: number): void {
    for (const [id, open] of this.#open) {
      if (open.endsMs > nowMs) continue;
      this.#open.delete(id);
      open.settle('timeout');
    }
    if (this.#open.size > 0) return;
    clearInterval(this.#sweep);
    this.#sweep = undefined;
  }
}

/** Nobody listens to the subject: the question reached no one. */
export const isNoResponders = (message: Msg): boolean => message.data.length === 0 && message.headers?.code === 503;
