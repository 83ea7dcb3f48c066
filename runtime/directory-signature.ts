// The directory's word: a ChangeList is worth something only under the directory's Ed25519 key (RFC 8032), which every process has pinned.
// Signed are the bytes themselves, so that nobody has to encode a list again to check it.
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { ChangeList, type SignedChanges } from '@weft/proto/gen/weft/directory/v1/directory.ts';

const context = Buffer.from('weft.dir.v1');
// RFC 8410: what stands before the 32 raw bytes in DER.
const privatePrefix = Buffer.from('302e020100300506032b657004220420', 'hex');
const publicPrefix = Buffer.from('302a300506032b6570032100', 'hex');

/** The signing key of a 32-byte seed. */
export const directorySigningKey = (seed: Uint8Array): KeyObject =>
  createPrivateKey({ key: Buffer.concat([privatePrefix, seed]), format: 'der', type: 'pkcs8' });

/** The key that is pinned: 32 raw bytes. */
export const directoryPublicKey = (raw: Uint8Array): KeyObject =>
  createPublicKey({ key: Buffer.concat([publicPrefix, raw]), format: 'der', type: 'spki' });

/** The 32 raw bytes of a key's public half. */
export function rawPublicKey(key: KeyObject): Buffer {
  const half = key.type === 'private' ? createPublicKey(key) : key;
  return half.export({ format: 'der', type: 'spki' }).subarray(publicPrefix.length);
}

export function signChanges(list: ChangeList, key: KeyObject, keyVersion: number): SignedChanges {
  const changes = ChangeList.encode(list).finish();
  return { changes, keyVersion, signature: sign(null, Buffer.concat([context, changes]), key) };
}

/** The list, if `key` signed it and it parses; otherwise undefined. Never throws. */
export function openChanges(signed: SignedChanges, key: KeyObject): ChangeList | undefined {
  try {
    if (!verify(null, Buffer.concat([context, signed.changes]), key, signed.signature)) return undefined;
    return ChangeList.decode(signed.changes);
  } catch {
    return undefined;
  }
}
