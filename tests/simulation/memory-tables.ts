// Marks, parked frames, the outbox's bound and leases of one node over its cell's tables in memory.

import type { Mark, MarkToTell } from '@weft/cells/delivery/marks.ts';
import type { Regained } from '@weft/cells/delivery/ownership.ts';
import type { SideTables } from '@weft/cells/store/side-tables.ts';
import type { SignedHead } from '@weft/proto/gen/weft/client/v1/client.ts';
import type { Lease, Leases } from '@weft/runtime/lease.ts';
import { runtimeLimits } from '@weft/runtime/limits.ts';
import type { MemoryCell } from './memory-cell.ts';
import type { ProcessClock } from './simulated-time.ts';

export interface MemoryTablesOptions {
  readonly cell: MemoryCell;
  readonly clock: ProcessClock;
  /** The way to the database and back; rejects when it is lost. */
  readonly reach: (takesTime?: boolean) => Promise<void>;
}

export class MemoryTables implements SideTables {
  readonly #cell: MemoryCell;
  readonly #reach: (takesTime?: boolean) => Promise<void>;

  constructor({ cell, reach }: MemoryTablesOptions) {
    this.#cell = cell;
    this.#reach = reach;
  }

  regained(): Regained {
    const { regained } = this.#cell;
    return { read: async () => regained, regained: async (cell) => void regained.set(cell, false) };
  }

  async mergeMarks(marks: readonly Mark[]): Promise<Mark[]> {
    await this.#reach();
    return marks.map((mark) => this.#merge(mark));
  }

  async setMarks(marks: readonly MarkToTell[]): Promise<Mark[]> {
    await this.#reach();
    return marks.map((each) => this.#set(each));
  }

  #set({ mark, dsts }: MarkToTell): Mark {
    const merged = this.#merge(mark);
    for (const dst of dsts) {
      const key = `${dst}:${mark.log}:${mark.user}`;
      this.#cell.marksOut.set(key, { dst, mark: further(this.#cell.marksOut.get(key)?.mark, merged) });
    }
    return merged;
  }

  #merge(mark: Mark): Mark {
    const merged = further(this.#cell.marks.get(`${mark.log}:${mark.user}`), mark);
    this.#cell.marks.set(`${mark.log}:${mark.user}`, merged);
    return merged;
  }

  async readWaitingMarks(dst: number, limit: number): Promise<Mark[]> {
    await this.#reach(this.#cell.marksOut.size > 0);
    if (this.#cell.marksOut.size === 0) return [];
    const waiting = this.#cell.waitingMarks().flatMap((each) => (each.dst === dst ? [each.mark] : []));
    return waiting.sort((a, b) => Number(a.log - b.log) || Number(a.user - b.user)).slice(0, limit);
  }

  async toldMarks(dst: number, marks: readonly Mark[]): Promise<void> {
    await this.#reach();
    for (const mark of marks) {
      const key = `${dst}:${mark.log}:${mark.user}`;
      const waiting = this.#cell.marksOut.get(key)?.mark;
      if (waiting && sameMark(waiting, mark)) this.#cell.marksOut.delete(key);
    }
  }

  async countOutbox(): Promise<Map<number, number>> {
    await this.#reach();
    return new Map([...this.#cell.outbox].filter(([, rows]) => rows.size > 0).map(([dst, rows]) => [dst, rows.size]));
  }

  async dropOldestFrames(dst: number, limit: number): Promise<number> {
    await this.#reach();
    const rows = this.#cell.outboxOf(dst);
    const oldest = [...rows.values()].filter((row) => row.class === 'e').sort((a, b) => (a.id < b.id ? -1 : 1));
    for (const { id } of oldest.slice(0, limit)) rows.delete(id);
    return Math.min(limit, oldest.length);
  }

  async readHeadHashes(logs: readonly bigint[]): ReturnType<SideTables['readHeadHashes']> {
    await this.#reach();
    return logs.flatMap((log) => {
      const row = this.#cell.logs.get(log)?.row;
      return row ? [{ log, epoch: row.epoch, head: row.head, hash: Buffer.from(row.hash) }] : [];
    });
  }

  async freezeForked({ log, epoch, seq, hash }: SignedHead): Promise<boolean> {
    await this.#reach();
    const row = this.#cell.logs.get(log)?.row;
    if (!row || row.epoch !== epoch || BigInt(row.head) !== seq || Buffer.compare(row.hash, hash) === 0) return false;
    this.#cell.freeze(log);
    return true;
  }

  async readWitnessedHeads(logs: readonly bigint[]): Promise<Map<bigint, SignedHead>> {
    await this.#reach();
    return new Map(
      logs.flatMap((log) => {
        const head = this.#cell.witnessed.get(log);
        return head ? [[log, head] as const] : [];
      }),
    );
  }

  async upsertWitnessedHeads(heads: readonly SignedHead[]): Promise<void> {
    await this.#reach();
    for (const head of heads) {
      const known = this.#cell.witnessed.get(head.log);
      if (!known || head.epoch > known.epoch || (head.epoch === known.epoch && head.seq > known.seq))
        this.#cell.witnessed.set(head.log, head);
    }
  }

  async forgetWitnessedHeads(signedBeforeMs: number): Promise<void> {
    await this.#reach();
    for (const [log, { ts }] of this.#cell.witnessed) if (ts < BigInt(signedBeforeMs)) this.#cell.witnessed.delete(log);
  }

  async parkFrame(): Promise<void> {
    await this.#reach();
    this.#cell.parked += 1;
  }
}

/** As runtime/lease.ts, over rows in memory. */
export class MemoryLeases implements Pick<Leases, 'tryHold' | 'holdEach' | 'release'> {
  readonly #options: MemoryTablesOptions & { readonly holder: string };

  constructor(options: MemoryTablesOptions & { readonly holder: string }) {
    this.#options = options;
  }

  tryHold(name: string, ttlMs: number): Promise<Lease | undefined> {
    return this.#options.reach(false).then(() => this.#hold(name, ttlMs));
  }

  async holdEach(names: readonly string[], ttlMs: number, known: (name: string, lease: Lease | undefined) => void): Promise<void> {
    await this.#options.reach(false);
    for (const name of names) known(name, this.#hold(name, ttlMs));
  }

  #hold(name: string, ttlMs: number): Lease | undefined {
    const { cell, clock, holder } = this.#options;
    const now = clock.now();
    const held = cell.leases.get(name);
    const mine = held?.holder === holder;
    const farMs = now + runtimeLimits.leaseMsMax + runtimeLimits.leaseSkewMsMax;
    if (held && !mine && held.expiresMs > now && held.expiresMs <= farMs) return undefined;
    const term = mine ? held.term : (held?.term ?? 0n) + 1n;
    const lease = { holder, term, expiresMs: now + ttlMs };
    cell.leases.set(name, lease);
    return { term, expiresMs: lease.expiresMs, takenAfterMs: mine ? 0 : (held?.expiresMs ?? 0) };
  }

  async release(name: string): Promise<void> {
    const { cell, clock, holder, reach } = this.#options;
    await reach();
    const held = cell.leases.get(name);
    if (held?.holder === holder) cell.leases.set(name, { ...held, expiresMs: Math.min(held.expiresMs, clock.now()) });
  }
}

function further(known: Mark | undefined, mark: Mark): Mark {
  if (!known) return mark;
  const delivered = isFurther(mark.deliveredEpoch, mark.delivered, known.deliveredEpoch, known.delivered) ? mark : known;
  const seen = isFurther(mark.seenEpoch, mark.seen, known.seenEpoch, known.seen) ? mark : known;
  const { deliveredEpoch, delivered: deliveredSeq } = delivered;
  return { ...known, deliveredEpoch, delivered: deliveredSeq, seenEpoch: seen.seenEpoch, seen: seen.seen };
}

export const isFurther = (epoch: bigint, seq: number, thanEpoch: bigint, thanSeq: number): boolean =>
  epoch > thanEpoch || (epoch === thanEpoch && seq > thanSeq);

export const sameMark = (a: Mark, b: Mark): boolean =>
  a.deliveredEpoch === b.deliveredEpoch && a.delivered === b.delivered && a.seenEpoch === b.seenEpoch && a.seen === b.seen;
