// One authenticated connection of the load generator: hello, requests by id, appends from templates with the resend rule.

import type { Buffer } from 'node:buffer';
import { RawSocket } from '@weft/local/raw-socket.ts';
import { ClientFrame, type Fault, type ReadHistory, ServerFrame, type Welcome } from '@weft/proto/gen/weft/client/v1/client.ts';
import { idEpochMs } from '@weft/proto/ids.ts';
import { benchLimits } from './limits.ts';
import { type PageSeqs, readPageSeqs } from './page-seqs.ts';
import { type AppendTemplate, type EntryView, type Halves, HotReader, type HotSink, halves, idFirst } from './wire.ts';

export type ServerEvent = NonNullable<ServerFrame['event']>;
export type ServerEventOf<C extends ServerEvent['$case']> = Extract<ServerEvent, { $case: C }>['value'];
export type Request = NonNullable<ClientFrame['request']>;

export interface LoadUser {
  /** Decimal. */
  readonly user: string;
  readonly device: string;
  readonly accessToken: string;
  readonly url: string;
}

export interface ResumePoint {
  readonly cursor: Uint8Array;
  readonly digest: bigint;
}

export interface LoadEvents extends HotSink {
  /** Everything that is no answer to `ask` and not hot. */
  other?(event: ServerEvent): void;
  /** An append was answered by a fault that says `never`. */
  failed?(fault: Fault): void;
  closed?(code: number, reason: string): void;
}

/** Stands for an answer that was read in place. */
const nothing: ServerEvent = { $case: 'done', value: {} };

/** Unanswered appends of one socket that are remembered for a resend; a power of two above every window used here. */
const appendsRemembered = 64;

/** Counts client entry ids of this process: unique, and the low bits are the place of the send time. */
export class EntryIds {
  #at: bigint;

  constructor(nowMs: number) {
    this.#at = BigInt(nowMs - idEpochMs) << 22n;
    this.next = halves(this.#at);
  }

  /** Changed in place by `take`. */
  readonly next: Halves;

  take(): Halves {
    const next = this.next;
    next.lo += 1;
    if (next.lo > 0xffff_ffff) {
      next.lo = 0;
      next.hi += 1;
    }
    return next;
  }
}

export class LoadClient {
  readonly user: bigint;
  readonly welcome: Welcome;
  /** Faults met, by code. */
  readonly faults = new Map<string, number>();
  readonly #socket: RawSocket;
  readonly #events: LoadEvents;
  readonly #waiting: Map<number, (event: ServerEvent) => void>;
  /** Requests for pages of which only the seqs are wanted. */
  readonly #pages = new Map<number, (page: PageSeqs) => void>();
  #asked = 1;
  #appended = 0;
  readonly #sent: { template: AppendTemplate; lo: number; hi: number }[] = [];
  #again: number[] = [];

  private constructor(init: {
    user: LoadUser;
    welcome: Welcome;
    socket: RawSocket;
    events: LoadEvents;
    waiting: Map<number, (event: ServerEvent) => void>;
  }) {
    this.user = BigInt(init.user.user);
    this.welcome = init.welcome;
    this.#socket = init.socket;
    this.#events = init.events;
    this.#waiting = init.waiting;
  }

  /** Connects and says hello. Rejects when the answer is no Welcome. */
  static async connect(user: LoadUser, events: LoadEvents, resume?: ResumePoint): Promise<LoadClient> {
    const waiting = new Map<number, (event: ServerEvent) => void>();
    const reader = new HotReader(events);
    let client: LoadClient | undefined;
    let welcomed = false;
    let lost = (_reason: string): void => {};
    const socket = await RawSocket.open(user.url, {
      message: (bytes: Buffer, start: number, end: number) => {
        if (welcomed && (reader.read(bytes, start, end) || client?.tookPage(bytes, start, end))) return;
        const { re, event } = ServerFrame.decode(bytes.subarray(start, end));
        if (event === undefined) return;
        if (event.$case === 'welcome') welcomed = true;
        const answer = waiting.get(Number(re));
        if (answer !== undefined) {
          waiting.delete(Number(re));
          answer(event);
        } else if (event.$case === 'fault' && re >= idFirst) client?.faulted(Number(re) - idFirst, event.value);
        else events.other?.(event);
      },
      closed: (code, reason) => {
        lost(`${code} ${reason}`);
        events.closed?.(code, reason);
      },
    });
    const answer = await new Promise<ServerEvent>((resolve, reject) => {
      lost = (reason) => reject(new Error(`closed before Welcome: ${reason}`));
      waiting.set(1, resolve);
      const hello = { token: user.accessToken, device: user.device, agent: 'weft-bench', resume, openedAt: 0n };
      socket.send(ClientFrame.encode({ id: 1n, request: { $case: 'hello', value: hello } }).finish());
    });
    lost = () => {};
    if (answer.$case !== 'welcome') {
      socket.cut();
      throw new Error(`no Welcome but ${answer.$case}${answer.$case === 'fault' ? ` ${answer.value.code}: ${answer.value.text}` : ''}`);
    }
    client = new LoadClient({ user, welcome: answer.value, socket, events, waiting });
    return client;
  }

  /** Asks and waits for the answer. A fault that says `later` is repeated; every other answer than `wanted` throws. */
  ask<C extends ServerEvent['$case']>(request: Request, wanted: C): Promise<ServerEventOf<C>> {
    return this.#repeated(request, async () => {
      const answer = await this.#answer(request);
      if (answer.$case === wanted) return { value: answer.value as ServerEventOf<C> };
      return answer;
    });
  }

  /** The same for a page of which only the seqs are wanted. */
  readSeqs(value: ReadHistory): Promise<PageSeqs> {
    const request = { $case: 'readHistory', value } as const;
    return this.#repeated(request, async () => {
      const id = this.#asked + 1;
      const page = new Promise<{ value: PageSeqs }>((resolve) => {
        this.#pages.set(id, (seqs) => {
          this.#waiting.get(id)?.(nothing);
          this.#waiting.delete(id);
          resolve({ value: seqs });
        });
      });
      const answer = await this.#answer(request);
      if (answer === nothing) return page;
      this.#pages.delete(id);
      return answer;
    });
  }

  /** @internal True for a page that was asked for by `readSeqs`. */
  tookPage(bytes: Buffer, start: number, end: number): boolean {
    if (this.#pages.size === 0) return false;
    const read = readPageSeqs(bytes, start, end);
    const take = read && this.#pages.get(read.re);
    if (take === undefined) return false;
    this.#pages.delete(read?.re ?? 0);
    take(read?.page as PageSeqs);
    return true;
  }

  async #repeated<T>(request: Request, ask: () => Promise<{ readonly value: T; readonly $case?: undefined } | ServerEvent>): Promise<T> {
    for (let attempt = 0; attempt < benchLimits.restAttemptsMax; attempt++) {
      const answer = await ask();
      if (answer.$case === undefined) return answer.value;
      if (answer.$case !== 'fault') throw new Error(`asked ${request.$case}, got ${answer.$case}`);
      this.#count(answer.value.code);
      if (answer.value.retry !== 'RETRY_LATER') throw new Error(`${request.$case}: ${answer.value.code}: ${answer.value.text}`);
      await new Promise((resolve) => setTimeout(resolve, Math.max(answer.value.afterMs, 100)));
    }
    throw new Error(`${request.$case}: still "later" after ${benchLimits.restAttemptsMax} attempts`);
  }

  #answer(request: Request): Promise<ServerEvent> {
    this.#asked += 1;
    const id = this.#asked;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Error(`${request.$case}: no answer in ${benchLimits.answerMsMax} ms`));
      }, benchLimits.answerMsMax);
      this.#waiting.set(id, (event) => {
        clearTimeout(timer);
        resolve(event);
      });
      this.#socket.send(ClientFrame.encode({ id: BigInt(id), request }).finish());
    });
  }

  /** Sends one append; the answer comes to the sink. A fault that says `later` is sent again, in order, by the client. */
  append(template: AppendTemplate, entryId: Halves): void {
    const n = this.#appended++;
    const place = n & (appendsRemembered - 1);
    const kept = this.#sent[place];
    if (kept === undefined) this.#sent[place] = { template, lo: entryId.lo, hi: entryId.hi };
    else {
      kept.template = template;
      kept.lo = entryId.lo;
      kept.hi = entryId.hi;
    }
    this.#socket.sendFrame(template.frame(n, entryId));
  }

  /** @internal The append number n was answered by a fault. */
  faulted(n: number, fault: Fault): void {
    this.#count(fault.code);
    if (fault.retry !== 'RETRY_LATER') {
      this.#events.failed?.(fault);
      return;
    }
    this.#again.push(n);
    if (this.#again.length > 1) return;
    setTimeout(
      () => {
        const again = this.#again.sort((a, b) => a - b);
        this.#again = [];
        const appends = again
          .map((at) => this.#sent[at & (appendsRemembered - 1)])
          .filter((append) => append !== undefined)
          .map((append) => ({ ...append }));
        for (const { template, lo, hi } of appends) this.append(template, { lo, hi });
      },
      Math.max(fault.afterMs, 50),
    );
  }

  #count(code: string): void {
    this.faults.set(code, (this.faults.get(code) ?? 0) + 1);
  }

  cut(): void {
    this.#socket.cut();
  }

  close(): void {
    this.#socket.close();
  }
}

/** Send times by the low bits of the client entry id. */
export class SendTimes {
  readonly #times = new Float64Array(benchLimits.sendTimesMax);

  sent(entryId: Halves, nowMs: number): void {
    this.#times[entryId.lo & (benchLimits.sendTimesMax - 1)] = nowMs;
  }

  /** Milliseconds since that entry was sent. */
  since(entry: EntryView, nowMs: number): number {
    return nowMs - (this.#times[entry.entryIdLo & (benchLimits.sendTimesMax - 1)] ?? nowMs);
  }
}
