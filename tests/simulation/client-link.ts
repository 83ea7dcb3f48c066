// One connection between a device and a node, both ends: the device's is a socket port of the SDK, the node's a WebSocket
// over a TCP socket as far as cells/edge uses them. Bytes keep their order; a link is cut, never lossy.
import type { ServerSocket } from '@weft/cells/edge/client-socket.ts';
import type { OutSocket } from '@weft/cells/edge/outbound.ts';
import type { Socket, SocketHandlers } from '@weft/client/ports.ts';
import { laterMessage } from './later-version.ts';
import type { ProcessClock, SimulatedTime } from './simulated-time.ts';

export interface ClientLinkOptions {
  readonly time: SimulatedTime;
  readonly client: ProcessClock;
  readonly node: ProcessClock;
  readonly protocol: string;
  readonly handlers: SocketHandlers;
  /** Milliseconds one way. */
  readonly delayMs: number;
  /** Both ends send fields that the other does not know. */
  readonly later: boolean;
  /** How many bytes one byte counts for: buffers seem full sooner. */
  readonly weight: number;
}

type Listener = (...args: never[]) => void;
type Admit = (ws: ServerSocket, socket: OutSocket & { setNoDelay(): void; readonly remoteAddress: string }) => void;

const highWater = 64 * 1024;
const goneAway = 1006;

class Emitter {
  readonly #listeners = new Map<string, Listener[]>();

  on(event: string, fn: Listener): this {
    this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), fn]);
    return this;
  }

  emit(event: string, ...args: unknown[]): void {
    for (const fn of this.#listeners.get(event) ?? []) (fn as (...args: unknown[]) => void)(...args);
  }
}

export class ClientLink {
  readonly options: ClientLinkOptions;
  readonly ws: NodeEnd;
  readonly tcp: NodeTcp;
  /** Nothing passes and nobody is told: what is sent meanwhile arrives once it heals, if both ends still wait. */
  #severed = false;
  #over = false;
  #clientOpen = true;
  #nodeOpen = true;
  readonly #waiting: (() => void)[] = [];
  #upMs = 0;
  #downMs = 0;

  constructor(options: ClientLinkOptions) {
    this.options = options;
    this.tcp = new NodeTcp(this);
    this.ws = new NodeEnd(this);
  }

  get isOver(): boolean {
    return this.#over;
  }

  get stalled(): boolean {
    return this.tcp.stalled;
  }

  /** The device's end. */
  get socket(): Socket {
    return {
      send: (data) => {
        if (this.#clientOpen) this.up(() => this.ws.receive(this.options.later ? laterMessage(data) : data));
      },
      close: () => {
        if (!this.#clientOpen) return;
        this.#clientOpen = false;
        this.up(() => this.closeNodeEnd());
      },
    };
  }

  /** The upgrade: the node takes it once it runs. */
  open(admit: Admit): void {
    const { handlers } = this.options;
    this.up(() => {
      admit(this.ws as unknown as ServerSocket, this.tcp as unknown as Parameters<Admit>[1]);
      this.down(() => this.#clientOpen && handlers.opened());
    });
  }

  /** Runs in the node, after all that was sent before. */
  up(fn: () => void): void {
    const { time, delayMs, node } = this.options;
    if (this.#severed) return void this.#waiting.push(() => this.up(fn));
    this.#upMs = Math.max(this.#upMs, time.nowMs + delayMs);
    time.after(this.#upMs - time.nowMs, () => this.#nodeOpen && fn(), node);
  }

  /** Runs in the device, after all that was sent before. */
  down(fn: () => void): void {
    const { time, delayMs, client } = this.options;
    if (this.#severed) return void this.#waiting.push(() => this.down(fn));
    this.#downMs = Math.max(this.#downMs, time.nowMs + delayMs);
    time.after(this.#downMs - time.nowMs, fn, client);
  }

  /** A message for the device, in line with the others. */
  deliver(payload: Uint8Array | string): void {
    if (this.#clientOpen) this.options.handlers.message(this.options.later ? laterMessage(payload) : payload);
  }

  sever(): void {
    this.#severed = true;
  }

  heal(): void {
    this.#severed = false;
    for (const again of this.#waiting.splice(0)) again();
  }

  /** The node closes in order, after what it wrote; the device's answer to the close ends it here too. */
  closeInOrder(code: number): void {
    this.down(() => {
      this.#closeClientEnd(code);
      this.up(() => this.closeNodeEnd());
    });
  }

  /** One end is gone at once; the other hears of it by a reset. */
  breakOff(): void {
    this.closeNodeEnd();
    this.down(() => this.#closeClientEnd(goneAway));
  }

  /** The device's process is gone. */
  clientDied(): void {
    this.#clientOpen = false;
    this.up(() => this.closeNodeEnd());
  }

  /** The node's process is gone. */
  nodeDied(): void {
    this.#nodeOpen = false;
    this.#over = true;
    this.down(() => this.#closeClientEnd(goneAway));
  }

  closeNodeEnd(): void {
    if (!this.#nodeOpen) return;
    this.#nodeOpen = false;
    this.#over = true;
    this.tcp.destroyed = true;
    this.ws.readyState = this.ws.CLOSED;
    this.ws.emit('close');
  }

  #closeClientEnd(code: number): void {
    if (!this.#clientOpen) return;
    this.#clientOpen = false;
    this.options.handlers.closed(code);
  }
}

/** The WebSocket at the node. */
class NodeEnd extends Emitter {
  readonly OPEN = 1;
  readonly CLOSED = 3;
  readonly protocol: string;
  readonly #link: ClientLink;
  readonly #unread: (Uint8Array | string)[] = [];
  readyState = 1;
  isPaused = false;

  constructor(link: ClientLink) {
    super();
    this.#link = link;
    this.protocol = link.options.protocol;
  }

  receive(data: Uint8Array | string): void {
    if (this.isPaused) return void this.#unread.push(data);
    const isText = typeof data === 'string';
    this.emit('message', isText ? Buffer.from(data) : Buffer.from(data.buffer, data.byteOffset, data.byteLength), !isText);
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
    while (!this.isPaused && this.#unread.length > 0) this.receive(this.#unread.shift() as Uint8Array | string);
  }

  /** The device's end answers by itself. */
  ping(): void {
    this.#link.down(() => this.#link.up(() => this.emit('pong')));
  }

  close(code: number): void {
    if (this.readyState !== this.OPEN) return;
    this.readyState = 2;
    this.#link.closeInOrder(code);
  }

  terminate(): void {
    if (this.readyState !== this.CLOSED) this.#link.breakOff();
  }
}

/** The TCP socket at the node: what is written leaves at once, unless the device does not read. */
class NodeTcp extends Emitter {
  readonly remoteAddress = '';
  readonly #link: ClientLink;
  #corked: Buffer[] = [];
  #stuck: Buffer[] = [];
  #needDrain = false;
  stalled = false;
  destroyed = false;
  writableCorked = 0;
  writableLength = 0;

  constructor(link: ClientLink) {
    super();
    this.#link = link;
  }

  get writable(): boolean {
    return !this.destroyed;
  }

  setNoDelay(): void {}

  cork(): void {
    this.writableCorked += 1;
  }

  uncork(): void {
    if (this.writableCorked > 0) this.writableCorked -= 1;
    if (this.writableCorked > 0) return;
    const written = this.#corked;
    this.#corked = [];
    this.#leave(written);
  }

  write(message: Buffer): boolean {
    this.writableLength += message.length * this.#link.options.weight;
    if (this.writableLength >= highWater) this.#needDrain = true;
    if (this.writableCorked > 0) this.#corked.push(message);
    else this.#leave([message]);
    return !this.#needDrain;
  }

  /** The device reads no more, or again. */
  stall(stalled: boolean): void {
    this.stalled = stalled;
    if (stalled || this.#stuck.length === 0) return;
    const stuck = this.#stuck;
    this.#stuck = [];
    this.#leave(stuck);
  }

  #leave(messages: Buffer[]): void {
    if (messages.length === 0 || this.destroyed) return;
    if (this.stalled) return void this.#stuck.push(...messages);
    for (const message of messages) this.writableLength -= message.length * this.#link.options.weight;
    this.#link.down(() => {
      for (const message of messages) this.#link.deliver(payloadOf(message));
    });
    if (!this.#needDrain || this.writableLength > 0) return;
    this.#needDrain = false;
    this.#link.options.time.after(0, () => this.destroyed || this.emit('drain'), this.#link.options.node);
  }
}

const textMessage = 0x81;

/** A whole WebSocket message of the server, without its header. */
function payloadOf(message: Buffer): Uint8Array | string {
  const short = (message[1] as number) & 0x7f;
  const payload = message.subarray(short < 126 ? 2 : short === 126 ? 4 : 10);
  return message[0] === textMessage ? payload.toString('utf8') : payload;
}
