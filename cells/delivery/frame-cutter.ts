// Cuts what goes to each destination into frames of at most 256 entries and 256 KiB, each of logs of one partition (R14).
import { laneOf, lanes } from '@weft/proto/ids.ts';
import { limits } from '@weft/proto/limits.ts';
import type { Entry } from './entry.ts';
import type { OutboxRow } from './ports.ts';

export interface FrameCutterContext {
  freshId(): bigint;
  readonly limits: { readonly frameEntriesMax: number; readonly frameBytesMax: number };
}

interface OpenRange {
  readonly log: bigint;
  readonly first: number;
  last: number;
}

interface OpenFrame {
  readonly dst: number;
  readonly lane: number;
  readonly ranges: OpenRange[];
  /** Newest range of each log. */
  readonly latest: Map<bigint, OpenRange>;
  /** The entries, while all of them are at hand. */
  entries: Entry[] | undefined;
  count: number;
  bytes: number;
  /** See OutboxRow.due. */
  due: number;
}

/** Header, hashes, tags and lengths of one entry, at most. */
const entryOverheadBytes = 164;

export class FrameCutter {
  readonly #context: FrameCutterContext;
  /** By destination and partition. */
  readonly #open = new Map<number, OpenFrame>();
  readonly #done: OutboxRow[] = [];

  constructor(context: FrameCutterContext) {
    this.#context = context;
  }

  /** An entry of this transaction. `passed`: places before it that the destination will never get, having been out of the log. */
  add(dst: number, entry: Entry, passed = 0): void {
    const frame = this.#room(dst, laneOf(entry.log), entry.body.length + entryOverheadBytes);
    frame.due += 1 + passed;
    frame.entries?.push(entry);
    cover(frame, entry.log, entry.seq);
  }

  /** An entry stored before, whose size is not known here: it counts as the largest. */
  addStored(dst: number, log: bigint, seq: number): void {
    const frame = this.#room(dst, laneOf(log), limits.entryBytesMax + entryOverheadBytes);
    frame.entries = undefined;
    cover(frame, log, seq);
  }

  rows(): OutboxRow[] {
    for (const key of [...this.#open.keys()]) this.#finish(key);
    return this.#done;
  }

  #room(dst: number, lane: number, bytes: number): OpenFrame {
    const { frameEntriesMax, frameBytesMax } = this.#context.limits;
    const key = dst * lanes + lane;
    const open = this.#open.get(key);
    if (open && open.count + 1 <= frameEntriesMax && open.bytes + bytes <= frameBytesMax) {
      open.count += 1;
      open.bytes += bytes;
      return open;
    }
    this.#finish(key);
    const frame: OpenFrame = { dst, lane, ranges: [], latest: new Map(), entries: [], count: 1, bytes, due: 0 };
    this.#open.set(key, frame);
    return frame;
  }

  #finish(key: number): void {
    const frame = this.#open.get(key);
    if (!frame) return;
    this.#open.delete(key);
    this.#done.push({
      id: this.#context.freshId(),
      dst: frame.dst,
      class: 'e',
      lane: frame.lane,
      ranges: frame.ranges,
      envelopes: [],
      due: frame.due,
      ...(frame.entries ? { entries: frame.entries } : {}),
    });
  }
}

function cover(frame: OpenFrame, log: bigint, seq: number): void {
  const range = frame.latest.get(log);
  if (range && range.last + 1 === seq) {
    range.last = seq;
    return;
  }
  const fresh = { log, first: seq, last: seq };
  frame.ranges.push(fresh);
  frame.latest.set(log, fresh);
}
