// Refresh tokens: opaque to clients; 256 random bits of which only a hash is stored.
//
// A token names its session and its number in it, and carries a MAC, so that a spent token of any age is told from a made-up one although only the
// newest hash is kept: a made-up one must not be able to end somebody's session.
// The next token is derived from the one before, a fresh random salt of the row and a key that is not in the database. So while the answer may have been
// lost the same token gets the same answer, and neither a stolen table nor a stolen token is enough to know the next.
import { createHash, createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';

export interface RefreshToken {
  readonly session: bigint;
  /** From 1, one more at each refresh. */
  readonly number: number;
  /** What clients hold: base64url. */
  readonly text: string;
  /** SHA-256 of the whole token. */
  readonly hash: Buffer;
}

const form = 1;
const secretBytes = 32;
const macBytes = 16;
const headBytes = 1 + 8 + 4;
const tokenBytes = headBytes + secretBytes + macBytes;
const textChars = Math.ceil((tokenBytes * 4) / 3);

export const saltBytes = 32;

export class RefreshTokens {
  readonly #macKey: Buffer;
  readonly #nextKey: Buffer;

  /** `secret`: the cell's key secret; both keys are derived from it, so all nodes of the cell agree. */
  constructor(secret: Uint8Array) {
    this.#macKey = derive(secret, 'weft.refresh.mac.v1');
    this.#nextKey = derive(secret, 'weft.refresh.next.v1');
  }

  first(session: bigint): RefreshToken {
    return this.#seal(session, 1, randomBytes(secretBytes));
  }

  /** What `token` is exchanged for, given the salt stored at that exchange. */
  next(token: RefreshToken, salt: Uint8Array): RefreshToken {
    const secret = createHmac('sha256', this.#nextKey).update(salt).update(Buffer.from(token.text, 'base64url')).digest();
    return this.#seal(token.session, token.number + 1, secret);
  }

  /** The session that the text names, also of another cell; undefined: it has not the form. Proves nothing. */
  sessionOf(text: string): bigint | undefined {
    return bytesOf(text)?.readBigInt64BE(1);
  }

  /** Undefined: this cell never gave this token. */
  read(text: string): RefreshToken | undefined {
    const bytes = bytesOf(text);
    if (bytes === undefined) return undefined;
    const mac = this.#mac(bytes.subarray(0, -macBytes));
    if (!timingSafeEqual(mac, bytes.subarray(-macBytes))) return undefined;
    return describe(bytes);
  }

  #seal(session: bigint, number: number, secret: Buffer): RefreshToken {
    const head = Buffer.alloc(headBytes);
    head[0] = form;
    head.writeBigInt64BE(session, 1);
    head.writeUInt32BE(number, 9);
    const signed = Buffer.concat([head, secret]);
    return describe(Buffer.concat([signed, this.#mac(signed)]));
  }

  #mac(bytes: Uint8Array): Buffer {
    return createHmac('sha256', this.#macKey).update(bytes).digest().subarray(0, macBytes);
  }
}

const derive = (secret: Uint8Array, info: string): Buffer => Buffer.from(hkdfSync('sha256', secret, Buffer.alloc(32), info, 32));

function describe(bytes: Buffer): RefreshToken {
  return {
    session: bytes.readBigInt64BE(1),
    number: bytes.readUInt32BE(9),
    text: bytes.toString('base64url'),
    hash: createHash('sha256').update(bytes).digest(),
  };
}

/** One text for each token: base64url that decodes to it but is spelled otherwise is refused. */
function bytesOf(text: string): Buffer | undefined {
  if (text.length !== textChars) return undefined;
  const bytes = Buffer.from(text, 'base64url');
  return bytes.length === tokenBytes && bytes[0] === form && bytes.toString('base64url') === text ? bytes : undefined;
}
