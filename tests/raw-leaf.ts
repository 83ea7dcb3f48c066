// A leaf node that obeys nobody: it speaks the leaf protocol by hand, so no honest server filters what it sends.
import { createPrivateKey, sign } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import type { NatsKey } from '@weft/local/nats-credentials.ts';
import { until } from './nats-fabric.ts';

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const ed25519Front = Buffer.from('302e020100300506032b657004220420', 'hex');

/** Ed25519 over the server's nonce with an nkey seed: base32 of two bytes of prefix, 32 of key, two of checksum. */
function signature(seed: string, nonce: string): string {
  const bits = [...seed].map((letter) => alphabet.indexOf(letter).toString(2).padStart(5, '0')).join('');
  const bytes = Buffer.from((bits.match(/.{8}/g) ?? []).map((octet) => Number.parseInt(octet, 2)));
  const key = createPrivateKey({ key: Buffer.concat([ed25519Front, bytes.subarray(2, 34)]), format: 'der', type: 'pkcs8' });
  return sign(null, Buffer.from(nonce), key).toString('base64url');
}

export class RawLeaf implements Disposable {
  readonly #socket: Socket;
  /** Subjects the hub told of an interest in. */
  readonly interest = new Set<string>();
  readonly received: { readonly subject: string; readonly body: string }[] = [];
  readonly errors: string[] = [];
  closed = false;
  #buffer = Buffer.alloc(0);
  #nonce: string | undefined;
  #pongs = 0;
  #pings = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    const gone = (): void => {
      this.closed = true;
    };
    socket
      .on('data', (bytes) => this.#arrived(bytes))
      .on('close', gone)
      .on('error', gone);
  }

  /** Resolves when the port has let it in or closed the connection. */
  static async open(port: number, key: NatsKey): Promise<RawLeaf> {
    const leaf = new RawLeaf(connect(port, '127.0.0.1'));
    await until(() => leaf.#nonce !== undefined || leaf.closed, 'the server says hello', 5_000);
    const sig = signature(key.seed, leaf.#nonce ?? '');
    const hello = {
      nkey: key.publicKey,
      sig,
      name: 'rogue',
      server_id: 'ROGUE',
      headers: true,
      protocol: 1,
      version: '2.15.1',
      verbose: false,
    };
    leaf.#write(`CONNECT ${JSON.stringify(hello)}\r\n`);
    await leaf.settle();
    return leaf;
  }

  subscribe(subject: string): void {
    this.#write(`LS+ ${subject}\r\n`);
  }

  publish(subject: string, body: string, reply = ''): void {
    this.#write(`LMSG ${subject} ${reply === '' ? '' : `${reply} `}${Buffer.byteLength(body)}\r\n${body}\r\n`);
  }

  /** Resolves when the server has dealt with all that was sent, or has closed the connection. */
  async settle(): Promise<void> {
    this.#write('PING\r\n');
    const wanted = ++this.#pings;
    await until(() => this.#pongs >= wanted || this.closed, 'the server answers or closes', 5_000);
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  #write(text: string): void {
    if (!this.closed) this.#socket.write(text);
  }

  #arrived(bytes: Buffer): void {
    this.#buffer = Buffer.concat([this.#buffer, bytes]);
    for (;;) {
      const end = this.#buffer.indexOf('\r\n');
      if (end < 0) return;
      const line = this.#buffer.toString('latin1', 0, end);
      const words = line.split(' ');
      const isMessage = words[0] === 'LMSG' || words[0] === 'HMSG';
      const size = isMessage ? Number(words.at(-1)) + 2 : 0;
      if (this.#buffer.length < end + 2 + size) return;
      const body = this.#buffer.toString('latin1', end + 2, end + size);
      this.#buffer = this.#buffer.subarray(end + 2 + size);
      if (isMessage) this.received.push({ subject: words[1] ?? '', body });
      else this.#control(line, words);
    }
  }

  #control(line: string, words: readonly string[]): void {
    if (words[0] === 'LS+') this.interest.add(words[1] ?? '');
    else if (words[0] === '-ERR') this.errors.push(line);
    else if (words[0] === 'PING') this.#write('PONG\r\n');
    else if (words[0] === 'PONG') this.#pongs++;
    else if (words[0] === 'INFO') this.#nonce ??= (JSON.parse(line.slice(5)) as { nonce?: string }).nonce;
  }
}
