// Stands in for the seal between cells: nothing is secret, but what was sealed for one place opens at no other.
import { WeftError } from '@weft/proto/faults.ts';
import { frameClasses } from '@weft/proto/subjects.ts';
import type { Opened, SealAddress, Sealer, SealHeader, SealKind } from '@weft/runtime/seal.ts';
import { withUnknownField } from './later-version.ts';

const kinds: readonly SealKind[] = ['frame', 'ack', 'signal', 'request', 'answer'];
const frontBytes = 20;
const noClass = 255;
const nobody = 255;

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
  readonly #options: PlainSealOptions;
  /** What a name is in the sealed bytes. */
  readonly #numbers: ReadonlyMap<string, number>;
  readonly #number: number;

  constructor(options: PlainSealOptions) {
    this.#options = options;
    this.#numbers = new Map(options.cells.map((name, i) => [name, i]));
    this.#number = this.#numberOf(options.cell);
  }

  seal(to: { readonly kind: SealKind; readonly dst: string }, header: SealHeader, bytes: Uint8Array): Uint8Array {
    const { later, generation, generationOf } = this.#options;
    const plain = later ? withUnknownField(bytes) : bytes;
    const dst = this.#numberOf(to.dst);
    if (dst === nobody) throw new WeftError('peer_away', `no cell ${to.dst}`);
    const out = Buffer.allocUnsafe(frontBytes + plain.length);
    out[0] = kinds.indexOf(to.kind);
    out[1] = this.#number;
    out[2] = dst;
    out[3] = header.cls === undefined ? noClass : frameClasses.indexOf(header.cls);
    out[4] = header.p;
    out[5] = header.what.length;
    out.writeUInt16BE(header.attempt & 0xffff, 6);
    out.writeBigUInt64BE(header.id, 8);
    out.writeUInt16BE(generation, 16);
    out.writeUInt16BE(generationOf(to.dst), 18);
    out.set(plain, frontBytes);
    return out;
  }

  openAt(at: SealAddress, bytes: Uint8Array): Opened {
    if (bytes.length < frontBytes) return { ok: false, why: 'unsealed' };
    const found = new DataView(bytes.buffer, bytes.byteOffset, frontBytes);
    const cls = frameClasses[found.getUint8(3)];
    const id = found.getBigUint64(8);
    const p = found.getUint8(4);
    const what = at.what ?? '';
    const asAddressed =
      kinds[found.getUint8(0)] === at.kind &&
      found.getUint8(1) === this.#numberOf(at.src) &&
      found.getUint8(2) === this.#number &&
      (at.cls ?? cls) === cls &&
      (at.p ?? p) === p &&
      what.length === (at.what === undefined ? 0 : found.getUint8(5)) &&
      (at.id ?? id) === id;
    if (!asAddressed) return { ok: false, why: 're-addressed' };
    const { generation, generationOf, now } = this.#options;
    const isOfThisLife = found.getUint16(16) === generationOf(at.src) && found.getUint16(18) === generation;
    if (!isOfThisLife) return { ok: false, why: 'stale' };
    const plain = bytes.subarray(frontBytes);
    const header = { id, attempt: found.getUint16(6), p, what, time: now() };
    return { ok: true, header: cls === undefined ? header : { ...header, cls }, plain };
  }

  #numberOf(cell: string): number {
    return this.#numbers.get(cell) ?? nobody;
  }
}
