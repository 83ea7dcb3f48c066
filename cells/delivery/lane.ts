// A lane batches what arrives while its last transaction commits (group commit), one transaction at a time.
//
// 1. Whatever waits is taken, up to 256 entries and 256 KiB, what people of this cell said first. An idle lane takes one
//    append at once; a lane whose last transaction, a moment ago, was for some operations waits for a fuller batch, because
//    one for a few entries costs almost that of many. Who comes alone waits for nobody. What waits in the node's other lanes
//    goes along if all of it fits: four small transactions cost almost four large ones. Such a transaction waits for nobody's
//    lock for long and is tried once; then each lane goes its own way, so that what holds one up does not hold up the others.
// 2. Pairs are resolved to logs, keys collected, and the store runs the transaction with the pure decision.
// 3. After the commit, and only then (R6), the commit is told: to sockets, to other nodes, to other cells.
// 4. RunAgain repeats the whole of it; any other error halves the batch until the culprit stands alone (R5).
import type { Clock } from '@weft/runtime/clock.ts';
import { type Decision, decide } from './decide.ts';
import { keysOf } from './keys-of.ts';
import { LaneQueue, mayStillRun, type QueueLimits } from './lane-queue.ts';
import { pairKey } from './log-state.ts';
import type { Operation, Submission, Target } from './operations.ts';
import { KeyTaken, type LogStore, MaybeCommitted, RunAgain } from './ports.ts';
import type { DecideContext } from './working-set.ts';

export interface Commit {
  readonly lane: number;
  readonly submissions: readonly Submission[];
  readonly decision: Decision;
}

export interface LaneLimits extends QueueLimits {
  /** After this an append is given back with `busy`: nothing is known of it, the client sends it again. */
  readonly retryMsMax: number;
  readonly retryPauseMs: number;
  /** How long a lane whose last transaction had `lingerFrom` operations waits for more than `lingerBelow`. */
  readonly lingerMs: number;
  readonly lingerFrom: number;
  readonly lingerBelow: number;
  /** How long a transaction of several lanes waits for a lock. */
  readonly sharedLockMsMax: number;
}

export interface LaneOptions {
  readonly lane: number;
  readonly store: LogStore;
  readonly context: () => DecideContext;
  /** An id, of the target's lane, for a log that is about to be born. */
  readonly freshLog: (target: Target) => bigint;
  /** The node's lanes, whose small batches may share a transaction. This one alone, if not given. */
  readonly together?: () => readonly Lane[];
  readonly clock: Clock;
  readonly limits: LaneLimits;
  /** Resolves once what arrived in one piece is here; the next microtask, if not given. */
  readonly turn?: () => Promise<void>;
  /** Tells a commit on and settles its submissions. */
  readonly committed: (commit: Commit) => void;
  readonly failed: (error: unknown, operations: number) => void;
  /** A commit's answer was lost: if it did commit, running again finds it done and has nothing new to tell. */
  readonly unsure: () => void;
}

interface Ended {
  /** Monotonic. */
  readonly ms: number;
  readonly operations: number;
}

export class Lane {
  readonly #options: LaneOptions;
  readonly #queue: LaneQueue;
  #running: Promise<void> | undefined;
  #isCommitting = false;
  /** The answer to a shared commit was lost. */
  #isUnsure = false;
  /** Another lane's transaction has what waited here; until it is over nothing else of this lane runs, so that order holds. */
  #lent: Promise<void> | undefined;
  #stopped = false;
  /** When the last transaction that this lane had part in ended, and the operations it had. */
  #last: Ended = { ms: Number.NEGATIVE_INFINITY, operations: 0 };
  /** Transactions and operations so far. */
  readonly counts = { batches: 0, operations: 0, again: 0 };

  constructor(options: LaneOptions) {
    this.#options = options;
    this.#queue = new LaneQueue(options.limits);
  }

  get waiting(): number {
    return this.#queue.length;
  }

  /** See LaneQueue: other cells' frames have to wait where they are, until `roomy` is called. */
  mustWait(roomy: () => void): boolean {
    return this.#queue.mustWait(roomy);
  }

  /** False when the queue is full: answer `busy`. */
  submit(submission: Submission): boolean {
    if (this.#stopped || !this.#queue.add(submission)) return false;
    this.#running ??= this.#run();
    return true;
  }

  /** Resolves when nothing waits any more. */
  async drain(): Promise<void> {
    this.#stopped = true;
    while (this.#running !== undefined || this.#lent !== undefined) {
      await this.#lent;
      await this.#running;
    }
  }

  async #run(): Promise<void> {
    // Whatever came in one piece belongs to the first batch.
    await (this.#options.turn ?? nextTurn)();
    while (this.#queue.length > 0) {
      if (this.#isBusy()) await this.#options.clock.sleep(this.#options.limits.lingerMs);
      while (this.#lent !== undefined) await this.#lent;
      // Another lane may have taken it.
      if (this.#queue.length > 0) await this.#commitGathered();
    }
    this.#running = undefined;
  }

  /** Work keeps coming, but not enough of it to fill a batch. */
  #isBusy(): boolean {
    const { clock, limits } = this.#options;
    const waiting = this.#others().reduce((sum, lane) => sum + lane.#queue.length, this.#queue.length);
    const hadCompany = this.#last.operations >= limits.lingerFrom && clock.monotonic() - this.#last.ms < limits.lingerMs;
    return hadCompany && waiting < limits.lingerBelow && !this.#stopped;
  }

  /** Lanes that have no transaction under way. */
  #others(): Lane[] {
    const all = this.#options.together?.() ?? [];
    return all.filter((lane) => lane !== this && !lane.#isCommitting && lane.#lent === undefined);
  }

  async #commitGathered(): Promise<void> {
    this.#isCommitting = true;
    const { promise: over, resolve } = Promise.withResolvers<void>();
    const { entries, bytes } = this.#queue;
    const own = this.#queue.take();
    const loans = this.#borrow(over, entries, bytes);
    const isShared = loans.length > 0 && (await this.#commitShared([own, ...loans.map(({ lent }) => lent)].flat()));
    const ended = { ms: this.#options.clock.monotonic(), operations: loans.reduce((sum, { lent }) => sum + lent.length, own.length) };
    for (const { lane, lent } of loans) lane.#giveBack(isShared ? [] : lent, ended);
    resolve();
    if (!isShared) await this.#commitAll(own);
    if (this.#isUnsure) this.#options.unsure();
    this.#isUnsure = false;
    this.#isCommitting = false;
    this.#last = { ...ended, ms: this.#options.clock.monotonic() };
  }

  /** What waits in other lanes and fits beside so many entries and bytes. */
  #borrow(over: Promise<void>, entries: number, bytes: number): { readonly lane: Lane; readonly lent: Submission[] }[] {
    const { batchEntriesMax, batchBytesMax } = this.#options.limits;
    const loans = [];
    let room = { entries: batchEntriesMax - entries, bytes: batchBytesMax - bytes };
    for (const lane of this.#others()) {
      const { length, entries, bytes } = lane.#queue;
      if (length === 0 || entries > room.entries || bytes > room.bytes) continue;
      room = { entries: room.entries - entries, bytes: room.bytes - bytes };
      lane.#lent = over;
      loans.push({ lane, lent: lane.#queue.take() });
    }
    return loans;
  }

  /** The shared transaction is over. What it did not commit is first in line again. */
  #giveBack(submissions: readonly Submission[], ended: Ended): void {
    this.#lent = undefined;
    this.#last = ended;
    this.#queue.putBack(submissions);
    if (this.#queue.length > 0) this.#running ??= this.#run();
  }

  /** One attempt; false when it did not come to a commit that is known of. */
  async #commitShared(batch: readonly Submission[]): Promise<boolean> {
    if (batch.length === 0) return true;
    let decision: Decision;
    try {
      decision = await this.#attempt(
        batch.map((s) => s.operation),
        this.#options.limits.sharedLockMsMax,
      );
    } catch (error) {
      this.#isUnsure ||= error instanceof MaybeCommitted;
      // Whatever it was, it is met again by the lane whose operation met it.
      this.counts.again += 1;
      return false;
    }
    this.#committed(batch, decision);
    return true;
  }

  /** Commits the batch, halved as often as an error demands. */
  async #commitAll(batch: readonly Submission[]): Promise<void> {
    if (batch.length === 0) return;
    let decision: Decision;
    try {
      decision = await this.#decided(batch.map((s) => s.operation));
    } catch (error) {
      if (batch.length === 1 || error instanceof RunAgain) {
        this.#options.failed(error, batch.length);
        const code = error instanceof RunAgain ? 'busy' : 'internal';
        for (const { settle } of batch) settle({ type: 'fault', code, afterMs: 1_000 });
        return;
      }
      const half = Math.ceil(batch.length / 2);
      await this.#commitAll(batch.slice(0, half));
      // The culprit may have been in the first half: what its connection sent after it waits for it to come again (R8).
      await this.#commitAll(batch.slice(half).filter(mayStillRun));
      return;
    }
    this.#committed(batch, decision);
  }

  #committed(submissions: readonly Submission[], decision: Decision): void {
    this.counts.batches += 1;
    this.counts.operations += submissions.length;
    this.#options.committed({ lane: this.#options.lane, submissions, decision });
  }

  /** The committed decision, after as many attempts as it takes. */
  async #decided(operations: readonly Operation[]): Promise<Decision> {
    const { clock, limits } = this.#options;
    const until = clock.monotonic() + limits.retryMsMax;
    let unsure = false;
    try {
      for (let taken = 0; ; ) {
        try {
          return await this.#attempt(operations);
        } catch (error) {
          unsure ||= error instanceof MaybeCommitted;
          if (!(error instanceof RunAgain) || clock.monotonic() > until) throw error;
          // Every time the same: not bad luck but an operation, to be found by halving.
          if (error instanceof KeyTaken && ++taken >= keyTakenMax)
            throw new Error('a unique key is taken at every attempt', { cause: error });
          this.counts.again += 1;
          await clock.sleep(limits.retryPauseMs);
        }
      }
    } finally {
      if (unsure) this.#options.unsure();
    }
  }

  async #attempt(operations: readonly Operation[], lockMsMax?: number): Promise<Decision> {
    const { store, lane } = this.#options;
    const resolved = await this.#resolvePairs(operations);
    const context = { ...this.#options.context(), lane };
    const keys = keysOf(resolved, (user) => context.homeOf(user) === context.cell);
    return store.write(lane, lockMsMax === undefined ? keys : { ...keys, lockMsMax }, (facts) => decide(resolved, facts, context));
  }

  /** Direct conversations that are open are addressed by their log. A pair never changes its log. */
  async #resolvePairs(operations: readonly Operation[]): Promise<readonly Operation[]> {
    const pairs = operations.flatMap((o) => ('target' in o && 'pair' in o.target ? [o.target.pair] : []));
    if (pairs.length === 0) return operations;
    const logs = await this.#options.store.findPairs(pairs);
    return operations.map((o) => {
      if (!('target' in o) || !('pair' in o.target) || o.type === 'refused') return o;
      const log = logs.get(pairKey(o.target.pair));
      return log === undefined ? { ...o, freshLog: this.#options.freshLog(o.target) } : { ...o, target: { log } };
    });
  }
}

/** Two nodes that keep meeting each other's keys need a few; more is no coincidence. */
const keyTakenMax = 5;

const nextTurn = (): Promise<void> => Promise.resolve();
