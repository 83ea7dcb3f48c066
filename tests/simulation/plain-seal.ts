// Stands in for the seal between cells: nothing is secret, but what was sealed for one place opens at no other.
import { WeftError } from '@weft/proto/faults.ts';
import { frameClasses } from '@weft/proto/subjects.ts';
import type { Opened, SealAddress, Sealer, SealHeader, SealKind } from '@weft/runtime/seal.ts';
import { withUnknownField } from './later-version.ts';

const kinds: readonly SealKind[] = ['frame', 'ack', 'signal', 'request', 'answer'];
const frontBytes = 20;
/** What is written and read of each message, one at a time: a view over every message costs more than the rest. */
const front = new DataView(new ArrayBuffer(frontBytes));
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
    front.setUint8(0, kinds.indexOf(to.kind));
    front.setUint8(1, this.#number);
    front.setUint8(2, dst);
    front.setUint8(3, header.cls === undefined ? noClass : frameClasses.indexOf(header.cls));
    front.setUint8(4, header.p);
    front.setUint8(5, header.what.length);
    front.setUint16(6, header.attempt & 0xffff);
    front.setBigUint64(8, header.id);
    front.setUint16(16, generation);
    front.setUint16(18, generationOf(to.dst));
    const out = Buffer.allocUnsafe(frontBytes + plain.length);
    for (let i = 0; i < frontBytes; i++) out[i] = front.getUint8(i);
    out.set(plain, frontBytes);
    return out;
  }

  openAt(at: SealAddress, bytes: Uint8Array): Opened {
    if (bytes.length < frontBytes) return { ok: false, why: 'unsealed' };
    const found = front;
    for (let i = 0; i < frontBytes; i++) found.setUint8(i, bytes[i] as number);
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
    const attempt = found.getUint16(6);
    const time = now();
    return { ok: true, header: cls === undefined ? { id, attempt, p, what, time } : { id, attempt, cls, p, what, time }, plain };
  }

  #numberOf(cell: string): number {
    return this.#numbers.get(cell) ?? nobody;
  }
}
