// Remembers what becomes of frames, out and in, and writes it down every few seconds. Costs a few bytes a frame, nothing an entry,
// and nobody waits for it: what a dying node had not written yet is not known later, and only the answers are the poorer.
import { laneOf } from '@weft/proto/ids.ts';
import type { Clock } from '@weft/runtime/clock.ts';
import type { OutboxRow } from '../delivery/ports.ts';
import type { FrameFate, TracedFrame } from '../delivery/relay.ts';
import { cellLimits } from '../limits.ts';
import type { OpenedFrame } from '../link/sealed-link.ts';
import type { Query } from '../store/entries-table.ts';
import { forgetStamps, insertStamps, readStamps, type StampRow } from '../store/frame-stamps-table.ts';
import { attemptMax, markOf, marksMax, minuteOf, packStamps, type Stamp, unpackStamps } from './stamp-codec.ts';

export interface StampsOptions {
  readonly clock: Clock;
  readonly query: Query;
  readonly cell: number;
  readonly node: number;
  readonly failed: (error: unknown) => void;
}

export class Stamps implements AsyncDisposable {
  readonly #options: StampsOptions;
  /** Frames sent and not acknowledged, oldest first. */
  readonly #open = new Map<bigint, Stamp>();
  #done: Stamp[] = [];
  readonly #timer: Disposable;
  #forgotMs = Number.NEGATIVE_INFINITY;

  constructor(options: StampsOptions) {
    this.#options = options;
    this.#timer = options.clock.every(cellLimits.stampsFlushMs, () => void this.flush());
  }

  sent(frame: TracedFrame, what: FrameFate): void {
    const nowMs = this.#options.clock.now();
    const known = this.#open.get(frame.id);
    if (what === 'published') {
      if (known) known.attempt = Math.min(frame.attempt ?? attemptMax, attemptMax);
      else if (frame.row?.class === 'e') this.#remember(frame.row, frame.attempt ?? 1, nowMs);
    } else if (known && what === 'stored') known.storedMs ||= nowMs;
    else if (known) {
      known.doneMs = nowMs;
      this.#open.delete(frame.id);
      this.#finish(known);
    }
  }

  /** Notes when a frame came, and when it was committed: then the broker is told. */
  stamped(frame: OpenedFrame): OpenedFrame {
    if (frame.cls !== 'e') return frame;
    const { src, id, lane, attempt, storedAtMs } = frame;
    const sentMs = this.#options.clock.now();
    const ack = (): void => {
      const doneMs = this.#options.clock.now();
      this.#finish({ id, peer: src, way: 'in', lane, attempt, entries: 0, marks: [], sentMs, storedMs: storedAtMs, doneMs });
      frame.ack();
    };
    return { ...frame, ack };
  }

  /** Stamps of frames to and from these cells whose ids were made in this time. */
  async find(peers: readonly number[], fromMs: number, toMs: number): Promise<Stamp[]> {
    const of = { peers, from: Math.floor(fromMs / 60_000), to: Math.floor(toMs / 60_000), limit: cellLimits.stampRowsMax };
    const { cell, query } = this.#options;
    const written = (await readStamps(query, of)).flatMap((row) =>
      unpackStamps(row.stamps, { peer: row.peer, way: row.way, minute: row.minute, cell: row.way === 'out' ? cell : row.peer }),
    );
    return [...written, ...this.#done, ...this.#open.values()].filter(({ peer }) => peers.includes(peer));
  }

  /** Writes down what is finished. */
  async flush(): Promise<void> {
    const { query, node, clock, failed } = this.#options;
    const done = this.#done;
    this.#done = [];
    try {
      if (done.length > 0) await insertStamps(query, { node, part: clock.now() }, rowsOf(done));
      if (clock.monotonic() - this.#forgotMs < cellLimits.stampsForgetEveryMs) return;
      this.#forgotMs = clock.monotonic();
      await forgetStamps(query, Math.floor((clock.now() - cellLimits.stampsKeptMs) / 60_000));
    } catch (error) {
      failed(error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#timer[Symbol.dispose]();
    await this.flush();
  }

  #remember(row: OutboxRow, attempt: number, nowMs: number): void {
    const logs = row.ranges.length > marksMax ? [] : [...new Set(row.ranges.map(({ log }) => log))];
    const first = row.ranges[0];
    this.#open.set(row.id, {
      id: row.id,
      peer: row.dst,
      way: 'out',
      lane: first ? laneOf(first.log) : row.lane,
      attempt: Math.min(attempt, attemptMax),
      entries: row.ranges.reduce((sum, range) => sum + range.last - range.first + 1, 0),
      marks: logs.map(markOf),
      sentMs: nowMs,
      storedMs: 0,
      doneMs: 0,
    });
    if (this.#open.size > cellLimits.stampsMax) this.#open.delete(this.#open.keys().next().value as bigint);
  }

  #finish(stamp: Stamp): void {
    if (this.#done.length < cellLimits.stampsMax) this.#done.push(stamp);
  }
}

function rowsOf(stamps: readonly Stamp[]): StampRow[] {
  const groups = new Map<string, Stamp[]>();
  for (const stamp of stamps) {
    const key = `${stamp.peer}:${stamp.way}:${minuteOf(stamp.id)}`;
    const group = groups.get(key);
    if (group) group.push(stamp);
    else groups.set(key, [stamp]);
  }
  return [...groups.values()].map((group) => {
    const [{ peer, way, id }] = group as [Stamp, ...Stamp[]];
    return { peer, way, minute: minuteOf(id), stamps: packStamps(group) };
  });
}
