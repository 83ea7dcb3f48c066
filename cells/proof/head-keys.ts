// Keys for heads of logs: this cell's own sign, every cell's verify.
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import type { SignedHead } from '@weft/proto/gen/weft/client/v1/client.ts';
import { type CellRecord, KeyUse } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import { epochParts } from '@weft/proto/positions.ts';
import { type HeadFields, headBytes, headKid } from '@weft/proto/signed-head.ts';
import type { CellKeys } from '../accounts/cell-keys.ts';

export interface PublishedHeadKey {
  readonly kid: string;
  /** Number of the cell: the owner in an epoch. */
  readonly cell: number;
  /** 32 raw bytes (RFC 8032). */
  readonly key: Uint8Array;
}

export interface HeadKeysOptions {
  readonly cell: { readonly name: string; readonly number: number };
  readonly keys: CellKeys;
  /** Every cell of the directory, this one too. */
  readonly cells: () => readonly CellRecord[];
}

// The fixed fronts of PKCS #8 and SPKI around a raw Ed25519 key (RFC 8410).
const privateFront = Buffer.from('302e020100300506032b657004220420', 'hex');
const publicFront = Buffer.from('302a300506032b6570032100', 'hex');

/** Keys kept ready; a fabric with more works, slower. */
const keysKept = 1_000;

export class HeadKeys {
  readonly #options: HeadKeysOptions;
  #signing: { readonly version: number; readonly key: KeyObject } | undefined;
  readonly #verifying = new Map<string, KeyObject>();

  constructor(options: HeadKeysOptions) {
    this.#options = options;
  }

  sign(head: HeadFields): SignedHead {
    const { cell, keys } = this.#options;
    const current = keys.current('head');
    if (this.#signing?.version !== current.version) {
      const der = Buffer.concat([privateFront, current.privateKey]);
      this.#signing = { version: current.version, key: createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }) };
    }
    return { ...head, kid: headKid(cell.name, current.version), signature: sign(null, headBytes(head), this.#signing.key) };
  }

  /** Whether the owner of the head's epoch signed it. */
  proves(head: SignedHead): boolean {
    const key = this.#keyOf(head);
    return key !== undefined && head.hash.length === 32 && verify(null, headBytes(head), key, head.signature);
  }

  /** What clients verify with: the keys of every cell known here. */
  published(): PublishedHeadKey[] {
    const { cell, keys, cells } = this.#options;
    const own = keys.all('head').map((key) => ({ kid: headKid(cell.name, key.version), cell: cell.number, key: key.publicKey }));
    const others = cells().filter(({ name }) => name !== cell.name);
    return [...own, ...others.flatMap((each) => headKeysOf(each))];
  }

  #keyOf(head: SignedHead): KeyObject | undefined {
    const owner = epochParts(head.epoch).cell;
    const raw = this.published().find(({ kid, cell }) => kid === head.kid && cell === owner)?.key;
    if (!raw) return undefined;
    const name = `${head.kid} ${Buffer.from(raw).toString('base64')}`;
    const known = this.#verifying.get(name);
    if (known) return known;
    const key = createPublicKey({ key: Buffer.concat([publicFront, raw]), format: 'der', type: 'spki' });
    if (this.#verifying.size >= keysKept) this.#verifying.clear();
    this.#verifying.set(name, key);
    return key;
  }
}

const headKeysOf = ({ name, number, keys }: CellRecord): PublishedHeadKey[] =>
  keys.filter((key) => key.use === KeyUse.KEY_USE_HEAD).map((key) => ({ kid: headKid(name, key.version), cell: number, key: key.key }));
