// Requests between cells: asked of one peer, answered by one node of it.
import { headers, type Msg, type NatsConnection } from '@nats-io/transport-node';
import { subjects, subjectTail } from '@weft/proto/subjects.ts';
import { linkLimits } from './link-limits.ts';
import type { Log } from './log.ts';
import { isNoResponders, type PeerAnswers } from './nats-answers.ts';
import { SourceSubscriptions } from './nats-sources.ts';
import type { BusWatch } from './nats-watch.ts';

/** no-responders: nobody took it, come again after a while. timeout: it may have been handled. */
export type RequestOutcome =
  | { readonly ok: true; readonly bytes: Uint8Array }
  | { readonly ok: false; readonly why: 'no-responders' | 'timeout' };

/** Answers, or undefined to say nothing (what does not open gets no answer). */
export type RequestHandler = (src: string, method: string, bytes: Uint8Array) => Promise<Uint8Array | undefined>;

export interface RequestAddress {
  readonly dst: string;
  /** One or more subject tokens, such as "pull". */
  readonly method: string;
  readonly timeoutMs: number;
}

export interface RequesterParts {
  readonly nc: NatsConnection;
  readonly watch: BusWatch;
  readonly cell: string;
  readonly answersOf: (peer: string) => PeerAnswers;
}

/** Asks one peer. Never rejects for what the peer or the bus does. */
export function ask(
  { nc, watch, cell, answersOf }: RequesterParts,
  { dst, method, timeoutMs }: RequestAddress,
  bytes: Uint8Array,
): Promise<RequestOutcome> {
  const answers = answersOf(dst);
  if (!watch.connected || answers.full) return Promise.resolve({ ok: false, why: 'no-responders' });
  return new Promise((resolve, reject) => {
    const reply = answers.expect(timeoutMs, (answer) => resolve(outcome(answer)));
    try {
      nc.publish(subjects.request(dst, cell, method), bytes, { reply });
    } catch (error) {
      answers.withdraw(reply);
      if (nc.isClosed()) resolve({ ok: false, why: 'no-responders' });
      else reject(error);
    }
  });
}

function outcome(answer: Msg | 'timeout'): RequestOutcome {
  if (answer === 'timeout') return { ok: false, why: 'timeout' };
  return isNoResponders(answer) ? { ok: false, why: 'no-responders' } : { ok: true, bytes: answer.data };
}

export interface RequestServerOptions {
  readonly nc: NatsConnection;
  readonly cell: string;
  readonly handler: RequestHandler;
  readonly log: Log;
}

/** Answers the requests of the named cells, at most 256 at once in this node; more are told that nobody is here. */
export class RequestServer implements AsyncDisposable {
  readonly counters = { requests: 0, turnedAway: 0, failures: 0 };
  readonly #options: RequestServerOptions;
  readonly #sources: SourceSubscriptions;
  readonly #running = new Set<Promise<void>>();
  #closed = false;

  constructor(options: RequestServerOptions, sources: Iterable<string>) {
    const { nc, cell, log } = options;
    this.#options = options;
    const subject = (src: string): string => subjects.requestsFrom(cell, src);
    // The queue makes one node of the cell answer.
    this.#sources = new SourceSubscriptions(
      { nc, log, subject, queue: cell, onMessage: (src, message) => this.#take(src, message) },
      sources,
    );
  }

  setSources(sources: Iterable<string>): void {
    if (!this.#closed) this.#sources.set(sources);
  }

  /** Takes no more, and waits for what is being answered. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#sources[Symbol.dispose]();
    await Promise.all(this.#running);
  }

  #take(src: string, message: Msg): void {
    if (this.#running.size >= linkLimits.requestsAtOnceMax) {
      this.counters.turnedAway++;
      message.respond(new Uint8Array(), { headers: headers(503, 'busy') });
      return;
    }
    this.counters.requests++;
    const one = this.#answer(src, message).finally(() => this.#running.delete(one));
    this.#running.add(one);
  }

  async #answer(src: string, message: Msg): Promise<void> {
    try {
      const answer = await this.#options.handler(src, subjectTail(message.subject), message.data);
      if (answer !== undefined) message.respond(answer);
    } catch (error) {
      // A bug of the handler; the asker's time runs out.
      this.counters.failures++;
      this.#options.log.error({ err: error, src }, 'a request was not answered');
    }
  }
}
