// A WebSocket client (RFC 6455) of the size a load generator needs: no extensions, no fragments, zero masking key, and what
// is sent within one turn of the loop leaves in one write. `ws` costs about four times as much a message.

import { Buffer } from 'node:buffer';
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';

/** Milliseconds for the answer to the upgrade. */
const answerMsMax = 30_000;
/** Bytes of one server frame that are taken. */
const serverFrameBytesMax = 1 << 20;

export interface RawSocketEvents {
  /** One binary message; the bytes are valid during the call only. */
  message(bytes: Buffer, start: number, end: number): void;
  /** Once, whatever the reason; code 1006 where no close frame came. */
  closed(code: number, reason: string): void;
}

const text = 1;
const binary = 2;
const close = 8;
const ping = 9;
const pong = 10;

/**
 * Header of a masked WebSocket frame (RFC 6455, section 5.2) from a client. The masking key is zero, so that the payload
 * stays as it is: masking protects proxies from browsers, and here is neither.
 */
export function frameHeader(opcode: number, payloadBytes: number): Buffer {
  if (payloadBytes < 126) return Buffer.from([0x80 | opcode, 0x80 | payloadBytes, 0, 0, 0, 0]);
  if (payloadBytes > 0xffff) throw new RangeError(`a client frame of ${payloadBytes} bytes`);
  return Buffer.from([0x80 | opcode, 0x80 | 126, payloadBytes >> 8, payloadBytes & 0xff, 0, 0, 0, 0]);
}

export class RawSocket {
  readonly #socket: Socket;
  readonly #events: RawSocketEvents;
  #rest: Buffer | undefined;
  #out: Buffer[] = [];
  #closeCode = 1006;
  #closeReason = '';
  #upgraded: ((error?: Error) => void) | undefined;

  private constructor(socket: Socket, events: RawSocketEvents) {
    this.#socket = socket;
    this.#events = events;
  }

  /** Resolves when the server has switched protocols; rejects on refusal or after answerMsMax. */
  static open(url: string, events: RawSocketEvents, subprotocol = 'weft.v1.proto'): Promise<RawSocket> {
    const { hostname, port, pathname, host } = new URL(url);
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    const self = new RawSocket(socket, events);
    const request = [
      `GET ${pathname} HTTP/1.1`,
      `Host: ${host}`,
      'Upgrade: websocket',
      'Connection: Upgrade',
      'Sec-WebSocket-Version: 13',
      `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`,
      `Sec-WebSocket-Protocol: ${subprotocol}`,
      '',
      '',
    ].join('\r\n');
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => socket.destroy(new Error(`no answer from ${host}`)), answerMsMax);
      self.#upgraded = (error) => {
        clearTimeout(timer);
        self.#upgraded = undefined;
        if (error === undefined) resolve(self);
        else reject(error);
      };
      socket.on('error', (error) => self.#upgraded?.(error));
      socket.on('data', (bytes: Buffer) => self.#data(bytes));
      socket.on('close', () => self.#closed());
      socket.write(request);
    });
  }

  /** A ready frame (see frameHeader); it leaves at the end of this turn of the loop. */
  sendFrame(frame: Buffer): void {
    this.#out.push(frame);
    if (this.#out.length === 1) process.nextTick(() => this.#flush());
  }

  send(payload: Uint8Array): void {
    this.sendFrame(Buffer.concat([frameHeader(binary, payload.length), payload]));
  }

  /** Cuts the line without a close frame, as a lost network does. */
  cut(): void {
    this.#socket.destroy();
  }

  close(): void {
    this.sendFrame(Buffer.concat([frameHeader(close, 2), Buffer.from([0x03, 0xe8])]));
    process.nextTick(() => this.#socket.end());
  }

  #flush(): void {
    const out = this.#out;
    this.#out = [];
    if (this.#socket.destroyed) return;
    this.#socket.write(out.length === 1 && out[0] !== undefined ? out[0] : Buffer.concat(out));
  }

  #closed(): void {
    if (this.#upgraded !== undefined) this.#upgraded(new Error('closed before the upgrade'));
    else this.#events.closed(this.#closeCode, this.#closeReason);
  }

  #data(chunk: Buffer): void {
    const bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = undefined;
    let at = 0;
    if (this.#upgraded !== undefined) {
      const end = bytes.indexOf('\r\n\r\n');
      if (end < 0) {
        this.#rest = bytes;
        return;
      }
      const status = bytes.toString('latin1', 0, bytes.indexOf('\r\n'));
      if (!status.startsWith('HTTP/1.1 101')) {
        this.#upgraded(new Error(`no upgrade: ${status}`));
        this.#socket.destroy();
        return;
      }
      at = end + 4;
      this.#upgraded();
    }
    at = this.#frames(bytes, at);
    if (at < bytes.length) this.#rest = at === 0 ? bytes : bytes.subarray(at);
  }

  /** Handles every whole frame from `at` on; gives where the first incomplete one begins. */
  #frames(bytes: Buffer, from: number): number {
    let at = from;
    while (at + 2 <= bytes.length) {
      let length = (bytes[at + 1] ?? 0) & 0x7f;
      let start = at + 2;
      if (length === 126) {
        if (start + 2 > bytes.length) return at;
        length = bytes.readUInt16BE(start);
        start += 2;
      } else if (length === 127) {
        if (start + 8 > bytes.length) return at;
        length = Number(bytes.readBigUInt64BE(start));
        start += 8;
      }
      if (length > serverFrameBytesMax) throw new RangeError(`a server frame of ${length} bytes`);
      const end = start + length;
      if (end > bytes.length) return at;
      this.#frame(bytes, at, { start, end });
      at = end;
    }
    return at;
  }

  #frame(bytes: Buffer, at: number, { start, end }: { start: number; end: number }): void {
    const first = bytes[at] ?? 0;
    const opcode = first & 0x0f;
    if ((first & 0x80) === 0 || opcode === 0) throw new Error('the server fragments its frames');
    if (opcode === binary || opcode === text) this.#events.message(bytes, start, end);
    else if (opcode === ping) this.sendFrame(Buffer.concat([frameHeader(pong, end - start), bytes.subarray(start, end)]));
    else if (opcode === close) {
      if (end - start >= 2) this.#closeCode = bytes.readUInt16BE(start);
      this.#closeReason = bytes.toString('utf8', start + 2, end);
      this.#socket.end();
    }
  }
}
