import type { KeyObject } from 'node:crypto';
import type { PublicKey } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import { directorySigningKey, rawPublicKey } from '@weft/runtime/directory-signature.ts';

/** The directory's signing key. */
export interface Signer {
  readonly key: KeyObject;
  readonly version: number;
  readonly publicKey: PublicKey;
}

/** `seed`: 32 bytes. One version for now: a rotation pins the next key everywhere first. */
export function newSigner(seed: Uint8Array): Signer {
  const key = directorySigningKey(seed);
  return { key, version: 1, publicKey: { use: 'KEY_USE_DIRECTORY', version: 1, key: rawPublicKey(key), ends: 0n } };
}
