// Seal keys: X25519 pairs that cells publish with the cell table, and the AES key of one direction between two of them.
import {
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
} from 'node:crypto';

/** A private seal key of this cell. */
export interface OwnSealKey {
  /** Rises with every rotation, from 1. */
  readonly version: number;
  /** 32 raw bytes (RFC 7748). */
  readonly privateKey: Uint8Array;
  /** Unix ms before which the key opens but does not seal, so that every peer has heard of it first. Absent: at once. */
  readonly sealsFromMs?: number;
}

/** A public seal key of another cell, as the directory tells it. */
export interface PeerSealKey {
  readonly version: number;
  /** 32 raw bytes. */
  readonly publicKey: Uint8Array;
  /** Generation of the cell's store that published it. */
  readonly generation: number;
  /** Unix ms until which it opens; 0: current. */
  readonly ends: number;
}

/** One end of a link, as the key of that direction names it. */
export interface SealEnd {
  readonly cell: string;
  readonly generation: number;
  readonly version: number;
}

const rawBytes = 32;
// The fixed fronts of PKCS #8 and SPKI around a raw X25519 key (RFC 8410).
const privateFront = Buffer.from('302e020100300506032b656e04220420', 'hex');
const publicFront = Buffer.from('302a300506032b656e032100', 'hex');

/** A new pair, both as 32 raw bytes. */
export function makeSealKey(): { readonly privateKey: Uint8Array; readonly publicKey: Uint8Array } {
  const pair = generateKeyPairSync('x25519');
  return {
    privateKey: pair.privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(-rawBytes),
    publicKey: pair.publicKey.export({ format: 'der', type: 'spki' }).subarray(-rawBytes),
  };
}

/** The public half of a private key, 32 raw bytes. */
export const publicSealKey = (privateKey: Uint8Array): Uint8Array =>
  createPublicKey(privateObject(privateKey)).export({ format: 'der', type: 'spki' }).subarray(-rawBytes);

/**
 * The AES-256 key for what `src` sends to `dst`: HKDF-SHA256 over the X25519 secret, with both names, generations and
 * versions, so that no direction, generation or rotation shares a key with another. Throws when a key is not a valid
 * X25519 key.
 */
export function deriveSealKey(
  own: Uint8Array,
  peer: Uint8Array,
  { src, dst }: { readonly src: SealEnd; readonly dst: SealEnd },
): KeyObject {
  const secret = diffieHellman({ privateKey: privateObject(own), publicKey: publicObject(peer) });
  const info = JSON.stringify(['weft.seal.v1', src.cell, src.generation, src.version, dst.cell, dst.generation, dst.version]);
  return createSecretKey(Buffer.from(hkdfSync('sha256', secret, Buffer.alloc(rawBytes), info, rawBytes)));
}

const privateObject = (raw: Uint8Array): KeyObject => createPrivateKey({ key: framed(privateFront, raw), format: 'der', type: 'pkcs8' });
const publicObject = (raw: Uint8Array): KeyObject => createPublicKey({ key: framed(publicFront, raw), format: 'der', type: 'spki' });

function framed(front: Buffer, raw: Uint8Array): Buffer {
  if (raw.length !== rawBytes) throw new RangeError(`a seal key has ${rawBytes} bytes, not ${raw.length}`);
  return Buffer.concat([front, raw]);
}
