// Pending appends to the cells that decide them (R9). Intake rows are their own outbox: sent at commit, again after 2, 4
// … 60 s, until closed by the decision: there is no acknowledgement but that. That the broker has a frame means nothing;
// that nobody took it means that its rows have not been sent, and keep their pace.
import { IntakeFrame } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import type { Clock } from '@weft/runtime/clock.ts';
import { streamKey } from './log-state.ts';
import type { IntakeOperation } from './operations.ts';
import type { IntakeRow, Link, LogStore, OpenIntake, Writes } from './ports.ts';

export interface IntakeRelayOptions {
  readonly store: LogStore;
  readonly link: Link;
  readonly clock: Clock;
  readonly limits: {
    readonly resendAfterMs: number;
    readonly resendAfterMsMax: number;
    readonly intakeRowsMax: number;
    readonly frameEntriesMax: number;
    readonly frameBytesMax: number;
  };
  /** A new id for a frame. */
  readonly freshId: () => bigint;
  readonly laneOf: (row: IntakeRow) => number;
  /** This cell, and its generation. */
  readonly own: { readonly cell: number; readonly generation: number };
  /** Intake of logs this cell came to own: it is its own destination. */
  readonly takeOwn: (operations: readonly IntakeOperation[]) => void;
  readonly failed: (error: unknown) => void;
}

export class IntakeRelay {
  readonly #options: IntakeRelayOptions;
  /** Per destination: when its open intake is looked at again, and when each stream that waits goes out again. */
  readonly #due = new Map<number, { readonly atMs: number; readonly streams: ReadonlyMap<string, StreamDue> }>();

  readonly #heardMs = new Map<number, number>();
  readonly #anew = new Set<number>();

  constructor(options: IntakeRelayOptions) {
    this.#options = options;
  }

  /** What a transaction that has just committed stored. Its lower numbers are under way already: none is named decided. */
  sendCommitted({ intake, intakeEpochs }: Pick<Writes, 'intake' | 'intakeEpochs'>): void {
    if (intake.length === 0) return;
    const open = intake.map((row) => ({ row, lowestOpen: 0, epoch: intakeEpochs.get(row.log) ?? 0n }));
    this.#send(open).catch(this.#options.failed);
  }

  /**
   * Sends again what is open for one destination: every stream from its lowest open number on, since no number is decided
   * before those below it. A pass is what goes out so. While it is being decided only what lies behind it follows, or a destination
   * that is slow would get more to do with every look; a pass that is not decided in time goes out whole, ever less often, up to once a minute.
   */
  async resend(dst: number): Promise<void> {
    const { store, clock, limits } = this.#options;
    const now = clock.monotonic();
    const due = this.#due.get(dst);
    const isAnew = this.#anew.delete(dst);
    if (due && now < due.atMs && !isAnew) return;
    const beforeMs = isAnew ? Number.MAX_SAFE_INTEGER : clock.now() - limits.resendAfterMs;
    const open = await store.openIntake(dst, beforeMs, limits.intakeRowsMax);
    const streams = new Map<string, StreamDue>();
    const sending = open.filter(({ row, lowestOpen }) => {
      const key = streamKey(row.stream);
      const known = streams.get(key) ?? nextDue(due?.streams.get(key), { lowestOpen, now, limits });
      const isSent = row.n > known.sendsAbove;
      streams.set(key, isSent ? { ...known, sentUpTo: Math.max(known.sentUpTo, row.n) } : known);
      return isSent;
    });
    for (const [key, each] of streams) streams.set(key, { ...each, passEnd: Math.min(each.passEnd, each.sentUpTo) });
    this.#due.set(dst, { atMs: now + limits.resendAfterMs / 2, streams });
    if (sending.length === 0) return;
    const isStored = await this.#send(
      sending.sort((a, b) => a.row.n - b.row.n),
      { probes: true },
    );
    // Nobody took it: that is no reason to wait longer the next time.
    if (!isStored) this.#due.set(dst, { atMs: now + limits.resendAfterMs / 2, streams: due?.streams ?? new Map() });
  }

  /** Owner, epoch or generation changed: what is open goes out at once, however young (R9). */
  addressedAnew(dst: number): void {
    this.#anew.add(dst);
    this.#due.delete(dst);
    this.resend(dst).catch(this.#options.failed);
  }

  /** The destination was heard. After a silence its intake goes out at once. */
  heard(dst: number): void {
    const { clock, limits } = this.#options;
    const now = clock.monotonic();
    const lastMs = this.#heardMs.get(dst);
    this.#heardMs.set(dst, now);
    if (lastMs === undefined || now - lastMs > 2 * limits.resendAfterMs) this.#due.delete(dst);
  }

  /** Resolves to whether the destination's broker has all of it. `probes`: nothing more goes where the first frame was not taken. */
  async #send(rows: readonly OpenIntake[], { probes = false } = {}): Promise<boolean> {
    if (rows.length === 0) return true;
    const { limits, own, takeOwn } = this.#options;
    const mine = rows.filter(({ row }) => row.dst === own.cell);
    if (mine.length > 0) takeOwn(mine.map(({ row, lowestOpen }) => ownIntake(row, lowestOpen, own)));
    const frames = new Map<string, { rows: OpenIntake[]; bytes: number }[]>();
    for (const each of rows) {
      if (each.row.dst === own.cell) continue;
      const lane = this.#options.laneOf(each.row);
      const list = frames.get(`${each.row.dst}:${lane}`) ?? [];
      frames.set(`${each.row.dst}:${lane}`, list);
      const size = each.row.body.length + 128;
      const last = list.at(-1);
      if (last && last.rows.length < limits.frameEntriesMax && last.bytes + size <= limits.frameBytesMax) {
        last.rows.push(each);
        last.bytes += size;
      } else list.push({ rows: [each], bytes: size });
    }
    const all = [...frames.values()].flat();
    if (probes && !(await this.#publish(all.shift()?.rows ?? []))) return false;
    const stored = await Promise.all(all.map((frame) => this.#publish(frame.rows)));
    return !stored.includes(false);
  }

  async #publish(rows: readonly OpenIntake[]): Promise<boolean> {
    const { link, freshId, laneOf } = this.#options;
    const first = rows[0]?.row;
    if (!first) return true;
    const bytes = IntakeFrame.encode({ intakes: rows.map(intakeOf) }).finish();
    const result = await link.publish({ dst: first.dst, class: 'i', lane: laneOf(first), id: freshId(), attempt: 1, bytes });
    return result === 'stored' || result === 'duplicate';
  }
}

/** A stream of a direct conversation is its pair, of any other log (log, 0): see streamKey. */
function intakeOf({ row, lowestOpen, epoch }: OpenIntake): IntakeFrame['intakes'][number] {
  const isPair = row.stream.b !== 0n;
  return {
    log: row.log,
    low: isPair ? row.stream.a : 0n,
    high: isPair ? row.stream.b : 0n,
    n: BigInt(row.n),
    lowestOpen: BigInt(lowestOpen),
    author: row.author,
    clientEntryId: row.clientEntryId,
    kind: row.kind,
    body: row.body,
    peerHome: 0,
    epoch,
  };
}

const ownIntake = (row: IntakeRow, lowestOpen: number, own: { cell: number; generation: number }): IntakeOperation => ({
  type: 'intake',
  src: own.cell,
  generation: own.generation,
  // It may have waited since before the conversation had an id.
  target: row.stream.b === 0n ? { log: row.log } : { pair: { low: row.stream.a, high: row.stream.b } },
  stream: row.stream,
  n: row.n,
  lowestOpen,
  author: row.author,
  clientEntryId: row.clientEntryId,
  kind: row.kind,
  body: row.body,
});

interface StreamDue {
  readonly lowestOpen: number;
  /** The highest number of the last pass, and of all that looks sent. */
  readonly passEnd: number;
  readonly sentUpTo: number;
  /** When the pass has to be decided, and how long it was given. */
  readonly atMs: number;
  readonly waitMs: number;
  /** At the look that made this: numbers above it go out. */
  readonly sendsAbove: number;
}

/** A stream seen for the first time, or not decided in time, goes out whole; of one that moves what was not sent; else nothing. */
function nextDue(
  known: StreamDue | undefined,
  { lowestOpen, now, limits }: { lowestOpen: number; now: number; limits: { resendAfterMs: number; resendAfterMsMax: number } },
): StreamDue {
  const passFor = (waitMs: number) => ({ lowestOpen, passEnd: Number.POSITIVE_INFINITY, atMs: now + waitMs, waitMs });
  if (!known) return { ...passFor(limits.resendAfterMs), sentUpTo: 0, sendsAbove: 0 };
  // As a sender learns from acknowledgements how long they take: half as long the next time, twice as long after a pass that was late.
  if (lowestOpen > known.passEnd)
    return { ...known, ...passFor(Math.max(limits.resendAfterMs, known.waitMs / 2)), sendsAbove: known.sentUpTo };
  if (now >= known.atMs) return { ...known, ...passFor(Math.min(known.waitMs * 2, limits.resendAfterMsMax)), sendsAbove: 0 };
  return { ...known, lowestOpen, sendsAbove: lowestOpen === known.lowestOpen ? Number.POSITIVE_INFINITY : known.sentUpTo };
}
