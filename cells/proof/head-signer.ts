// The owner's word on its logs: each active log's head is signed once in a while, and told to those who watch it, to the
// cells that keep it, and to the witness.
import type { SignedHead } from '@weft/proto/gen/weft/client/v1/client.ts';
import { SignedHeads } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { epochParts } from '@weft/proto/positions.ts';
import type { Clock } from '@weft/runtime/clock.ts';
import { LruMap } from 'toad-cache';
import { kinds } from '../delivery/entry.ts';
import type { LogState } from '../delivery/log-state.ts';
import type { Link, LogRow, Writes } from '../delivery/ports.ts';
import { ActiveHeads } from './active-heads.ts';
import { keepersOf } from './witness-of.ts';

export interface HeadSignerOptions {
  /** Number of this cell. */
  readonly cell: number;
  readonly clock: Clock;
  readonly link: Pick<Link, 'signal'>;
  readonly sign: (head: { log: bigint; epoch: bigint; seq: bigint; hash: Uint8Array; ts: bigint }) => SignedHead;
  readonly stateOf: (log: bigint) => Promise<LogState | undefined>;
  /** Numbers of the other cells that are open. */
  readonly others: () => readonly number[];
  /** To the sockets of this node and to the other nodes. */
  readonly tell: (heads: readonly SignedHead[]) => void;
  readonly failed: (error: unknown) => void;
  readonly limits: {
    readonly headSignMs: number;
    readonly headSignEveryMs: number;
    readonly headsSignedMax: number;
    readonly headsActiveMax: number;
    readonly headFreshMs: number;
  };
}

export class HeadSigner implements Disposable {
  readonly #options: HeadSignerOptions;
  readonly #active: ActiveHeads;
  #timer: Disposable | undefined;
  /** Signed on request lately. */
  readonly #fresh: LruMap<SignedHead>;

  constructor(options: HeadSignerOptions) {
    const { limits } = options;
    this.#options = options;
    this.#fresh = new LruMap(limits.headsSignedMax);
    this.#active = new ActiveHeads({ waitMs: limits.headSignMs, max: limits.headsActiveMax });
  }

  /** After a commit. A self log is read by its own user at its own cell: it is signed on request only. */
  committed({ rows, created, entries }: Writes): void {
    if (entries.length === 0) return;
    const nowMs = this.#options.clock.monotonic();
    const self = new Set(entries.filter(({ kind }) => kind >= kinds.logJoined).map(({ log }) => log));
    for (const row of rows) this.#moved(row, self, nowMs);
    for (const { row } of created) this.#moved(row, self, nowMs);
    this.#arm();
  }

  /** Another node of this cell signed these. */
  signedElsewhere(heads: readonly SignedHead[]): void {
    for (const { log, seq } of heads) this.#active.signedElsewhere(log, Number(seq));
  }

  /** The head of a log this cell owns, signed within the last second. */
  signNow(row: LogRow): SignedHead {
    const { clock, limits } = this.#options;
    const known = this.#fresh.get(row.log);
    const isFresh = known !== undefined && Number(known.seq) === row.head && clock.now() - Number(known.ts) < limits.headFreshMs;
    if (isFresh) return known;
    const signed = this.#sign({ log: row.log, epoch: row.epoch, seq: row.head, hash: row.hash });
    this.#fresh.set(row.log, signed);
    return signed;
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
  }

  #moved({ log, epoch, head, hash }: LogRow, self: ReadonlySet<bigint>, nowMs: number): void {
    if (self.has(log) || epochParts(epoch).cell !== this.#options.cell) return;
    this.#active.moved({ log, epoch, seq: head, hash }, nowMs);
  }

  #sign({ seq, ...head }: { log: bigint; epoch: bigint; seq: number; hash: Uint8Array }): SignedHead {
    return this.#options.sign({ ...head, seq: BigInt(seq), ts: BigInt(this.#options.clock.now()) });
  }

  /** For the log that waits longest: what falls due a little later is signed and told with it. */
  #arm(): void {
    if (this.#timer !== undefined) return;
    const { clock, limits } = this.#options;
    const sinceMs = this.#active.oldestMs;
    if (sinceMs === undefined) return;
    const dueMs = sinceMs + limits.headSignMs - clock.monotonic();
    this.#timer = clock.timer(Math.max(dueMs, 0) + limits.headSignEveryMs, () => {
      this.#timer = undefined;
      this.#signDue();
      this.#arm();
    });
  }

  #signDue(): void {
    const { clock, limits, tell, failed } = this.#options;
    const heads = this.#active.due(clock.monotonic(), limits.headsSignedMax).map((head) => this.#sign(head));
    if (heads.length === 0) return;
    tell(heads);
    this.#tellCells(heads).catch(failed);
  }

  async #tellCells(heads: readonly SignedHead[]): Promise<void> {
    const { link, stateOf, others, cell } = this.#options;
    const open = others();
    const byCell = new Map<number, SignedHead[]>();
    for (const head of heads) {
      const state = await stateOf(head.log);
      for (const dst of state ? keepersOf(state, cell, open) : []) byCell.set(dst, [...(byCell.get(dst) ?? []), head]);
    }
    for (const [dst, told] of byCell) link.signal(dst, headsSignal, SignedHeads.encode({ heads: told }).finish());
  }
}

export const headsSignal = 'heads';
