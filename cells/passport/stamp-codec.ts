// Stamps of frames in a few bytes each: everything is a varint, times are told from the one before, the first from the frame's
// id. A frame names its logs by 16 bits each, if they are few: enough to tell it from the others of its millisecond.
import { idEpochMs, idTimeMs } from '@weft/proto/ids.ts';

export interface Stamp {
  readonly id: bigint;
  readonly peer: number;
  readonly way: 'out' | 'in';
  readonly lane: number;
  attempt: number;
  readonly entries: number;
  /** Of its logs; empty when they are many or not known. */
  readonly marks: readonly number[];
  /** Unix ms, 0 when not known: see FrameTrace in proto/passport.ts. */
  sentMs: number;
  storedMs: number;
  doneMs: number;
}

export const attemptMax = 255;
/** Logs a stamp names; of frames with more, time and lane have to do. */
export const marksMax = 8;

/** 16 bits of a log's id. */
export const markOf = (log: bigint): number => Number((log ^ (log >> 17n) ^ (log >> 34n)) & 0xffffn);

export const minuteOf = (id: bigint): number => Math.floor(idTimeMs(id) / 60_000);

/** Of one minute, cell and direction. */
export function packStamps(stamps: readonly Stamp[]): Uint8Array {
  const bytes: number[] = [];
  const sorted = [...stamps].sort((a, b) => (a.id < b.id ? -1 : 1));
  let beforeMs = sorted[0] ? minuteOf(sorted[0].id) * 60_000 : 0;
  for (const stamp of sorted) {
    const atMs = idTimeMs(stamp.id);
    // Cell, node and counter: the low 22 bits, the cell being known from the row.
    putVarint(bytes, atMs - beforeMs);
    putVarint(bytes, Number(stamp.id & 0x3ffn) * 4 + stamp.lane);
    putVarint(bytes, Math.min(stamp.attempt, attemptMax));
    putVarint(bytes, stamp.entries);
    putVarint(bytes, stamp.marks.length);
    for (const mark of stamp.marks) bytes.push(mark >> 8, mark & 0xff);
    let toldMs = atMs;
    for (const ms of [stamp.sentMs, stamp.storedMs, stamp.doneMs]) {
      putVarint(bytes, ms === 0 ? 0 : 1 + zigzag(ms - toldMs));
      if (ms !== 0) toldMs = ms;
    }
    beforeMs = atMs;
  }
  return Uint8Array.from(bytes);
}

export interface PackedAs {
  readonly peer: number;
  readonly way: 'out' | 'in';
  readonly minute: number;
  /** Number of the cell whose frames these are. */
  readonly cell: number;
}

/** Throws RangeError on what packStamps did not make. */
export function unpackStamps(bytes: Uint8Array, { peer, way, minute, cell }: PackedAs): Stamp[] {
  const reader = new Varints(bytes);
  const stamps: Stamp[] = [];
  let beforeMs = minute * 60_000;
  while (reader.more) {
    const atMs = beforeMs + reader.next();
    const tail = reader.next();
    const [attempt, entries, count] = [reader.next(), reader.next(), reader.next()];
    const marks = Array.from({ length: count }, () => reader.two());
    let toldMs = atMs;
    const times = [0, 0, 0].map(() => {
      const told = reader.next();
      if (told === 0) return 0;
      toldMs += unzigzag(told - 1);
      return toldMs;
    });
    const [sentMs = 0, storedMs = 0, doneMs = 0] = times;
    const id = (BigInt(atMs - idEpochMs) << 22n) | (BigInt(cell) << 10n) | BigInt(Math.floor(tail / 4));
    stamps.push({ id, peer, way, lane: tail % 4, attempt, entries, marks, sentMs, storedMs, doneMs });
    beforeMs = atMs;
  }
  return stamps;
}

const zigzag = (value: number): number => (value < 0 ? -2 * value - 1 : 2 * value);
const unzigzag = (value: number): number => (value % 2 === 0 ? value / 2 : -(value + 1) / 2);

function putVarint(into: number[], value: number): void {
  let left = Math.max(0, Math.round(value));
  for (; left > 0x7f; left = Math.floor(left / 128)) into.push((left % 128) + 128);
  into.push(left);
}

class Varints {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get more(): boolean {
    return this.#at < this.#bytes.length;
  }

  next(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw new RangeError('the stamps end in the middle');
      value += (byte % 128) * scale;
      if (byte < 128) return value;
    }
  }

  two(): number {
    const [high, low] = [this.#bytes[this.#at++], this.#bytes[this.#at++]];
    if (high === undefined || low === undefined) throw new RangeError('the stamps end in the middle');
    return high * 256 + low;
  }
}
