// The way to other cells: what goes out is sealed for one cell, what comes in is opened, and only what opens is handed
// on. Cells have numbers in the delivery code and names on the bus.
import { WeftError } from '@weft/proto/faults.ts';
import type { FrameClass } from '@weft/proto/subjects.ts';
import type { Log } from '@weft/runtime/log.ts';
import type { InboundFrame } from '@weft/runtime/nats-consumer.ts';
import type { FabricBus } from '@weft/runtime/nats-fabric-bus.ts';
import type { LinkPublisher } from '@weft/runtime/nats-publisher.ts';
import type { RequestHandler } from '@weft/runtime/nats-requests.ts';
import type { Sealer, WhyNotOpen } from '@weft/runtime/seal.ts';
import type { Link, PublishResult } from '../delivery/ports.ts';

/** The part of the bus that is used. */
export interface LinkBus extends Pick<FabricBus, 'publishAck' | 'publishSignal' | 'request' | 'subscribeAcks' | 'subscribeSignals'> {
  publisher(peer: string): Pick<LinkPublisher, 'publish'>;
  serveRequests(handler: RequestHandler): AsyncDisposable;
}

export interface SealedLinkOptions {
  readonly bus: LinkBus;
  readonly sealer: Pick<Sealer, 'seal' | 'openAt'>;
  /** A number nobody can guess, for what has no id of its own. */
  readonly nonce: () => bigint;
  readonly cell: string;
  readonly generation: number;
  readonly requestMsMax: number;
  readonly nameOf: (cell: number) => string | undefined;
  readonly numberOf: (name: string) => number | undefined;
  /** Something came that did not open: counted and alarmed, never stored. */
  readonly rejected: (what: string, src: string, why: WhyNotOpen | 'unknown-cell' | 'unreadable') => void;
  readonly log: Log;
}

/** What is needed of a frame; a stream that does not tell its time is believed too. */
type SealedFrame = Pick<InboundFrame, 'src' | 'cls' | 'p' | 'data' | 'ack' | 'nak'> & Partial<Pick<InboundFrame, 'storedAtMs'>>;

/** A frame that opened. */
export interface OpenedFrame {
  readonly src: number;
  readonly srcName: string;
  readonly cls: FrameClass;
  readonly id: bigint;
  readonly lane: number;
  readonly attempt: number;
  /** When the inbound stream took it, by its broker's clock; 0 when not known. */
  readonly storedAtMs: number;
  readonly plain: Uint8Array;
  ack(): void;
  nak(afterMs: number): void;
}

type SignalListener = (src: number, what: string, bytes: Uint8Array) => void;

export class SealedLink implements Link {
  readonly #options: SealedLinkOptions;
  readonly #signalListeners = new Set<SignalListener>();
  #signals: Disposable | undefined;

  constructor(options: SealedLinkOptions) {
    this.#options = options;
  }

  async publish(frame: {
    dst: number;
    class: FrameClass;
    lane: number;
    id: bigint;
    attempt: number;
    bytes: Uint8Array;
  }): Promise<PublishResult> {
    const { bus, sealer, cell, generation, nameOf } = this.#options;
    const dst = nameOf(frame.dst);
    if (!dst) return 'no-responders';
    const header = { id: frame.id, attempt: frame.attempt, cls: frame.class, p: frame.lane, what: '' };
    let sealed: Uint8Array;
    try {
      sealed = sealer.seal({ kind: 'frame', dst }, header, frame.bytes);
    } catch (error) {
      if (error instanceof WeftError) return 'no-responders';
      throw error;
    }
    // The id names source, generation and attempt: the broker's dedupe table knows neither cells nor lives (R14).
    const msgId = `${cell}.${generation}.${frame.id}.${frame.attempt}`;
    return bus.publisher(dst).publish({ cls: frame.class, p: frame.lane, msgId }, sealed);
  }

  /** The end-to-end acknowledgement; may be lost. The body is encoded by the caller's codec. */
  acknowledge(dst: number, bytes: Uint8Array): void {
    this.#whisper(dst, (name) => {
      const sealed = this.#options.sealer.seal(
        { kind: 'ack', dst: name },
        { id: this.#options.nonce(), attempt: 0, p: 0, what: '' },
        bytes,
      );
      this.#options.bus.publishAck(name, sealed);
    });
  }

  signal(dst: number, what: string, bytes: Uint8Array): void {
    this.#whisper(dst, (name) => {
      const sealed = this.#options.sealer.seal({ kind: 'signal', dst: name }, { id: this.#options.nonce(), attempt: 0, p: 0, what }, bytes);
      this.#options.bus.publishSignal(name, what, sealed);
    });
  }

  /** What may be lost is lost quietly: a peer without a key has not been met yet. */
  #whisper(dst: number, send: (name: string) => void): void {
    const name = this.#options.nameOf(dst);
    if (!name) return;
    try {
      send(name);
    } catch (error) {
      if (!(error instanceof WeftError)) this.#options.log.error({ err: error, dst: name }, 'could not send');
    }
  }

  async request(dst: number, method: string, bytes: Uint8Array): Promise<Uint8Array> {
    const { bus, sealer, nameOf, requestMsMax, nonce } = this.#options;
    const name = nameOf(dst);
    if (!name) throw new WeftError('peer_away', `no cell of number ${dst}`);
    const id = nonce();
    const sealed = sealer.seal({ kind: 'request', dst: name }, { id, attempt: 0, p: 0, what: method }, bytes);
    const outcome = await bus.request({ dst: name, method, timeoutMs: requestMsMax }, sealed);
    if (!outcome.ok) throw new WeftError('peer_away', `${name}: ${outcome.why}`, 1_000);
    const opened = sealer.openAt({ kind: 'answer', src: name, what: method, id }, outcome.bytes);
    if (opened.ok) return opened.plain;
    this.#options.rejected('answer', name, opened.why);
    throw new WeftError('peer_away', `${name}: the answer did not open`, 1_000);
  }

  /** Undefined for what does not open: acknowledged to the broker, so that it does not come again, and to nobody else. */
  open(frame: SealedFrame): OpenedFrame | undefined {
    const src = this.#options.numberOf(frame.src);
    const opened = this.#options.sealer.openAt({ kind: 'frame', src: frame.src, cls: frame.cls, p: frame.p }, frame.data);
    if (opened.ok && src !== undefined) {
      return {
        src,
        srcName: frame.src,
        cls: frame.cls,
        id: opened.header.id,
        lane: frame.p,
        attempt: opened.header.attempt,
        storedAtMs: frame.storedAtMs ?? 0,
        plain: opened.plain,
        ack: () => frame.ack(),
        nak: (ms) => frame.nak(ms),
      };
    }
    this.#options.rejected('frame', frame.src, opened.ok ? 'unknown-cell' : opened.why);
    frame.ack();
    return undefined;
  }

  hearAcks(on: (src: number, bytes: Uint8Array) => void): Disposable {
    return this.#options.bus.subscribeAcks((src, bytes) => {
      const opened = this.#options.sealer.openAt({ kind: 'ack', src }, bytes);
      const number = this.#options.numberOf(src);
      if (!opened.ok) this.#options.rejected('ack', src, opened.why);
      else if (number !== undefined) this.#heard('ack', src, () => on(number, opened.plain));
    });
  }

  /** However many listen, each signal is opened, or counted as refused, once. */
  hearSignals(on: SignalListener): Disposable {
    this.#signalListeners.add(on);
    this.#signals ??= this.#options.bus.subscribeSignals((src, what, bytes) => {
      const opened = this.#options.sealer.openAt({ kind: 'signal', src, what }, bytes);
      const number = this.#options.numberOf(src);
      if (!opened.ok) this.#options.rejected('signal', src, opened.why);
      else if (number !== undefined)
        for (const listener of this.#signalListeners) this.#heard('signal', src, () => listener(number, what, opened.plain));
    });
    return { [Symbol.dispose]: () => this.#forgetListener(on) };
  }

  #forgetListener(on: SignalListener): void {
    this.#signalListeners.delete(on);
    if (this.#signalListeners.size > 0) return;
    this.#signals?.[Symbol.dispose]();
    this.#signals = undefined;
  }

  /** What opens and cannot be decoded is the other cell's fault as well. */
  #heard(what: string, src: string, take: () => void): void {
    try {
      take();
    } catch (error) {
      this.#options.log.warn({ err: error, src, what }, 'what another cell said could not be read');
      this.#options.rejected(what, src, 'unreadable');
    }
  }

  /** Answers the requests that open; the others get no answer. */
  serve(handler: (src: number, method: string, bytes: Uint8Array) => Promise<Uint8Array>): AsyncDisposable {
    const { bus, sealer, numberOf, rejected } = this.#options;
    return bus.serveRequests(async (src, method, bytes) => {
      const opened = sealer.openAt({ kind: 'request', src, what: method }, bytes);
      const number = numberOf(src);
      if (!opened.ok || number === undefined) {
        rejected('request', src, opened.ok ? 'unknown-cell' : opened.why);
        return undefined;
      }
      const answer = await handler(number, method, opened.plain);
      return sealer.seal({ kind: 'answer', dst: src }, { id: opened.header.id, attempt: 0, p: 0, what: method }, answer);
    });
  }
}
