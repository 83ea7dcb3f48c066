// Stands in for the seal between cells: nothing is secret, but what was sealed for one place opens at no other.
import { WeftError } from '@weft/proto/faults.ts';
import { frameClasses } from '@weft/proto/subjects.ts';
import type { Opened, SealAddress, Sealer, SealHeader, SealKind } from '@weft/runtime/seal.ts';
import { withUnknownField } from './later-version.ts';

const kinds: readonly SealKind[] = ['frame', 'ack', 'signal', 'request', 'answer'];
const frontBytes = 20;

export class PlainSeal implements Pick<Sealer, 'seal' | 'openAt'> {
  readonly #cell: string;
  readonly #cells: readonly string[];
  readonly #now: () => number;
  readonly #later: boolean;

  /** `later`: what it seals has fields that the other side does not know. */
  constructor(cell: string, cells: readonly string[], now: () => number, later: boolean) {
    this.#cell = cell;
    this.#cells = cells;
    this.#now = now;
    this.#later = later;
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
    out.writeUInt32BE(0, 16);
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
    const header = { id, attempt: found.readUInt16BE(6), ...(cls && { cls }), p: found[4] as number, what: at.what ?? '' };
    return { ok: true, header: { ...header, time: this.#now() }, plain: found.subarray(frontBytes) };
  }
}
