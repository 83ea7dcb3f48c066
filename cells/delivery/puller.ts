// Pull (R17): gap repair, bootstrap of a new replica, catch-up and anti-entropy in one. Asks the owner for what continues
// the run held here, page by page, until it is as long as is known. Logs take turns by pages, so that a long one holds up
// nobody, and all together so many entries a second: fewer of logs that one page does not bring to their head.

import { chainStart } from '@weft/proto/chain.ts';
import { WeftError } from '@weft/proto/faults.ts';
import type { Fault, Entry as WireEntry } from '@weft/proto/gen/weft/client/v1/client.ts';
import { PullAnswer, type PullPage, PullRequest } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { epochParts } from '@weft/proto/positions.ts';
import type { Clock } from '@weft/runtime/clock.ts';
import { speakerOf } from './decide-epochs.ts';
import type { Entry } from './entry.ts';
import { agreedUpTo } from './epochs.ts';
import { type LogState, ownMembers, stateAfterCreation } from './log-state.ts';
import type { ApplyOperation, Outcome, Snapshot } from './operations.ts';
import type { BehindRow, Link, LogStore } from './ports.ts';
import { decodeSnapshot, epochsFromWire } from './snapshot.ts';
import type { DecideContext } from './working-set.ts';

export interface PullerOptions {
  readonly cell: number;
  readonly store: LogStore;
  readonly link: Link;
  readonly clock: Clock;
  /** What the directory signed for a log last. */
  readonly takeover: DecideContext['takeover'];
  readonly generationOf: DecideContext['generationOf'];
  readonly limits: {
    readonly pullsAtOnceMax: number;
    /** Logs that may wait. */
    readonly earlyMax: number;
    readonly pullEntriesPerSecondMax: number;
    readonly pullBacklogPerSecondMax: number;
    /** Own entries read at once. */
    readonly pullEntriesMax: number;
  };
  readonly apply: (operation: ApplyOperation) => Promise<Outcome>;
  /** `src` has more of a log that is this cell's own. */
  readonly longer: (log: bigint, src: number) => void;
  readonly fromWire: (entry: WireEntry) => Entry;
  readonly pulled: (src: number, entries: number) => void;
  readonly failed: (error: unknown) => void;
}

/** Where what is held is cut, and the run that is left begins after. */
interface RunCut {
  readonly cut?: number;
  readonly begins?: number;
}

interface Wanted {
  readonly src: number;
  readonly noted: BehindRow | undefined;
}

interface Parted {
  readonly page: PullPage;
  /** The state at the cut, where the page does not bring it. */
  readonly snapshot?: Snapshot;
  readonly at: RunCut;
}

export class Puller {
  readonly #options: PullerOptions;
  /** Logs to pull; shortest wait first. */
  readonly #waiting = new Map<bigint, Wanted>();
  readonly #running = new Set<bigint>();
  /** No page is asked for before this (monotonic). */
  #notBeforeMs = 0;
  #pausing: Disposable | undefined;

  constructor(options: PullerOptions) {
    this.#options = options;
  }

  /**
   * Asks for a log, of which `src` told, soon. What does not fit is found again by the table of logs that are behind: its row is
   * `noted`, and goes where there is nothing to be had.
   */
  want(log: bigint, src: number, noted?: BehindRow): void {
    if (this.#running.has(log) || this.#waiting.has(log) || this.#waiting.size >= this.#options.limits.earlyMax) return;
    this.#waiting.set(log, { src, noted });
    this.#next();
  }

  #next(): void {
    while (this.#running.size < this.#options.limits.pullsAtOnceMax && !this.#pausing) {
      const [first] = this.#waiting;
      if (!first || this.#pauses()) return;
      const [log, wanted] = first;
      this.#waiting.delete(log);
      this.#running.add(log);
      void this.#pullPage(log, wanted)
        // A peer that is away is no news: the log stays behind and is wanted again.
        .catch((error: unknown) => void (error instanceof WeftError || this.#options.failed(error)))
        .then((hasMore) => {
          this.#running.delete(log);
          // Behind all others, whose turn comes first.
          if (hasMore) this.#waiting.set(log, wanted);
          this.#next();
        });
    }
  }

  /** Whether the pages of late were so full that the next has to wait. */
  #pauses(): boolean {
    const { clock } = this.#options;
    const waitMs = this.#notBeforeMs - clock.monotonic();
    // Timers are no finer.
    if (waitMs < 1) return false;
    this.#pausing = clock.timer(waitMs, () => {
      this.#pausing = undefined;
      this.#next();
    });
    return true;
  }

  #paid(entries: number, isWhole: boolean): void {
    const { clock, limits } = this.#options;
    const perSecond = isWhole ? limits.pullEntriesPerSecondMax : limits.pullBacklogPerSecondMax;
    this.#notBeforeMs = Math.max(this.#notBeforeMs, clock.monotonic()) + (entries * 1_000) / perSecond;
  }

  /** Whether there is more to ask for. */
  async #pullPage(log: bigint, { src, noted }: Wanted): Promise<boolean> {
    const { store, apply, cell } = this.#options;
    const local = await store.readRow(log);
    const owner = local ? speakerOf(local.row.epoch, this.#options.takeover(log)) : src;
    if (owner === cell) {
      this.#options.longer(log, src);
      if (noted) await store.forgetBehind(noted);
      return false;
    }
    const head = local?.row.head ?? 0;
    const epoch = local?.row.epoch ?? 0n;
    const request = { log, from: BigInt(head + 1), to: 0n, snapshot: local === undefined, epoch };
    const first = await this.#ask(owner, request, noted);
    const agreed = agreedWith(first, local) ?? head;
    const parted = local && agreed < head ? await this.#part(owner, request, { agreed, start: local.start }) : undefined;
    const page = agreed < head ? parted?.page : first;
    if (!page) return false;
    const operation = this.#operationOf(page, { log, owner, state: local?.state, snapshot: parted?.snapshot, ...parted?.at });
    if (operation.entries.length === 0 && !operation.snapshot && !local) return false;
    const outcome = await apply(operation);
    this.#options.pulled(owner, operation.entries.length);
    const isWhole = outcome.type !== 'applied' || outcome.head >= Number(page.head?.seq ?? 0n);
    this.#paid(operation.entries.length, isWhole);
    if (!isWhole) return outcome.head > (local?.row.head ?? -1) || agreed < head;
    if (noted && isNothingForUs(operation, outcome)) await store.forgetBehind(noted);
    return false;
  }

  /** What is held above `agreed` was given up: the state at that point is needed. */
  async #part(owner: number, request: PullRequest, { agreed, start }: { agreed: number; start: number }): Promise<Parted | undefined> {
    const stateAt = (cut: number) => this.#ask(owner, { ...request, from: BigInt(cut + 1), snapshot: true });
    const page = await stateAt(agreed);
    const then = page?.snapshot && decodeSnapshot(page.snapshot);
    const kept = then?.state.cells.get(this.#options.cell);
    if (!page || !then || !kept || start <= agreed || then.start > agreed) return page && { page, at: { cut: agreed } };
    // The run began anew above it: of the one before, some may have been left out.
    const due = kept.until === 0 ? agreed : Math.min(kept.until, agreed);
    const cut = await this.#heldUpTo(request.log, kept.from, due);
    const begins = kept.from - 1;
    if (cut === agreed) return { page, at: { cut, begins } };
    if (cut === 0) return this.#fromTheFirst(owner, request);
    const lower = await stateAt(cut);
    return lower && { page: lower, at: { cut, begins } };
  }

  /** It began with the log, and nothing of it is held here: as where the log is new. */
  async #fromTheFirst(owner: number, request: PullRequest): Promise<Parted | undefined> {
    const page = await this.#ask(owner, { ...request, from: 1n });
    const first = page?.entries[0] && this.#options.fromWire(page.entries[0]);
    const state = first && stateAfterCreation(first);
    if (!page || !state || first.seq !== 1) return undefined;
    return { page, snapshot: { state, start: 0, ts: 0, ord: 0, hash: chainStart, floor: 0 }, at: { cut: 0, begins: 0 } };
  }

  /** The last of the entries from..to that follow each other without a hole here. */
  async #heldUpTo(log: bigint, from: number, to: number): Promise<number> {
    const { store, limits } = this.#options;
    for (let next = from; next <= to; ) {
      const entries = await store.readRange(log, next, to, limits.pullEntriesMax);
      const dense = entries.findIndex(({ seq }, at) => seq !== next + at);
      next += dense < 0 ? entries.length : dense;
      if (dense >= 0 || entries.length === 0) return next - 1;
    }
    return to;
  }

  #operationOf(
    page: PullPage,
    of: { log: bigint; owner: number; state: LogState | undefined; snapshot: Snapshot | undefined } & RunCut,
  ): ApplyOperation {
    const entries = page.entries.map((entry) => this.#options.fromWire(entry));
    const snapshot = of.snapshot ?? (page.snapshot && decodeSnapshot(page.snapshot));
    const leaving = of.state ? ownMembers(of.state, this.#options.cell) : [];
    return {
      type: 'apply',
      src: of.owner,
      log: of.log,
      entries,
      ...(snapshot ? { snapshot } : {}),
      ...(snapshot || of.cut !== undefined ? { leaving } : {}),
      ...(of.cut === undefined ? {} : { cut: of.cut }),
      ...(of.begins === undefined ? {} : { begins: of.begins }),
      ...(page.epochs.length > 0 ? { epochs: epochsFromWire(page.epochs) } : {}),
    };
  }

  /** The page, if that is what the owner has to say. */
  async #ask(owner: number, request: PullRequest, noted?: BehindRow): Promise<PullPage | undefined> {
    const { link } = this.#options;
    const answer = PullAnswer.decode(await link.request(owner, 'pull', PullRequest.encode(request).finish()));
    if (answer.result?.$case === 'page') return answer.result.value;
    await this.#withoutPage(request.log, owner, answer.result, noted);
    return undefined;
  }

  /** Another cell owns it now, or this one has no part in it: else it would be asked for every second, for ever. */
  async #withoutPage(log: bigint, owner: number, result: PullAnswer['result'], noted: BehindRow | undefined): Promise<void> {
    const { store } = this.#options;
    if (result?.$case === 'moved') await store.noteBehind([{ log, epoch: result.value.epoch, known: 0, src: result.value.cell }]);
    else if (noted && result?.$case === 'fault' && result.value.retry === 'RETRY_NEVER' && !this.#mayLearn(owner, result.value, noted))
      await store.forgetBehind(noted);
  }

  /** Who was named as the owner may not have heard of the log yet. One that was restored since then never will. */
  #mayLearn(owner: number, { code }: Fault, { epoch }: BehindRow): boolean {
    const { cell, generation } = epochParts(epoch);
    return code === 'unknown_log' && cell === owner && this.#options.generationOf(owner) <= generation;
  }
}

/** What was told of the log is not for this cell: its people are out of it. */
const isNothingForUs = ({ entries }: ApplyOperation, outcome: Outcome): boolean =>
  entries.length === 0 && outcome.type === 'applied' && !outcome.behind;

/** Up to where the list that came along agrees with what is held; undefined where there is none. */
const agreedWith = (page: PullPage | undefined, local: { readonly state: LogState } | undefined): number | undefined =>
  local && page && page.epochs.length > 0 ? agreedUpTo(local.state.epochs, epochsFromWire(page.epochs)) : undefined;
