// Stands in for the seal between cells: nothing is secret, but what was sealed for one place opens at no other.
import { WeftError } from '@weft/proto/faults.ts';
import { frameClasses } from '@weft/proto/subjects.ts';
import type { Opened, SealAddress, Sealer, SealHeader, SealKind } from '@weft/runtime/seal.ts';
import { withUnknownField } from './later-version.ts';

const kinds: readonly SealKind[] = ['frame', 'ack', 'signal', 'request', 'answer'];
const frontBytes = 20;

export interface PlainSealOptions {
  readonly cell: string;
  readonly cells: readonly string[];
  readonly now: () => number;
  /** What it seals has fields that the other side does not know. */
  readonly later: boolean;
  /** Of this cell's store, and of the others' as the directory knows them. */
  readonly generation: number;
  readonly generationOf: (cell: string) => number;
}

export class PlainSeal implements Pick<Sealer, 'seal' | 'openAt'> {
  readonly #cell: string;
  readonly #cells: readonly string[];
  readonly #now: () => number;
  readonly #later: boolean;
  readonly #generation: number;
  readonly #generationOf: (cell: string) => number;

  constructor({ cell, cells, now, later, generation, generationOf }: PlainSealOptions) {
    this.#cell = cell;
    this.#cells = cells;
    this.#now = now;
    this.#later = later;
    this.#generation = generation;
    this.#generationOf = generationOf;
  }

  seal(to: { readonly kind: SealKind; readonly dst: string }, header: SealHeader, bytes: Uint8Array): Uint8Array {
    const plain = this.#later ? withUnknownField(bytes) : bytes;
    if (!this.#cells.includes(to.dst)) throw new WeftError('peer_away', `no cell ${to.dst}`);
    const out = Buffer.allocUnsafe(frontBytes + plain.length);
    out[0] = kinds.indexOf(to.kind);
    out[1] = this.#cells.indexOf(this.#cell);
    out[2] = this.#cells.indexOf(to.dst);
    out[3] = header.cls === undefined ? 255 : frameClasses.indexOf(header.cls);
    out[4] = header.p;
    out[5] = header.what.length;
    out.writeUInt16BE(header.attempt & 0xffff, 6);
    out.writeBigUInt64BE(header.id, 8);
    out.writeUInt16BE(this.#generation, 16);
    out.writeUInt16BE(this.#generationOf(to.dst), 18);
    out.set(plain, frontBytes);
    return out;
  }

  openAt(at: SealAddress, bytes: Uint8Array): Opened {
    const found = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (found.length < frontBytes) return { ok: false, why: 'unsealed' };
    const cls = frameClasses[found[3] as number];
    const id = found.readBigUInt64BE(8);
    const asAddressed =
      found[0] === kinds.indexOf(at.kind) &&
      found[1] === this.#cells.indexOf(at.src) &&
      found[2] === this.#cells.indexOf(this.#cell) &&
      (at.cls ?? cls) === cls &&
      (at.p ?? found[4]) === found[4] &&
      (at.what ?? '').length === (at.what === undefined ? 0 : (found[5] as number)) &&
      (at.id ?? id) === id;
    if (!asAddressed) return { ok: false, why: 're-addressed' };
    const isOfThisLife = found.readUInt16BE(16) === this.#generationOf(at.src) && found.readUInt16BE(18) === this.#generation;
    if (!isOfThisLife) return { ok: false, why: 'stale' };
    const header = { id, attempt: found.readUInt16BE(6), ...(cls && { cls }), p: found[4] as number, what: at.what ?? '' };
    return { ok: true, header: { ...header, time: this.#now() }, plain: found.subarray(frontBytes) };
  }
}
