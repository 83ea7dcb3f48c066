// One partition of a cell's inbound stream, consumed for as long as the process runs: over restarts of the server,
// lost stores and deleted streams.
import { type JsMsg, jetstream } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { type FrameClass, frameAddress, streams } from '@weft/proto/subjects.ts';
import { systemClock } from './clock.ts';
import { linkLimits } from './link-limits.ts';
import type { Log } from './log.ts';

/** A frame as it lies in the stream: sealed, and not yet believed. Exactly one of `ack` and `nak` ends it. */
export interface InboundFrame {
  readonly src: string;
  readonly cls: FrameClass;
  readonly p: number;
  readonly data: Uint8Array;
  /** When the stream took it, by its broker's clock: Unix ms. */
  readonly storedAtMs: number;
  /** Handed out before, here or to another node, and not acknowledged. */
  readonly redelivered: boolean;
  /** Done: the stream forgets it. Only after the commit. */
  ack(): void;
  /** Not now: hand it out again after `afterMs`. */
  nak(afterMs: number): void;
  /** Still at it: another 30 s. */
  working(): void;
}

export interface PartitionOptions {
  readonly nc: NatsConnection;
  readonly cell: string;
  readonly p: number;
  /** Called once per frame, in the stream's order but for redeliveries. Must not block; what it throws is a bug: logged, and the frame comes again. */
  readonly onFrame: (frame: InboundFrame) => void;
  /** Makes stream and consumers when they are missing. */
  readonly ensure: () => Promise<void>;
  /** Forgets what was handed out. Rejects while the server is away. */
  readonly remake: () => Promise<void>;
  /** Another node consumed it before: it may be frozen, or have left, with frames in its hands. Whoever still works on one only repeats a commit. */
  readonly takenOver: boolean;
  readonly signal: AbortSignal;
  readonly log: Log;
}

class StreamFrame implements InboundFrame {
  readonly src: string;
  readonly cls: FrameClass;
  readonly p: number;
  readonly #message: JsMsg;

  constructor(message: JsMsg, address: { readonly src: string; readonly cls: FrameClass; readonly p: number }) {
    this.#message = message;
    this.src = address.src;
    this.cls = address.cls;
    this.p = address.p;
  }

  get data(): Uint8Array {
    return this.#message.data;
  }

  get storedAtMs(): number {
    return this.#message.time.getTime();
  }

  get redelivered(): boolean {
    return this.#message.redelivered;
  }

  ack(): void {
    this.#message.ack();
  }

  nak(afterMs: number): void {
    this.#message.nak(afterMs);
  }

  working(): void {
    this.#message.working();
  }
}

/**
 * The stream hands out at most 256 unacknowledged frames of a partition, over all nodes of the cell: whoever does not
 * acknowledge gets no more. That is the back-pressure; `pause` only stops handing them on.
 */
export class PartitionConsumer implements AsyncDisposable {
  readonly counters = { frames: 0, strays: 0, failures: 0, restarts: 0 };
  readonly #options: PartitionOptions;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #held: StreamFrame[] = [];
  #heldBytes = 0;
  #paused: Disposable | undefined;

  constructor(options: PartitionOptions) {
    this.#options = options;
    this.#running = this.#run(AbortSignal.any([options.signal, this.#stop.signal]));
  }

  /** Frames that come from now on wait here; meanwhile the stream is told that they are being worked on. */
  pause(): void {
    this.#paused ??= systemClock.every(linkLimits.workingEachMs, () => {
      for (const frame of this.#held) frame.working();
    });
  }

  /** Hands on what waited, until it is paused again, then what comes. */
  resume(): void {
    this.#paused?.[Symbol.dispose]();
    this.#paused = undefined;
    while (this.#paused === undefined) {
      const frame = this.#held.shift();
      if (frame === undefined) return;
      this.#heldBytes -= frame.data.length;
      this.#handOn(frame);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#paused?.[Symbol.dispose]();
    await this.#running;
    for (const frame of this.#held.splice(0)) frame.nak(0);
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { p, log, ensure, remake } = this.#options;
    let failing = false;
    let forgets = this.#options.takenOver;
    while (!signal.aborted) {
      try {
        if (forgets) await remake();
        forgets = false;
        await this.#consume(signal, () => {
          failing = false;
        });
      } catch (error) {
        if (!signal.aborted && !failing) log.warn({ err: error, p }, 'the inbound stream does not answer; trying again');
        failing = true;
      }
      if (signal.aborted) return;
      this.counters.restarts++;
      // Both fail only by an abort, or by a broker that is still away: then the next round tries again.
      await systemClock.sleep(linkLimits.consumePauseMs, signal).catch(() => undefined);
      if (!signal.aborted) await ensure().catch(() => undefined);
    }
  }

  async #consume(signal: AbortSignal, onEntered: () => void): Promise<void> {
    const { nc, cell, p } = this.#options;
    const client = jetstream(nc, { domain: cell, timeout: linkLimits.streamApiMsMax });
    const consumer = await client.consumers.get(streams.inbound(cell), streams.partitionConsumer(p));
    signal.throwIfAborted();
    const messages = await consumer.consume({
      callback: (message) => this.#arrived(message),
      max_messages: linkLimits.framesAskedMax,
      idle_heartbeat: linkLimits.consumeHeartbeatMs,
      expires: linkLimits.consumeExpiresMs,
      abort_on_missing_resource: true,
    });
    onEntered();
    const stop = (): void => messages.stop();
    signal.addEventListener('abort', stop, { once: true });
    try {
      if (signal.aborted) stop();
      const error = await messages.closed();
      if (error instanceof Error) throw error;
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  #arrived(message: JsMsg): void {
    const address = frameAddress(message.subject);
    if (address === undefined) {
      // Of no class we know: nobody will ever want it, and it would come again for ever.
      this.counters.strays++;
      message.term('no such class');
      return;
    }
    const frame = new StreamFrame(message, address);
    if (this.#paused === undefined) this.#handOn(frame);
    else if (this.#hasPlace(message)) this.#hold(frame);
    else frame.nak(linkLimits.workingEachMs);
  }

  /** The stream hands out no more frames than that, but for those that it hands out again. */
  #hasPlace({ data }: JsMsg): boolean {
    return this.#held.length < linkLimits.unackedPerPartitionMax && this.#heldBytes + data.length <= linkLimits.heldBytesMax;
  }

  #hold(frame: StreamFrame): void {
    this.#held.push(frame);
    this.#heldBytes += frame.data.length;
  }

  #handOn(frame: StreamFrame): void {
    this.counters.frames++;
    try {
      this.#options.onFrame(frame);
    } catch (error) {
      // Thrown on, it would end the client's read loop and with it every subscription.
      this.counters.failures++;
      this.#options.log.error({ err: error, p: this.#options.p }, 'a frame was not taken');
      frame.nak(linkLimits.consumePauseMs);
    }
  }
}
