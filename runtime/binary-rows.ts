// Rows in PostgreSQL's binary format, read where they lie. pg makes each column of each row a string first: of a page of
// history that is half of what it costs, and a binary value would not survive it.
//
// A tap stands between a session's socket and pg. It reads the length of every message and passes everything on, but for
// the rows of a query that takes them as bytes (protocol, "Message Formats": DataRow).
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import type pg from 'pg';

/** A query that may take its rows as bytes. */
export interface RowTaker {
  /** Whether the rows that come now are to be given to it. */
  readonly takesRows: boolean;
  /** `row` is valid during the call; what it gives out stays. */
  takeRow(row: BinaryRow): void;
}

/** The columns of one row, in order. None may be null. */
export class BinaryRow {
  #bytes: Buffer = Buffer.alloc(0);
  #view: DataView = new DataView(new ArrayBuffer(0));
  #at = 0;

  /** All rows until the next call lie in these bytes. */
  within(bytes: Buffer): void {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** Goes to the row whose first column's length is at `at`. */
  moveTo(at: number): void {
    this.#at = at;
  }

  int8(): bigint {
    return this.#view.getBigInt64(this.#column(8));
  }

  /** An int8 up to 2^53. */
  number(): number {
    const at = this.#column(8);
    return this.#view.getInt32(at) * 2 ** 32 + this.#view.getUint32(at + 4);
  }

  int2(): number {
    return this.#view.getInt16(this.#column(2));
  }

  /** A view, no copy: it keeps everything alive that came with it. */
  bytes(): Buffer {
    const length = this.#view.getInt32(this.#at);
    assert(length >= 0, 'a column is null');
    const start = this.#at + 4;
    this.#at = start + length;
    return this.#bytes.subarray(start, this.#at);
  }

  /** Where the next column's value begins, which has so many bytes. */
  #column(bytes: number): number {
    const at = this.#at;
    if (this.#view.getInt32(at) !== bytes) throw new RangeError(`a column is not of ${bytes} bytes`);
    this.#at = at + 4 + bytes;
    return at + 4;
  }
}

/** What pg's types leave out. */
interface Session {
  readonly connection: { readonly stream: Socket };
  _getActiveQuery(): Partial<RowTaker> | null;
}

const tapped = new WeakSet<pg.Client>();

/** Whether rows of this session can be had as bytes. */
export const isTapped = (session: pg.Client): boolean => tapped.has(session);

/** For a session that has nothing under way. */
export function tapRows(session: pg.Client): void {
  const { stream } = (session as unknown as Session).connection;
  const [parse, ...more] = stream.listeners('data') as ((bytes: Buffer) => void)[];
  assert(parse && more.length === 0, 'a session is read by pg alone');
  stream.off('data', parse);
  const tap = new Tap(parse, session as unknown as Session);
  stream.on('data', (bytes: Buffer) => tap.take(bytes));
  tapped.add(session);
}

/** A byte that names the message, four that give its length without that byte. */
const headBytes = 5;
const dataRow = 0x44;
/** A row begins with its number of columns. */
const countBytes = 2;

class Tap {
  readonly #parse: (bytes: Buffer) => void;
  readonly #session: Session;
  readonly #row = new BinaryRow();
  /** Of a message that has not come whole. */
  #rest: Buffer | undefined;

  constructor(parse: (bytes: Buffer) => void, session: Session) {
    this.#parse = parse;
    this.#session = session;
  }

  take(chunk: Buffer): void {
    const bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#row.within(bytes);
    let at = 0;
    let passed = 0;
    while (at + headBytes <= bytes.length) {
      const end = at + 1 + bytes.readUInt32BE(at + 1);
      if (end > bytes.length) break;
      if (bytes[at] !== dataRow) {
        at = end;
        continue;
      }
      // What stands before has to be known first: it says whose rows these are.
      this.#pass(bytes, passed, at);
      passed = at;
      const taker = this.#session._getActiveQuery();
      at = rowsEnd(bytes, at, taker?.takesRows ? (start) => this.#give(start, taker as RowTaker) : undefined);
      if (taker?.takesRows) passed = at;
    }
    this.#pass(bytes, passed, at);
    this.#rest = at < bytes.length ? bytes.subarray(at) : undefined;
  }

  #pass(bytes: Buffer, from: number, to: number): void {
    if (from < to) this.#parse(bytes.subarray(from, to));
  }

  #give(at: number, taker: RowTaker): void {
    this.#row.moveTo(at + headBytes + countBytes);
    taker.takeRow(this.#row);
  }
}

/** Goes over the whole rows that follow one another from `start` on; tells where they end. */
function rowsEnd(bytes: Buffer, start: number, give: ((at: number) => void) | undefined): number {
  let at = start;
  while (at + headBytes <= bytes.length && bytes[at] === dataRow) {
    const end = at + 1 + bytes.readUInt32BE(at + 1);
    if (end > bytes.length) break;
    give?.(at);
    at = end;
  }
  return at;
}
