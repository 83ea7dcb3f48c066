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

export interface RelayLimits {
  readonly framesInFlightMax: number;
  readonly resendAfterMs: number;
  readonly resendAfterMsMax: number;
  readonly resendRowsMax: number;
  readonly ackGatherMs: number;
  readonly framesRememberedMax: number;
}

export interface RelayOptions {
  readonly store: LogStore;
  readonly link: Link;
  readonly clock: Clock;
  readonly generation: number;
  readonly limits: RelayLimits;
  readonly encode: (entries: readonly Entry[]) => Uint8Array;
  readonly failed: (error: unknown) => void;
  /** The broker has a frame: where a failpoint stands. */
  readonly stored?: () => void;
  /** True: nothing is sent again. For tests that switch this guard off. */
  readonly isOff?: () => boolean;
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

  /** Sends again what is due for one destination. Called often by the lease's holder. */
  async resend(dst: number): Promise<void> {
    const { store, clock, limits } = this.#options;
    if (this.#options.isOff?.()) return;
    const room = limits.framesInFlightMax - this.inFlight(dst);
    if (room <= 0) return;
    const rows = await store.unacknowledged(dst, clock.now() - limits.resendAfterMs, limits.resendRowsMax + this.#sentTo(dst));
    let taken = 0;
    for (const row of rows) {
      if (taken >= room) return;
      const sent = this.#sent.get(row.id);
      if (sent && (sent.underWay || clock.monotonic() < sent.dueMs)) continue;
      taken += 1;
      const attempt = sent ? sent.attempt + (sent.stored ? 1 : 0) : this.#nextForeignAttempt();
      const bytes = await this.#load(row);
      this.#options.counted(dst, 'resent');
      const stored = this.#publish(row, bytes, attempt);
      stored.catch(this.#options.failed);
      // One probe tells whether anybody is there; the rest would only be refused as well.
      if (taken === 1 && !(await stored.catch(() => false))) return;
    }
  }

  /** FrameAcks from `src`. Rows go in one delete per few milliseconds. */
  acknowledged(src: number, bytes: Uint8Array): void {
    const acks = FrameAcks.decode(bytes);
    // Acknowledgements for another life of this store mean nothing (R15).
    if (Number(acks.generation) !== this.#options.generation) return;
    const waiting = this.#acked.get(src) ?? [];
    for (const id of [...acks.committed, ...acks.rejected]) {
      waiting.push(id);
      this.#sent.delete(id);
      this.#options.counted(src, 'acknowledged');
    }
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

  #sentTo(dst: number): number {
    let count = 0;
    for (const sent of this.#sent.values()) if (sent.dst === dst) count += 1;
    return count;
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
    const { link, clock, limits, counted } = this.#options;
    const sent = this.#sent.get(row.id) ?? { dst: row.dst, attempt, stored: false, dueMs: 0, waitMs: limits.resendAfterMs, underWay: true };
    sent.attempt = attempt;
    sent.underWay = true;
    sent.stored = false;
    this.#sent.set(row.id, sent);
    this.#forgetOldest();
    this.#inFlight.set(row.dst, this.inFlight(row.dst) + 1);
    counted(row.dst, 'sent');
    try {
      const result = await link.publish({ dst: row.dst, class: row.class, lane: row.lane, id: row.id, attempt, bytes });
      sent.stored = result === 'stored' || result === 'duplicate';
      if (sent.stored) this.#options.stored?.();
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
    const entries: Entry[] = [];
    for (const { log, first, last } of row.ranges)
      entries.push(...(await this.#options.store.readRange(log, first, last, last - first + 1)));
    return this.#encode(row, entries);
  }
}
