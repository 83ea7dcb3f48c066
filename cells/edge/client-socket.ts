// One client's connection: greeting, requests, pushes, heartbeat. Everything it may make the node keep is bounded.
import { type CloseReason, closeCodes } from '@weft/proto/close-codes.ts';
import { type FaultCode, faults, WeftError } from '@weft/proto/faults.ts';
import { type ClientFrame, type Fault, Refused } from '@weft/proto/gen/weft/client/v1/client.ts';
import { digestValue } from '@weft/proto/heads-digest.ts';
import { limits } from '@weft/proto/limits.ts';
import type { RawData, WebSocket } from 'ws';
import { type Entry, kinds } from '../delivery/entry.ts';
import { pairOf } from '../delivery/log-state.ts';
import type { Outcome } from '../delivery/operations.ts';
import { cellLimits } from '../limits.ts';
import type { SharedPush } from '../push/shared-push.ts';
import type { AppendFields } from '../wire/frames.ts';
import { AppendOrder, type Ticket } from './append-order.ts';
import { checkAppend } from './check-append.ts';
import type { Answer, Codec, ServerEvent } from './codec.ts';
import type { EdgeServices } from './edge-services.ts';
import type { Connection, Greeted } from './greeted.ts';
import { Outbound, type OutSocket, type WriteGatherer } from './outbound.ts';

/** The part of a WebSocket that is used. */
export type ServerSocket = Pick<
  WebSocket,
  'protocol' | 'readyState' | 'OPEN' | 'isPaused' | 'on' | 'ping' | 'pause' | 'resume' | 'close' | 'terminate'
>;

export interface ClientSocketOptions {
  readonly ws: ServerSocket;
  readonly socket: OutSocket;
  readonly codec: Codec;
  readonly gatherer: WriteGatherer;
  readonly services: EdgeServices;
  /** Names this connection in log lines. */
  readonly trace: string;
}

/** An append and its place among all that came here for its log or peer. */
interface Arrival extends AppendFields {
  readonly target: bigint;
  readonly ticket: Ticket;
}

export class ClientSocket implements Connection {
  readonly #ws: ServerSocket;
  readonly #codec: Codec;
  readonly #services: EdgeServices;
  readonly #out: Outbound;
  readonly #order = new AppendOrder(cellLimits.orderedLogsMax);
  #greeted: Greeted | 'greeting' | undefined;
  #appends = 0;
  #requests = 0;
  #badFrames = 0;
  #stuckSinceMs = 0;
  /** Pushes that fell due between joining the hub and the Welcome: a few turns of promises. */
  #early: Buffer[] = [];
  readonly openedMs: number;
  readonly #trace: string;

  constructor({ ws, socket, codec, gatherer, services, trace }: ClientSocketOptions) {
    this.#ws = ws;
    this.#codec = codec;
    this.#services = services;
    this.openedMs = services.clock.now();
    this.#trace = trace;
    this.#out = new Outbound(socket, gatherer, {
      bytesMax: cellLimits.socketOutBytesMax,
      onLag: () => services.metrics.lags.inc(),
      onRelief: () => this.answer(0, { $case: 'resync', value: {} }),
      onDrain: () => this.#readOrPause(),
    });
    ws.on('message', (data: RawData, isBinary: boolean) => this.#received(data as Buffer, isBinary));
    ws.on('close', () => this.#closed());
    ws.on('error', () => undefined);
  }

  get greeted(): Greeted | undefined {
    return this.#greeted === 'greeting' ? undefined : this.#greeted;
  }

  push(push: SharedPush): void {
    if (this.#order.isWaiting) this.#noteDecided(push);
    this.#push(this.#codec.push(push));
  }

  /** An append that was told to come again may have been decided after all; then the client need not send it again (R8). */
  #noteDecided({ entries }: { readonly entries: readonly Entry[] }): void {
    for (const entry of entries) {
      if (entry.author !== this.greeted?.user) continue;
      const isRefusal = entry.kind === kinds.appendRefused;
      this.#order.decided(isRefusal ? Refused.decode(entry.body).clientEntryId : entry.clientEntryId);
    }
  }

  /** A push to this socket alone. */
  tell(event: ServerEvent): void {
    this.#push(this.#codec.encode(0, event));
  }

  answer(re: number, event: Answer): void {
    if (event.$case === 'entriesPage' && this.#order.isWaiting) this.#noteDecided(event);
    this.#answer(this.#codec.encode(re, event));
  }

  fault(re: number, error: { readonly code: FaultCode; readonly message?: string; readonly afterMs?: number }): void {
    this.answer(re, { $case: 'fault', value: faultOf(error) });
  }

  close(reason: CloseReason): void {
    this.#ws.close(closeCodes[reason].code, reason);
    // The other side's close frame has to be read.
    this.#ws.resume();
  }

  /** Once a second, from the edge. Closes what has waited, ended or hung too long. */
  check(nowMs: number): void {
    const greeted = this.greeted;
    if (!greeted) {
      if (nowMs - this.openedMs > limits.helloMsMax) this.close('policy');
    } else if (greeted.tokenEndsMs <= nowMs) this.close('tokenExpired');
    if (!this.#out.lagging && !this.#out.full) this.#stuckSinceMs = 0;
    else if (this.#stuckSinceMs === 0) this.#stuckSinceMs = nowMs;
    else if (nowMs - this.#stuckSinceMs > cellLimits.socketStuckMsMax) {
      this.close('tooSlow');
      this.#ws.terminate();
    }
  }

  /** In line with the pushes, so that nothing in flight can make it differ (R21). */
  heartbeat(nowMs: number): void {
    if (!this.greeted || this.#out.lagging) return;
    const digest = digestValue(this.greeted.online.digest);
    this.tell({ $case: 'heartbeat', value: { digest, cursor: this.#services.cursor(nowMs), now: BigInt(nowMs) } });
  }

  ping(): void {
    this.#ws.ping();
  }

  terminate(): void {
    this.#ws.terminate();
  }

  /** After a close frame nothing may follow (RFC 6455, 5.5.1), and nothing that comes counts. */
  get #isOpen(): boolean {
    return this.#ws.readyState === this.#ws.OPEN;
  }

  #push(message: Buffer): void {
    if (this.#greeted === 'greeting') this.#early.push(message);
    else if (this.#isOpen) this.#out.push(message);
  }

  #answer(message: Buffer): void {
    if (!this.#isOpen) return;
    this.#out.answer(message);
    this.#readOrPause();
  }

  /** Reads on only while the socket takes its answers and few appends wait for theirs. */
  #readOrPause(): void {
    const pause = this.#out.full || this.#appends >= limits.appendsInFlightMax;
    if (pause === this.#ws.isPaused) return;
    if (pause && this.#isOpen) this.#ws.pause();
    else this.#ws.resume();
  }

  #received(data: Buffer, isBinary: boolean): void {
    if (!this.#isOpen) return;
    if (isBinary !== this.#codec.isBinary) return this.close('wrongType');
    try {
      const received = this.#codec.decode(data);
      if ('append' in received) this.#append(received.append);
      else this.#request(received.frame);
    } catch (error) {
      this.#badFrame(error);
    }
  }

  #badFrame(error: unknown): void {
    if (!(error instanceof WeftError)) this.#services.log.error({ err: error, trace: this.#trace }, 'a frame could not be handled');
    this.#badFrames += 1;
    this.fault(0, error instanceof WeftError ? error : new WeftError('internal'));
    if (this.#badFrames >= cellLimits.badFramesMax) this.close('policy');
  }

  #request(frame: ClientFrame): void {
    const id = Number(frame.id);
    if (id < 1 || !Number.isSafeInteger(id)) throw new WeftError('bad_frame', 'id must be 1 to 2^53-1');
    if (!frame.request) return this.fault(id, { code: 'unknown_request' });
    if (frame.request.$case === 'hello') return this.#hello(id, frame.request.value);
    const greeted = this.greeted;
    if (!greeted) return this.fault(id, { code: 'hello_first' });
    if (this.#requests >= cellLimits.requestsInFlightMax) return this.fault(id, { code: 'busy', afterMs: 500 });
    this.#requests += 1;
    this.#services
      .handle(frame.request, { greeted, socket: this })
      .then(
        (event) => this.answer(id, event),
        (error: unknown) => this.fault(id, this.#asFault(error)),
      )
      .finally(() => {
        this.#requests -= 1;
      })
      .catch((error: unknown) => this.#services.log.error({ err: error, trace: this.#trace }, 'an answer could not be sent'));
  }

  #asFault(error: unknown): WeftError {
    if (error instanceof WeftError) return error;
    this.#services.log.error({ err: error, trace: this.#trace }, 'a request failed');
    return new WeftError('internal', '', 1_000);
  }

  #hello(id: number, hello: Parameters<EdgeServices['greet']>[0]): void {
    if (this.#greeted) return this.fault(id, { code: 'bad_request', message: 'hello was said already' });
    this.#greeted = 'greeting';
    this.#services.greet(hello, this).then(
      ({ greeted, welcome }) => {
        this.#greeted = greeted;
        // Closed while it was greeted: the close handler saw nobody to take away.
        if (this.#ws.readyState !== this.#ws.OPEN) return this.#closed();
        this.answer(id, welcome);
        for (const message of this.#early) this.#push(message);
        this.#early = [];
      },
      (error: unknown) => this.#refuse(id, error),
    );
  }

  #refuse(id: number, error: unknown): void {
    this.#greeted = undefined;
    this.#early = [];
    const fault = this.#asFault(error);
    const redirect = this.#services.redirectOf(error);
    if (redirect) {
      this.answer(id, { $case: 'redirect', value: redirect });
      return this.close('redirected');
    }
    this.fault(id, fault);
    if (fault.code === 'token_expired' || fault.code === 'token_invalid') this.close('tokenExpired');
    else if (fault.code === 'session_ended') this.close('sessionEnded');
    else if (fault.code === 'draining') this.close('goingAway');
    else if (fault.retry === 'later') this.close('tryAgain');
  }

  #append(fields: AppendFields): void {
    const { id } = fields;
    const greeted = this.greeted;
    if (id < 1 || !Number.isSafeInteger(id)) throw new WeftError('bad_frame', 'id must be 1 to 2^53-1');
    if (!greeted) return this.fault(id, { code: 'hello_first' });
    const wrong = checkAppend(fields);
    if (wrong) return this.fault(id, wrong);
    const target = fields.log === 0n ? fields.peer : fields.log;
    const ticket = this.#order.arrive(target, fields.clientEntryId);
    if (ticket === undefined) return this.fault(id, { code: 'earlier_faulted' });
    const arrival: Arrival = { ...fields, target, ticket };
    const waitMs = this.#services.takeAppend(greeted.user);
    if (waitMs > 0) return this.#appendFault(arrival, { type: 'fault', code: 'rate_limited', afterMs: waitMs });
    this.#appends += 1;
    this.#readOrPause();
    if (fields.peer === 0n || this.#services.knowsUser(fields.peer)) return this.#submit(arrival, greeted);
    this.#submitToStranger(arrival, greeted);
  }

  /** The peer may have signed up a moment ago: whoever knows is asked, and what is sent to the peer meanwhile comes again later. */
  #submitToStranger(arrival: Arrival, greeted: Greeted): void {
    const { target, clientEntryId, peer } = arrival;
    this.#order.faulted(target, arrival, 'busy');
    this.#services.userExists(peer).then(
      (exists) => {
        const ticket = this.#order.arrive(target, clientEntryId);
        if (ticket === undefined) this.#settle(arrival, { type: 'fault', code: 'earlier_faulted' });
        else if (exists) this.#submit({ ...arrival, ticket }, greeted);
        else this.#settle(arrival, { type: 'fault', code: 'unknown_user' });
      },
      (error: unknown) => {
        const { code, afterMs } = this.#asFault(error);
        this.#settle(arrival, { type: 'fault', code, afterMs });
      },
    );
  }

  #submit(arrival: Arrival, greeted: Greeted): void {
    const { log, peer, target, ticket, clientEntryId, followedBy, kind, body } = arrival;
    const taken = this.#services.append({
      operation: {
        type: 'append',
        target: log === 0n ? { pair: pairOf(greeted.user, peer) } : { log },
        author: greeted.user,
        connection: this.#order.connection,
        clientEntryId,
        ...(followedBy.length > 0 && { followedBy }),
        kind,
        body,
      },
      origin: this,
      mayRun: () => this.#order.mayRun(target, ticket),
      settle: (outcome) => this.#settle(arrival, outcome),
    });
    if (!taken) this.#settle(arrival, { type: 'fault', code: 'busy', afterMs: 500 });
  }

  #settle(arrival: Arrival, outcome: Outcome): void {
    const { id, clientEntryId } = arrival;
    this.#appends -= 1;
    if (outcome.type === 'accepted') this.#answer(this.#codec.accepted(id, outcome.entry));
    else if (outcome.type === 'pending') this.answer(id, { $case: 'pending', value: { log: outcome.log, clientEntryId } });
    else this.#appendFault(arrival, outcome.type === 'fault' ? outcome : { type: 'fault', code: 'internal' });
    this.#readOrPause();
  }

  #appendFault(arrival: Arrival, outcome: Extract<Outcome, { type: 'fault' }>): void {
    this.#order.faulted(arrival.target, arrival, outcome.code);
    this.fault(arrival.id, {
      code: outcome.code,
      ...(outcome.text === undefined ? {} : { message: outcome.text }),
      afterMs: outcome.afterMs ?? 0,
    });
  }

  #closed(): void {
    if (this.greeted) this.#services.left(this.greeted, this);
  }
}

const advice = { never: 'RETRY_NEVER', later: 'RETRY_LATER', elsewhere: 'RETRY_ELSEWHERE' } as const;

const faultOf = ({
  code,
  message,
  afterMs,
}: {
  readonly code: FaultCode;
  readonly message?: string;
  readonly afterMs?: number;
}): Fault => ({
  code,
  text: message ?? faults[code].text,
  retry: advice[faults[code].retry],
  // Whoever is told later is told when.
  afterMs: afterMs || (faults[code].retry === 'later' ? cellLimits.laterMs : 0),
});
