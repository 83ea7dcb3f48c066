// Everything between two cells travels sealed: AES-256-GCM under a key of that direction. A hub, or a cell that speaks
// where it may not, can neither read nor forge. What does not open is for the caller to count, alarm and drop.
import { createCipheriv, createDecipheriv, type KeyObject, randomFillSync } from 'node:crypto';
import { WeftError } from '@weft/proto/faults.ts';
import type { FrameClass } from '@weft/proto/subjects.ts';
import { LruMap } from 'toad-cache';
import type { Clock } from './clock.ts';
import { linkLimits } from './link-limits.ts';
import { frontBytes, readFront, type SealedFront, type SealHeader, type SealKind, writeFront } from './seal-header.ts';
import { deriveSealKey, type OwnSealKey, type PeerSealKey, type SealEnd } from './seal-keys.ts';

export type { SealHeader, SealKind } from './seal-header.ts';
export type { OwnSealKey, PeerSealKey } from './seal-keys.ts';

/**
 * unsealed: not our format. wrong-key: no such key, or bytes that key did not seal. re-addressed: meant for another cell,
 * kind, subject or request. stale: of another generation of either side, or a signal out of its time.
 */
export type WhyNotOpen = 'unsealed' | 'wrong-key' | 're-addressed' | 'stale';
export type Opened =
  | { readonly ok: true; readonly header: SealHeader & { readonly time: number }; readonly plain: Uint8Array }
  | { readonly ok: false; readonly why: WhyNotOpen };

/** Where the bytes were found. Whatever is given must be what they were sealed for. */
export interface SealAddress {
  readonly kind: SealKind;
  readonly src: string;
  readonly cls?: FrameClass;
  readonly p?: number;
  readonly what?: string;
  /** Of an answer: the nonce of the request. */
  readonly id?: bigint;
}

export interface SealerOptions {
  readonly cell: string;
  /** Current and previous keys; read at each call, so a rotation needs no restart. */
  readonly ownKeys: () => readonly OwnSealKey[];
  readonly peerKeys: (cell: string) => readonly PeerSealKey[];
  /** Generation of this cell's store. */
  readonly generation: () => number;
  readonly clock: Pick<Clock, 'now'>;
}

interface DerivedKey {
  readonly outward: boolean;
  readonly ownVersion: number;
  readonly ownGeneration: number;
  readonly peerVersion: number;
  readonly peerGeneration: number;
  readonly own: Uint8Array;
  readonly peer: Uint8Array;
  readonly key: KeyObject;
}

const algorithm = 'aes-256-gcm';
const nonceBytes = 12;
const tagBytes = 16;

export class Sealer {
  readonly #options: SealerOptions;
  readonly #derived = new LruMap<DerivedKey[]>(linkLimits.derivedKeyPeersMax);
  readonly #nonces = Buffer.alloc(nonceBytes * linkLimits.noncesDrawnAtOnce);
  #nextNonce: number = linkLimits.noncesDrawnAtOnce;

  constructor(options: SealerOptions) {
    this.#options = options;
  }

  /**
   * Seals for one cell, under the newest key of both sides: front ‖ nonce ‖ ciphertext ‖ tag, about 80 bytes longer than
   * `plain`. Takes a message descriptor and the bytes. Throws `peer_away` when no key of that cell is known.
   */
  seal(to: { readonly kind: SealKind; readonly dst: string }, header: SealHeader, plain: Uint8Array): Uint8Array {
    const { cell, generation, clock } = this.#options;
    const now = clock.now();
    const own = newest(this.#options.ownKeys(), (key) => (key.sealsFromMs ?? 0) <= now);
    const peer = newest(this.#options.peerKeys(to.dst), (key) => key.ends === 0 || key.ends > now);
    if (own === undefined || peer === undefined) throw new WeftError('peer_away', `no seal key between ${cell} and ${to.dst}`);
    const ownGeneration = generation();
    const key = this.#key({ peerCell: to.dst, own, peer, ownGeneration, outward: true });
    const out = Buffer.allocUnsafe(frontBytes(cell, to.dst, header.what) + nonceBytes + plain.length + tagBytes);
    const front = writeFront(out, {
      kind: to.kind,
      src: cell,
      dst: to.dst,
      srcVersion: own.version,
      dstVersion: peer.version,
      srcGeneration: ownGeneration,
      dstGeneration: peer.generation,
      header: { ...header, time: now },
    });
    const text = front + nonceBytes;
    const nonce = out.subarray(front, text);
    this.#drawNonce(nonce);
    const cipher = createCipheriv(algorithm, key, nonce, { authTagLength: tagBytes });
    cipher.setAAD(out.subarray(0, front));
    out.set(cipher.update(plain), text);
    cipher.final();
    out.set(cipher.getAuthTag(), text + plain.length);
    return out;
  }

  /** Opens what `src` sealed for this cell. Expected failures are values; it never throws for any bytes. */
  open(kind: SealKind, src: string, bytes: Uint8Array): Opened {
    return this.openAt({ kind, src }, bytes);
  }

  /** As `open`, and also holds the header to the subject (or request) the bytes were found under. */
  openAt(at: SealAddress, bytes: Uint8Array): Opened {
    const sealed = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const front = readFront(sealed);
    if (front === undefined || sealed.length < front.length + nonceBytes + tagBytes) return { ok: false, why: 'unsealed' };
    if (!this.#isMeantFor(at, front)) return { ok: false, why: 're-addressed' };
    const now = this.#options.clock.now();
    const peers = this.#options.peerKeys(at.src);
    if (front.dstGeneration !== this.#options.generation()) return { ok: false, why: 'stale' };
    const own = this.#options.ownKeys().find((key) => key.version === front.dstVersion);
    const peer = peers.find((key) => key.version === front.srcVersion && (key.ends === 0 || key.ends > now));
    if (own === undefined || peer === undefined) return { ok: false, why: 'wrong-key' };
    if (front.srcGeneration !== peer.generation) return { ok: false, why: 'stale' };
    const plain = this.#decrypt(sealed, front, { own, peer });
    if (plain === undefined) return { ok: false, why: 'wrong-key' };
    if (front.kind === 'signal' && Math.abs(now - front.header.time) > linkLimits.signalMsMax) return { ok: false, why: 'stale' };
    return { ok: true, header: front.header, plain };
  }

  #isMeantFor(at: SealAddress, { kind, src, dst, header }: SealedFront): boolean {
    if (kind !== at.kind || src !== at.src || dst !== this.#options.cell) return false;
    if (at.cls !== undefined && at.cls !== header.cls) return false;
    if (at.p !== undefined && at.p !== header.p) return false;
    if (at.what !== undefined && at.what !== header.what) return false;
    return at.id === undefined || at.id === header.id;
  }

  #decrypt(sealed: Buffer, front: SealedFront, keys: { readonly own: OwnSealKey; readonly peer: PeerSealKey }): Buffer | undefined {
    const text = front.length + nonceBytes;
    try {
      const key = this.#key({ peerCell: front.src, ...keys, ownGeneration: front.dstGeneration, outward: false });
      const cipher = createDecipheriv(algorithm, key, sealed.subarray(front.length, text), { authTagLength: tagBytes });
      cipher.setAAD(sealed.subarray(0, front.length));
      cipher.setAuthTag(sealed.subarray(sealed.length - tagBytes));
      const plain = cipher.update(sealed.subarray(text, sealed.length - tagBytes));
      cipher.final();
      return plain;
    } catch {
      // Node says "unable to authenticate" only by throwing; a peer's key that is no X25519 point throws here too.
      return undefined;
    }
  }

  /** The key of one direction, derived once. Few per peer: two versions of each side, two directions. */
  #key(of: {
    readonly peerCell: string;
    readonly own: OwnSealKey;
    readonly peer: PeerSealKey;
    readonly ownGeneration: number;
    readonly outward: boolean;
  }): KeyObject {
    const { peerCell, own, peer, ownGeneration, outward } = of;
    const known = this.#derived.get(peerCell);
    if (known !== undefined) {
      for (const one of known) {
        if (one.outward !== outward || one.ownVersion !== own.version || one.peerVersion !== peer.version) continue;
        if (one.ownGeneration !== ownGeneration || one.peerGeneration !== peer.generation) continue;
        if (sameBytes(one.own, own.privateKey) && sameBytes(one.peer, peer.publicKey)) return one.key;
      }
    }
    const ours: SealEnd = { cell: this.#options.cell, generation: ownGeneration, version: own.version };
    const theirs: SealEnd = { cell: peerCell, generation: peer.generation, version: peer.version };
    const key = deriveSealKey(own.privateKey, peer.publicKey, outward ? { src: ours, dst: theirs } : { src: theirs, dst: ours });
    this.#remember(peerCell, {
      outward,
      ownVersion: own.version,
      ownGeneration,
      peerVersion: peer.version,
      peerGeneration: peer.generation,
      own: own.privateKey.slice(),
      peer: peer.publicKey.slice(),
      key,
    });
    return key;
  }

  #remember(peerCell: string, derived: DerivedKey): void {
    const known = this.#derived.get(peerCell) ?? [];
    this.#derived.set(peerCell, [derived, ...known].slice(0, linkLimits.derivedKeysPerPeerMax));
  }

  /** 96 random bits. Drawn a thousand at a time: the call into the generator costs more than the bytes. */
  #drawNonce(into: Buffer): void {
    if (this.#nextNonce === linkLimits.noncesDrawnAtOnce) {
      randomFillSync(this.#nonces);
      this.#nextNonce = 0;
    }
    const at = nonceBytes * this.#nextNonce++;
    this.#nonces.copy(into, 0, at, at + nonceBytes);
  }
}

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => a === b || Buffer.compare(a, b) === 0;

function newest<K extends { readonly version: number }>(keys: readonly K[], usable: (key: K) => boolean): K | undefined {
  let best: K | undefined;
  for (const key of keys) {
    if ((best === undefined || key.version > best.version) && usable(key)) best = key;
  }
  return best;
}
