// Pull (R17): gap repair, bootstrap of a new replica, catch-up and anti-entropy in one. Asks the owner for what continues
// the run held here, page by page, until it is as long as is known. Logs take turns by pages, so that a long one holds up
// nobody, and all together so many entries a second.

import { WeftError } from '@weft/proto/faults.ts';
import type { Entry as WireEntry } from '@weft/proto/gen/weft/client/v1/client.ts';
import { PullAnswer, PullRequest } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import type { Clock } from '@weft/runtime/clock.ts';
import type { Entry } from './entry.ts';
import { type LogState, ownerOf } from './log-state.ts';
import type { ApplyOperation, Outcome } from './operations.ts';
import type { Link, LogStore } from './ports.ts';
import { decodeSnapshot } from './snapshot.ts';

export interface PullerOptions {
  readonly cell: number;
  readonly store: LogStore;
  readonly link: Link;
  readonly clock: Clock;
  readonly limits: {
    readonly pullsAtOnceMax: number;
    /** Logs that may wait. */
    readonly earlyMax: number;
    readonly pullEntriesPerSecondMax: number;
  };
  readonly apply: (operation: ApplyOperation) => Promise<Outcome>;
  readonly fromWire: (entry: WireEntry) => Entry;
  readonly pulled: (src: number, entries: number) => void;
  readonly failed: (error: unknown) => void;
}

export class Puller {
  readonly #options: PullerOptions;
  /** Logs to pull, and the cell that told of them; shortest wait first. */
  readonly #waiting = new Map<bigint, number>();
  readonly #running = new Set<bigint>();
  /** No page is asked for before this (monotonic). */
  #notBeforeMs = 0;
  #pausing: Disposable | undefined;

  constructor(options: PullerOptions) {
    this.#options = options;
  }

  /** Asks for a log soon. What does not fit is found again by the table of logs that are behind. */
  want(log: bigint, src: number): void {
    if (this.#running.has(log) || this.#waiting.has(log) || this.#waiting.size >= this.#options.limits.earlyMax) return;
    this.#waiting.set(log, src);
    this.#next();
  }

  #next(): void {
    while (this.#running.size < this.#options.limits.pullsAtOnceMax && !this.#pausing) {
      const [first] = this.#waiting;
      if (!first || this.#pauses()) return;
      const [log, src] = first;
      this.#waiting.delete(log);
      this.#running.add(log);
      void this.#pullPage(log, src)
        // A peer that is away is no news: the log stays behind and is wanted again.
        .catch((error: unknown) => void (error instanceof WeftError || this.#options.failed(error)))
        .then((hasMore) => {
          this.#running.delete(log);
          // Behind all others, whose turn comes first.
          if (hasMore) this.#waiting.set(log, src);
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

  #paid(entries: number): void {
    const { clock, limits } = this.#options;
    this.#notBeforeMs = Math.max(this.#notBeforeMs, clock.monotonic()) + (entries * 1_000) / limits.pullEntriesPerSecondMax;
  }

  /** Whether there is more to ask for. */
  async #pullPage(log: bigint, src: number): Promise<boolean> {
    const { store, link, apply, cell } = this.#options;
    const local = await store.readRow(log);
    const owner = local ? ownerOf(local.state) : src;
    if (owner === cell) return false;
    const request = { log, from: BigInt((local?.row.head ?? 0) + 1), to: 0n, snapshot: local === undefined };
    const answer = PullAnswer.decode(await link.request(owner, 'pull', PullRequest.encode(request).finish()));
    if (answer.result?.$case !== 'page') {
      await this.#withoutPage(log, answer.result);
      return false;
    }
    const page = answer.result.value;
    const entries = page.entries.map((entry) => this.#options.fromWire(entry));
    const snapshot = page.snapshot && decodeSnapshot(page.snapshot);
    if (entries.length === 0 && !snapshot && !local) return false;
    const opening = snapshot ? { snapshot, leaving: local ? ownMembers(local.state, cell) : [] } : {};
    const outcome = await apply({ type: 'apply', src: owner, log, entries, ...opening });
    this.#options.pulled(owner, entries.length);
    this.#paid(entries.length);
    if (outcome.type !== 'applied' || outcome.head >= Number(page.head?.seq ?? 0n)) return false;
    return outcome.head > (local?.row.head ?? -1);
  }

  /** Another cell owns it now, or this one has no part in it: else it would be asked for every second, for ever. */
  async #withoutPage(log: bigint, result: PullAnswer['result']): Promise<void> {
    const { store } = this.#options;
    if (result?.$case === 'moved') await store.noteBehind([{ log, known: 0, src: result.value.cell }]);
    else if (result?.$case === 'fault' && result.value.retry === 'RETRY_NEVER') await store.forgetBehind(log);
  }
}

const ownMembers = (state: LogState, cell: number): bigint[] =>
  [...state.members].filter(([, member]) => member.home === cell).map(([user]) => user);
