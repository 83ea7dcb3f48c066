// Pull (R17): gap repair, bootstrap of a new replica, catch-up and anti-entropy in one. Asks the owner for what continues
// the run held here, page by page, until it is as long as is known.

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
  readonly atOnceMax: number;
  readonly waitingMax: number;
  readonly apply: (operation: ApplyOperation) => Promise<Outcome>;
  readonly fromWire: (entry: WireEntry) => Entry;
  readonly pulled: (src: number, entries: number) => void;
  readonly failed: (error: unknown) => void;
  /** True: nothing is pulled. For tests that switch this guard off. */
  readonly isOff?: () => boolean;
}

export class Puller {
  readonly #options: PullerOptions;
  /** Logs to pull, and the cell that told of them; shortest wait first. */
  readonly #waiting = new Map<bigint, number>();
  readonly #running = new Set<bigint>();

  constructor(options: PullerOptions) {
    this.#options = options;
  }

  /** Asks for a log soon. What does not fit is found again by the table of logs that are behind. */
  want(log: bigint, src: number): void {
    if (this.#options.isOff?.()) return;
    if (this.#running.has(log) || this.#waiting.has(log) || this.#waiting.size >= this.#options.waitingMax) return;
    this.#waiting.set(log, src);
    this.#next();
  }

  #next(): void {
    while (this.#running.size < this.#options.atOnceMax) {
      const [first] = this.#waiting;
      if (!first) return;
      const [log, src] = first;
      this.#waiting.delete(log);
      this.#running.add(log);
      this.#pull(log, src)
        // A peer that is away is no news: the log stays behind and is wanted again.
        .catch((error: unknown) => (error instanceof WeftError ? undefined : this.#options.failed(error)))
        .finally(() => {
          this.#running.delete(log);
          this.#next();
        });
    }
  }

  /** Pages until the owner has no more, or a page brings nothing. */
  async #pull(log: bigint, src: number): Promise<void> {
    while (await this.#pullPage(log, src));
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
