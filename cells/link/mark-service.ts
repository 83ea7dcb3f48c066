// Marks of this cell's people and of their peers: stored, told to the sockets that watch, told to other cells.
import { WeftError } from '@weft/proto/faults.ts';
import type { MarkMoved } from '@weft/proto/gen/weft/client/v1/client.ts';
import { FrameAcks, MarksFrame, PullAnswer, PullRequest } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { laneOf } from '@weft/proto/ids.ts';
import { comparePositions, type EpochStart, epochParts, type Position } from '@weft/proto/positions.ts';
import type { Clock } from '@weft/runtime/clock.ts';
import type { LogState } from '../delivery/log-state.ts';
import { cellsToTell, clampMark, fromMoved, furthestOfEach, keyOf, type Mark, type MarkToTell, toMoved } from '../delivery/marks.ts';
import type { Link } from '../delivery/ports.ts';
import { AskTogether, gatheringSlowly } from '../store/ask-together.ts';
import type { SideTables } from '../store/side-tables.ts';

export interface MarkServiceOptions {
  readonly cell: number;
  readonly tables: Pick<SideTables, 'mergeMarks' | 'setMarks' | 'readWaitingMarks' | 'toldMarks'>;
  readonly link: Link;
  readonly freshId: () => bigint;
  readonly homeOf: (user: bigint) => number;
  /** As last known to this node … */
  readonly stateOf: (log: bigint) => Promise<LogState | undefined>;
  /** … and as it is stored. */
  readonly readState: (log: bigint) => Promise<LogState | undefined>;
  /** A restored store holds again whatever others can give back (R25). */
  readonly isWhole: () => boolean;
  /** Tells sockets of this node and, when they are ours to tell, the other nodes. */
  readonly moved: (marks: readonly MarkMoved[]) => void;
  readonly clock: Clock;
  readonly failed: (error: unknown) => void;
  readonly limits: {
    readonly marksMembersMax: number;
    readonly marksPerFrameMax: number;
    readonly marksGatherMs: number;
    readonly marksTellMs: number;
    readonly resendAfterMs: number;
  };
}

export class MarkService implements Disposable {
  readonly #options: MarkServiceOptions;
  /** Frames of marks under way, at most one a destination. */
  readonly #told = new Map<bigint, { readonly dst: number; readonly marks: readonly Mark[]; readonly atMs: number }>();

  /** What moved lately, by log, user and kind, and is told in a moment: each member of a log marks what all of them got. */
  readonly #moved = new Map<string, MarkMoved>();
  #telling: Disposable | undefined;

  /** Marks of our people that are being stored, one statement at a time. */
  readonly #set: AskTogether<MarkToTell, Mark | undefined>;

  constructor(options: MarkServiceOptions) {
    this.#options = options;
    const { clock, limits } = options;
    this.#set = new AskTogether({
      ...gatheringSlowly(clock, limits.marksGatherMs),
      answer: (marks) => this.#setAll(marks),
      asksMax: limits.marksPerFrameMax,
      underWayMax: 1,
    });
  }

  [Symbol.dispose](): void {
    this.#telling?.[Symbol.dispose]();
  }

  /** A device of one of our people moved a mark. */
  async set(mark: Mark, state: LogState): Promise<void> {
    const { cell, limits } = this.#options;
    const merged = await this.#set.ask({ mark, dsts: cellsToTell(state, cell, limits.marksMembersMax) });
    if (merged) this.#tellMoved(toMoved(clampMark(merged, state.epochs)));
  }

  /** The mark as it is now to the first who set it, and nothing to those whose mark went with it. */
  async #setAll(marks: readonly MarkToTell[]): Promise<(Mark | undefined)[]> {
    const asked = furthestOfEach(marks);
    const moves = new Map(asked.map(({ mark }) => [keyOf(mark), mark]));
    const merged = new Map((await this.#options.tables.setMarks(asked)).map((each) => [keyOf(each), onlyMoved(each, moves)]));
    return marks.map(({ mark }) => {
      const found = merged.get(keyOf(mark));
      merged.delete(keyOf(mark));
      return found;
    });
  }

  /**
   * Marks from another cell: of its own people, in logs this cell keeps, and nothing else. False when some are of members
   * this cell has not heard of yet: they are to come again. What it has forgotten for good does not come.
   */
  async take(src: number, moved: readonly MarkMoved[]): Promise<boolean> {
    const { homeOf, tables } = this.#options;
    const own = fromMoved(moved).filter(({ user }) => homeOf(user) === src);
    const marks: Mark[] = [];
    const unheard: Mark[] = [];
    const epochs = new Map<bigint, readonly EpochStart[]>();
    for (const mark of own) {
      const state = await this.#stateWith(mark);
      (state ? marks : unheard).push(mark);
      if (state) epochs.set(mark.log, state.epochs);
    }
    if (marks.length > 0) {
      const merged = await tables.mergeMarks(marks);
      this.#tellMoved(merged.flatMap((mark) => toMoved(clampMark(mark, epochs.get(mark.log) ?? []))));
    }
    // Another cell may have to be asked: what can be stored does not wait for its answer.
    for (const mark of unheard) if (!(await this.#isForgotten(mark))) return false;
    return true;
  }

  #tellMoved(moved: readonly MarkMoved[]): void {
    const { clock, limits } = this.#options;
    for (const each of moved) {
      const key = `${each.log}:${each.user}:${each.kind}`;
      const waiting = this.#moved.get(key);
      if (!waiting || comparePositions(positionOf(waiting), positionOf(each)) < 0) this.#moved.set(key, each);
    }
    if (this.#moved.size === 0) return;
    this.#telling ??= clock.timer(limits.marksTellMs, () => {
      this.#telling = undefined;
      const told = [...this.#moved.values()];
      this.#moved.clear();
      this.#options.moved(told);
    });
  }

  /**
   * In a log that a restore took from its owner, and nobody could give back: who keeps it, or might have, never hears of that,
   * nor of whoever joined there since.
   */
  async #isForgotten({ log, deliveredEpoch, seenEpoch }: Mark): Promise<boolean> {
    const { cell, isWhole, readState } = this.#options;
    const state = await readState(log);
    const newest = [deliveredEpoch, seenEpoch, state?.epoch ?? 0n].reduce((one, other) => (one > other ? one : other));
    const { cell: owner } = epochParts(newest);
    if (owner === cell) return state === undefined && isWhole();
    return this.#isUnknownTo(owner, log, state?.cells.get(cell)?.from ?? 1);
  }

  /** Who is away is asked again when the mark comes again. */
  async #isUnknownTo(owner: number, log: bigint, from: number): Promise<boolean> {
    const request = PullRequest.encode({ log, from: BigInt(from), to: BigInt(from), snapshot: false, epoch: 0n }).finish();
    try {
      const { result } = PullAnswer.decode(await this.#options.link.request(owner, 'pull', request));
      return result?.$case === 'fault' && result.value.code === 'unknown_log';
    } catch (error) {
      if (error instanceof WeftError) return false;
      throw error;
    }
  }

  /** The state in which the mark's user is a member, as remembered or as it is stored now. */
  async #stateWith({ log, user }: Mark): Promise<LogState | undefined> {
    const { stateOf, readState } = this.#options;
    const remembered = await stateOf(log);
    if (remembered?.members.has(user)) return remembered;
    const stored = await readState(log);
    return stored?.members.has(user) ? stored : undefined;
  }

  /** Tells one cell what waits for it, by the lease's holder, at most once a second. A mark told twice changes nothing. */
  async tell(dst: number): Promise<void> {
    const { limits, link, freshId, clock, tables } = this.#options;
    const now = clock.monotonic();
    for (const [id, told] of this.#told) if (now - told.atMs > limits.resendAfterMs) this.#told.delete(id);
    if ([...this.#told.values()].some((told) => told.dst === dst)) return;
    const found = await tables.readWaitingMarks(dst, limits.marksPerFrameMax);
    const waiting = found.length === 0 ? found : await this.#stillWanted(dst, found);
    if (waiting.length === 0) return;
    const bytes = MarksFrame.encode({ marks: waiting.flatMap(toMoved) }).finish();
    const id = freshId();
    this.#told.set(id, { dst, marks: waiting, atMs: now });
    await link.publish({ dst, class: 'm', lane: laneOf(waiting[0]?.log ?? 0n), id, attempt: 1, bytes });
  }

  /** Lets go of marks in logs the other cell left: it would never take them. */
  async #stillWanted(dst: number, waiting: readonly Mark[]): Promise<Mark[]> {
    const { readState, cell, limits, tables } = this.#options;
    const wanted: Mark[] = [];
    const gone: Mark[] = [];
    for (const mark of waiting) {
      const state = await readState(mark.log);
      const isTold = state !== undefined && cellsToTell(state, cell, limits.marksMembersMax).includes(dst);
      (isTold ? wanted : gone).push(mark);
    }
    if (gone.length > 0) await tables.toldMarks(dst, gone);
    return wanted;
  }

  /** FrameAcks of the destination. A waiting mark goes only when what was acknowledged equals it (R22). */
  acknowledged(src: number, bytes: Uint8Array): void {
    if (this.#told.size === 0) return;
    for (const id of FrameAcks.decode(bytes).committed) {
      const told = this.#told.get(id);
      if (told?.dst !== src) continue;
      this.#told.delete(id);
      this.#options.tables.toldMarks(src, told.marks).catch(this.#options.failed);
    }
  }
}

const positionOf = ({ epoch, seq }: MarkMoved): Position => ({ epoch, seq: Number(seq) });

/** Without the seen mark, where only the delivered one was moved. */
const onlyMoved = (merged: Mark, moves: ReadonlyMap<string, Mark>): Mark =>
  moves.get(keyOf(merged))?.seen === 0 ? { ...merged, seenEpoch: 0n, seen: 0 } : merged;
