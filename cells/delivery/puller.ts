// Pull (R17): gap repair, bootstrap of a new replica, catch-up and anti-entropy in one. Asks the owner for what continues
// the run held here, page by page, until it is as long as is known.

import { WeftError } from '@weft/proto/faults.ts';
import type { Entry as WireEntry } from '@weft/proto/gen/weft/client/v1/client.ts';
import { PullAnswer, type PullPage, PullRequest } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import type { Clock } from '@weft/runtime/clock.ts';
import { speakerOf } from './decide-epochs.ts';
import type { Entry } from './entry.ts';
import { agreedUpTo } from './epochs.ts';
import type { LogState } from './log-state.ts';
import type { ApplyOperation, Outcome } from './operations.ts';
import type { Link, LogStore } from './ports.ts';
import { decodeSnapshot, epochsFromWire } from './snapshot.ts';
import type { DecideContext } from './working-set.ts';

export interface PullerOptions {
  readonly cell: number;
  readonly store: LogStore;
  readonly link: Link;
  readonly clock: Clock;
  readonly atOnceMax: number;
  readonly waitingMax: number;
  /** What the directory signed for a log last. */
  readonly takeover: DecideContext['takeover'];
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
    const { store, apply, cell } = this.#options;
    const local = await store.readRow(log);
    const owner = local ? speakerOf(local.row.epoch, this.#options.takeover(log)) : src;
    if (owner === cell) {
      await store.forgetBehind(log);
      return false;
    }
    const head = local?.row.head ?? 0;
    const epoch = local?.row.epoch ?? 0n;
    const request = { log, from: BigInt(head + 1), to: 0n, snapshot: local === undefined, epoch };
    const first = await this.#ask(owner, request);
    const agreed = local && first && first.epochs.length > 0 ? agreedUpTo(local.state.epochs, epochsFromWire(first.epochs)) : head;
    // What is held above that was given up: the state at that point is needed.
    const page = agreed < head ? await this.#ask(owner, { ...request, from: BigInt(agreed + 1), snapshot: true }) : first;
    if (!page) return false;
    const operation = this.#operationOf(page, { log, owner, state: local?.state, cut: agreed < head ? agreed : undefined });
    if (operation.entries.length === 0 && !operation.snapshot && !local) return false;
    const outcome = await apply(operation);
    this.#options.pulled(owner, operation.entries.length);
    if (outcome.type !== 'applied' || outcome.head >= Number(page.head?.seq ?? 0n)) return false;
    return outcome.head > (local?.row.head ?? -1) || agreed < head;
  }

  #operationOf(page: PullPage, of: { log: bigint; owner: number; state: LogState | undefined; cut: number | undefined }): ApplyOperation {
    const entries = page.entries.map((entry) => this.#options.fromWire(entry));
    const snapshot = page.snapshot && decodeSnapshot(page.snapshot);
    const leaving = of.state ? ownMembers(of.state, this.#options.cell) : [];
    return {
      type: 'apply',
      src: of.owner,
      log: of.log,
      entries,
      ...(snapshot ? { snapshot } : {}),
      ...(snapshot || of.cut !== undefined ? { leaving } : {}),
      ...(of.cut === undefined ? {} : { cut: of.cut }),
      ...(page.epochs.length > 0 ? { epochs: epochsFromWire(page.epochs) } : {}),
    };
  }

  /** The page, if that is what the owner has to say. */
  async #ask(owner: number, request: PullRequest): Promise<PullPage | undefined> {
    const { link } = this.#options;
    const answer = PullAnswer.decode(await link.request(owner, 'pull', PullRequest.encode(request).finish()));
    if (answer.result?.$case === 'page') return answer.result.value;
    await this.#withoutPage(request.log, answer.result);
    return undefined;
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
