// Frames to other cells (R13, R14). The node that committed publishes at once; what stays without an end-to-end
// acknowledgement is sent again by whichever node holds the destination's lease. The lease only saves work.
//
// Each frame this node has published is `sent` until acknowledged:
// - stored by the broker: after 2, 4, 8 … s without the acknowledgement it goes out under a *new* attempt number, because
//   the broker's dedupe window would swallow the old one;
// - no answer from the broker: it goes out under the *same* attempt number;
// - no responders, refused: nothing was stored; it goes out again when the destination is next looked at.
import { Envelope, EnvelopesFrame, FrameAcks } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import type { Clock } from '@weft/runtime/clock.ts';
import type { Entry } from './entry.ts';
import type { Link, LogStore, OutboxRow } from './ports.ts';
import { stillDue } from './still-due.ts';

export interface RelayLimits {
  readonly framesInFlightMax: number;
  readonly resendAfterMs: number;
  readonly resendAfterMsMax: number;
  readonly resendRowsMax: number;
  readonly resendAtOnceMax: number;
  readonly resendEntriesMax: number;
  readonly resendStepEntries: number;
  readonly resendStepMs: number;
  readonly resendSkippedMax: number;
  readonly ackGatherMs: number;
  readonly framesRememberedMax: number;
}

export type FrameFate = 'published' | 'stored' | 'acknowledged';

export interface TracedFrame {
  readonly id: bigint;
  readonly dst: number;
  /** With `published`. */
  readonly row?: OutboxRow;
  readonly attempt?: number;
}

export interface RelayOptions {
  readonly store: LogStore;
  readonly link: Link;
  readonly clock: Clock;
  readonly generation: number;
  readonly limits: RelayLimits;
  readonly homeOf: (user: bigint) => number;
  readonly encode: (entries: readonly Entry[]) => Uint8Array;
  readonly failed: (error: unknown) => void;
  /** The broker has a frame: where a failpoint stands. */
  readonly stored?: () => void;
  /** What becomes of each frame, for whoever asks later where a message was. */
  readonly traced?: ((frame: TracedFrame, what: FrameFate) => void) | undefined;
  /** A frame was published (again), or acknowledged end to end. */
  readonly counted: (dst: number, what: 'sent' | 'resent' | 'acknowledged' | 'no-responders' | 'refused' | 'timeout') => void;
}

interface Sent {
  readonly dst: number;
  attempt: number;
  /** The broker has this attempt. */
  stored: boolean;
  /** No earlier than this (monotonic) it goes out again. */
  dueMs: number;
  waitMs: number;
  underWay: boolean;
}

export class Relay {
  readonly #options: RelayOptions;
  readonly #sent = new Map<bigint, Sent>();
  readonly #inFlight = new Map<number, number>();
  readonly #acked = new Map<number, bigint[]>();
  /** Destinations whose backlog goes out step by step. */
  readonly #draining = new Set<number>();
  /** This node sends again for its cell. */
  #sweeps = false;
  #gathering: Disposable | undefined;
  /** Attempts of frames another node sent first are unknown: a number nobody else uses is always safe. */
  #foreignAttempt: number;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#foreignAttempt = options.clock.now() % 0x4000_0000;
  }

  inFlight(dst: number): number {
    return this.#inFlight.get(dst) ?? 0;
  }

  /** Whether the broker has a frame; undefined when another node sent it or it was long ago. */
  brokerHas(id: bigint): boolean | undefined {
    return this.#sent.get(id)?.stored;
  }

  /** Frames of a transaction that has just committed, with the entries still in memory. */
  publishCommitted(rows: readonly OutboxRow[]): void {
    for (const row of rows) {
      // A full window is no loss: the row is sent when it is next looked at.
      if (this.inFlight(row.dst) >= this.#options.limits.framesInFlightMax) continue;
      this.#publishFirst(row).catch(this.#options.failed);
    }
  }

  /** Counted as under way before this returns, where the entries are at hand. */
  async #publishFirst(row: OutboxRow): Promise<void> {
    const bytes = row.class === 'e' && !row.entries ? await this.#load(row) : this.#encode(row, row.entries ?? []);
    await this.#publish(row, bytes, 1);
  }

  /**
   * Sends again what is due for one destination. Called often by the lease's holder. A backlog takes a part of the window only,
   * so that what commits now goes out at once beside it, and so many entries a call, in small steps, so that the destination's
   * own people have its lanes: how fast a link that was cut drains is bounded by this. Resolves after the first step.
   */
  async resend(dst: number): Promise<void> {
    const { store, clock, limits } = this.#options;
    if (this.#draining.has(dst)) return;
    const rows = await store.unacknowledged(dst, clock.now() - limits.resendAfterMs, limits.resendRowsMax + this.#notDue(dst));
    const due = rows.filter(({ id }) => {
      const sent = this.#sent.get(id);
      return !sent || (!sent.underWay && clock.monotonic() >= sent.dueMs);
    });
    const [probe, ...rest] = withinBudget(due, limits);
    if (!probe || this.inFlight(dst) >= limits.framesInFlightMax) return;
    // One probe tells whether anybody is there; the rest would only be refused as well.
    if (!(await this.#sendAgain(probe))) return;
    const step = rest.splice(0, stepOf(rest, limits));
    if ((await this.#sendAll(dst, step)) && rest.length > 0) this.#drain(dst, rest).catch(this.#options.failed);
  }

  /** The rest of a look, each step a moment after the one before. */
  async #drain(dst: number, rest: OutboxRow[]): Promise<void> {
    const { clock, limits } = this.#options;
    this.#draining.add(dst);
    try {
      for (let goesOn = true; goesOn && rest.length > 0; ) {
        await clock.sleep(limits.resendStepMs);
        goesOn = await this.#sendAll(dst, rest.splice(0, stepOf(rest, limits)));
      }
    } finally {
      this.#draining.delete(dst);
    }
  }

  /** Resolves to whether the broker has all of them. */
  async #sendAll(dst: number, rows: OutboxRow[]): Promise<boolean> {
    const { limits } = this.#options;
    while (rows.length > 0) {
      const room = Math.min(limits.resendAtOnceMax, limits.framesInFlightMax - this.inFlight(dst));
      if (room <= 0) return false;
      const stored = await Promise.all(rows.splice(0, room).map((row) => this.#sendAgain(row)));
      if (stored.includes(false)) return false;
    }
    return true;
  }

  /** Resolves to whether the broker has it. */
  async #sendAgain(row: OutboxRow): Promise<boolean> {
    try {
      const bytes = await this.#load(row);
      // Another look, or its first sending, may have come in between.
      const sent = this.#sent.get(row.id);
      if (sent?.underWay) return true;
      this.#options.counted(row.dst, 'resent');
      return await this.#publish(row, bytes, sent ? sent.attempt + (sent.stored ? 1 : 0) : this.#nextForeignAttempt());
    } catch (error) {
      this.#options.failed(error);
      return false;
    }
  }

  /** Whether this node is the one that sends again what others sent: it lets go of that too. */
  sweeps(held: boolean): void {
    this.#sweeps = held;
  }

  /**
   * FrameAcks from `src`, which every node of the cell hears. Rows go in one delete per few milliseconds, by the node that sent
   * the frame and by the one that sends again; where both are gone, the next one finds the row, sends it and is answered.
   */
  acknowledged(src: number, bytes: Uint8Array): void {
    const acks = FrameAcks.decode(bytes);
    // Acknowledgements for another life of this store mean nothing (R15).
    if (Number(acks.generation) !== this.#options.generation) return;
    const waiting = this.#acked.get(src) ?? [];
    for (const id of [...acks.committed, ...acks.rejected]) {
      if (this.#sent.delete(id) || this.#sweeps) waiting.push(id);
      this.#options.traced?.({ id, dst: src }, 'acknowledged');
      this.#options.counted(src, 'acknowledged');
    }
    if (waiting.length === 0) return;
    this.#acked.set(src, waiting);
    this.#gathering ??= this.#options.clock.timer(this.#options.limits.ackGatherMs, () => this.#deleteAcknowledged());
  }

  #deleteAcknowledged(): void {
    this.#gathering = undefined;
    const acked = [...this.#acked];
    this.#acked.clear();
    // A delete that fails costs a resend, which is acknowledged again.
    for (const [dst, ids] of acked) this.#options.store.acknowledged(dst, ids).catch(this.#options.failed);
  }

  /** Rows that a look will meet and pass over. */
  #notDue(dst: number): number {
    const { clock, limits } = this.#options;
    const now = clock.monotonic();
    let count = 0;
    for (const sent of this.#sent.values()) if (sent.dst === dst && (sent.underWay || now < sent.dueMs)) count += 1;
    return Math.min(count, limits.resendSkippedMax);
  }

  /** An acknowledgement that never came here leaves its frame behind. One that is forgotten too early gets a foreign attempt. */
  #forgetOldest(): void {
    if (this.#sent.size <= this.#options.limits.framesRememberedMax) return;
    for (const [id, { underWay }] of this.#sent) {
      if (underWay) continue;
      this.#sent.delete(id);
      return;
    }
  }

  #nextForeignAttempt(): number {
    this.#foreignAttempt += 1;
    return this.#foreignAttempt;
  }

  /** Resolves to whether the broker has it. */
  async #publish(row: OutboxRow, bytes: Uint8Array, attempt: number): Promise<boolean> {
    const { link, clock, limits, counted, traced } = this.#options;
    const sent = this.#sent.get(row.id) ?? { dst: row.dst, attempt, stored: false, dueMs: 0, waitMs: limits.resendAfterMs, underWay: true };
    sent.attempt = attempt;
    sent.underWay = true;
    sent.stored = false;
    this.#sent.set(row.id, sent);
    this.#forgetOldest();
    this.#inFlight.set(row.dst, this.inFlight(row.dst) + 1);
    counted(row.dst, 'sent');
    traced?.({ id: row.id, dst: row.dst, row, attempt }, 'published');
    try {
      const result = await link.publish({ dst: row.dst, class: row.class, lane: row.lane, id: row.id, attempt, bytes });
      sent.stored = result === 'stored' || result === 'duplicate';
      if (sent.stored) this.#options.stored?.();
      if (sent.stored) traced?.(row, 'stored');
      if (result === 'no-responders' || result === 'refused' || result === 'timeout') counted(row.dst, result);
      return sent.stored;
    } finally {
      sent.underWay = false;
      sent.dueMs = clock.monotonic() + (sent.stored ? sent.waitMs : limits.resendAfterMs / 4);
      if (sent.stored) sent.waitMs = Math.min(sent.waitMs * 2, limits.resendAfterMsMax);
      this.#inFlight.set(row.dst, this.inFlight(row.dst) - 1);
    }
  }

  #encode(row: OutboxRow, entries: readonly Entry[]): Uint8Array {
    if (row.class === 'v') return EnvelopesFrame.encode({ envelopes: row.envelopes.map((bytes) => Envelope.decode(bytes)) }).finish();
    return this.#options.encode(entries);
  }

  async #load(row: OutboxRow): Promise<Uint8Array> {
    if (row.ranges.length === 0) return this.#encode(row, []);
    return this.#encode(row, await stillDue(await this.#options.store.readRanges(row.ranges), row.dst, this.#options));
  }
}

/** The rows of a look: those of a budget, as many as it may take. */
const withinBudget = (rows: readonly OutboxRow[], { resendEntriesMax, resendRowsMax }: RelayLimits): OutboxRow[] =>
  rows.slice(0, Math.min(rowsOf(rows, resendEntriesMax), resendRowsMax));

const stepOf = (rows: readonly OutboxRow[], { resendStepEntries }: RelayLimits): number => rowsOf(rows, resendStepEntries);

/** How many rows from the first on hold so many entries together; one at least. */
function rowsOf(rows: readonly OutboxRow[], entriesMax: number): number {
  let entries = 0;
  const end = rows.findIndex((row) => {
    const over = entries > 0 && entries >= entriesMax;
    for (const { first, last } of row.ranges) entries += last - first + 1;
    entries += row.envelopes.length;
    return over;
  });
  return end < 0 ? rows.length : end;
}
