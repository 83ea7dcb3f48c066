// A WebSocket down to its bytes (RFC 6455), for what no well-behaved library sends.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { until } from './until.ts';

export const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9 } as const;

export interface FrameOptions {
  readonly opcode: number;
  readonly payload: Uint8Array;
  readonly fin?: boolean;
  readonly rsv1?: boolean;
  readonly masked?: boolean;
}

/** One frame as a client sends it. */
function clientFrame({ opcode, payload, fin = true, rsv1 = false, masked = true }: FrameOptions): Buffer {
  const length = payload.length;
  const head = Buffer.alloc(length < 126 ? 2 : length < 65_536 ? 4 : 10);
  head[0] = (fin ? 0x80 : 0) | (rsv1 ? 0x40 : 0) | opcode;
  head[1] = (masked ? 0x80 : 0) | (head.length === 2 ? length : head.length === 4 ? 126 : 127);
  if (head.length === 4) head.writeUInt16BE(length, 2);
  if (head.length === 10) head.writeBigUInt64BE(BigInt(length), 2);
  if (!masked) return Buffer.concat([head, payload]);
  const mask = randomBytes(4);
  const body = Buffer.from(payload);
  for (let i = 0; i < body.length; i++) body[i] = (body[i] as number) ^ (mask[i & 3] as number);
  return Buffer.concat([head, mask, body]);
}

export class RawSocket implements Disposable {
  readonly socket: Socket;
  /** Everything that came, the answer to the upgrade first. */
  received: Buffer = Buffer.alloc(0);
  ended = false;

  /** Connects and sends an upgrade request; resolves with the answer's head. */
  static async upgrade(url: string, headers: Readonly<Record<string, string>> = {}): Promise<{ raw: RawSocket; head: string }> {
    const { hostname, port } = new URL(url);
    const raw = new RawSocket(connect(Number(port), hostname));
    await once(raw.socket, 'connect');
    const all = {
      host: `${hostname}:${port}`,
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': randomBytes(16).toString('base64'),
      'sec-websocket-protocol': 'weft.v1.proto',
      ...headers,
    };
    const lines = Object.entries(all).flatMap(([name, value]) => (value === '' ? [] : [`${name}: ${value}`]));
    raw.socket.write(`GET /v1/socket HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`);
    await until('the answer to the upgrade', () => raw.received.includes('\r\n\r\n') || raw.ended);
    const end = raw.received.indexOf('\r\n\r\n') + 4;
    const head = raw.received.subarray(0, end).toString();
    raw.received = raw.received.subarray(end);
    return { raw, head };
  }

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (data) => {
      this.received = Buffer.concat([this.received, data]);
    });
    socket.on('close', () => {
      this.ended = true;
    });
    socket.on('error', () => undefined);
  }

  send(...frames: FrameOptions[]): void {
    this.socket.write(Buffer.concat(frames.map(clientFrame)));
  }

  /** Whole messages that came, by opcode. */
  frames(): { readonly opcode: number; readonly payload: Buffer }[] {
    const frames: { opcode: number; payload: Buffer }[] = [];
    for (let at = 0; at + 2 <= this.received.length; ) {
      const short = (this.received[at + 1] as number) & 0x7f;
      const head = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (at + head > this.received.length) break;
      const length =
        short < 126 ? short : short === 126 ? this.received.readUInt16BE(at + 2) : Number(this.received.readBigUInt64BE(at + 2));
      if (at + head + length > this.received.length) break;
      frames.push({ opcode: (this.received[at] as number) & 0x0f, payload: this.received.subarray(at + head, at + head + length) });
      at += head + length;
    }
    return frames;
  }

  /** Waits for the close frame; answers its code. */
  async closeCode(): Promise<number> {
    const found = () => this.frames().find(({ opcode }) => opcode === opcodes.close);
    await until('a close frame', () => found() !== undefined);
    return found()?.payload.readUInt16BE(0) ?? 0;
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}
