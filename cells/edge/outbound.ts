// What goes out of one socket. Messages that fall due in one turn of the event loop leave in one write; what waits is
// bounded: a client that reads too slowly loses pushes, is told so, and fetches what it lacks.
import type { Socket } from 'node:net';

/** The part of a TCP socket that is used. */
export type OutSocket = Pick<Socket, 'cork' | 'uncork' | 'write' | 'on' | 'writableLength' | 'writableCorked' | 'writable' | 'destroyed'>;

export interface OutboundOptions {
  readonly bytesMax: number;
  /** Called once pushes begin to be left out, and once there is room again for them. */
  readonly onLag: () => void;
  readonly onRelief: () => void;
  /** Called whenever nothing waits any more. */
  readonly onDrain: () => void;
}

/** Uncorks at the end of the turn every socket that was written to. One per node. */
export class WriteGatherer {
  #dirty: OutSocket[] = [];

  gather(socket: OutSocket): void {
    if (this.#dirty.length === 0) process.nextTick(() => this.#flush());
    socket.cork();
    this.#dirty.push(socket);
  }

  #flush(): void {
    const dirty = this.#dirty;
    this.#dirty = [];
    for (const socket of dirty) socket.uncork();
  }
}

export class Outbound {
  readonly #socket: OutSocket;
  readonly #gatherer: WriteGatherer;
  readonly #options: OutboundOptions;
  #lagging = false;

  constructor(socket: OutSocket, gatherer: WriteGatherer, options: OutboundOptions) {
    this.#socket = socket;
    this.#gatherer = gatherer;
    this.#options = options;
    socket.on('drain', () => this.#drained());
  }

  get lagging(): boolean {
    return this.#lagging;
  }

  /** More waits than may: nothing should be read that will be answered. */
  get full(): boolean {
    return this.#socket.writableLength > this.#options.bytesMax;
  }

  /** A push: left out when too much waits already. `message` is a whole WebSocket message. */
  push(message: Buffer): void {
    if (this.#lagging) return;
    const waiting = this.#socket.writableLength;
    if (waiting > 0 && waiting + message.length > this.#options.bytesMax) {
      this.#lagging = true;
      this.#options.onLag();
      return;
    }
    this.answer(message);
  }

  /** An answer to a request: it always goes, and whoever asks no more while this is `full` bounds how many. */
  answer(message: Buffer): void {
    if (this.#socket.destroyed || !this.#socket.writable) return;
    if (this.#socket.writableCorked === 0) this.#gatherer.gather(this.#socket);
    this.#socket.write(message);
  }

  #drained(): void {
    if (this.#lagging) {
      this.#lagging = false;
      this.#options.onRelief();
    }
    this.#options.onDrain();
  }
}
