// The tails of logs: what another cell holds beyond what is held here, asked for page by page and stored (R23, R25).
import { WeftError } from '@weft/proto/faults.ts';
import type { Entry as WireEntry } from '@weft/proto/gen/weft/client/v1/client.ts';
import { PullAnswer, TailRequest } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import type { EpochStart } from '@weft/proto/positions.ts';
import type { Entry } from './entry.ts';
import { partedAt } from './epochs.ts';
import { ownMembers } from './log-state.ts';
import type { ApplyOperation, Outcome, OwnerOperation, Snapshot } from './operations.ts';
import type { Link, LogStore } from './ports.ts';
import { epochsFromWire } from './snapshot.ts';

export interface TailsOptions {
  readonly cell: number;
  readonly generation: number;
  readonly store: LogStore;
  readonly link: Pick<Link, 'request'>;
  readonly apply: (operation: ApplyOperation | OwnerOperation) => Promise<Outcome>;
  /** Of a log that is kept from its first entry on: its state right after `seq`. */
  readonly stateAt: (log: bigint, seq: number) => Promise<Snapshot | undefined>;
  readonly fromWire: (entry: WireEntry) => Entry;
  readonly limits: { readonly tailPagesMax: number };
}

export interface Tail {
  readonly entries: Entry[];
  /** The log's epochs, as that cell knows them. */
  readonly told: readonly EpochStart[];
}

export type FoundLog = NonNullable<Awaited<ReturnType<LogStore['readRow']>>>;

export class Tails {
  readonly #options: TailsOptions;

  constructor(options: TailsOptions) {
    this.#options = options;
  }

  /** What `cell` holds of the log after `after`, as much as fits; undefined where it gives none. Throws WeftError where it is away. */
  async ask(cell: number, { log, after }: { readonly log: bigint; readonly after: number }): Promise<Tail | undefined> {
    const request = TailRequest.encode({ log, after: BigInt(after) }).finish();
    const { result } = PullAnswer.decode(await this.#options.link.request(cell, 'tail', request));
    if (result?.$case !== 'page') return undefined;
    return { entries: result.value.entries.map(this.#options.fromWire), told: epochsFromWire(result.value.epochs) };
  }

  /** Stores what `cell` holds of the log beyond what is held here; where that was given up, from there on. */
  async pull(log: bigint, cell: number): Promise<true> {
    const { store, apply, limits } = this.#options;
    for (let pages = 0; pages < limits.tailPagesMax; pages++) {
      const found = await store.readRow(log);
      let after = found?.row.head ?? 0;
      let tail = await this.ask(cell, { log, after });
      // Only a restored store holds what this cell itself has given up.
      const isRestored = this.#options.generation > 1;
      const cut = isRestored && found && tail ? partedAt({ epochs: found.state.epochs, head: after }, tail.told) : undefined;
      if (cut !== undefined) tail = await this.ask(cell, { log, after: cut });
      const parted = cut !== undefined && found ? await this.#cutAt(found, cut) : {};
      if (!tail || !parted || (tail.entries.length === 0 && cut === undefined)) return true;
      after = cut ?? after;
      const outcome = await apply({ type: 'apply', src: cell, log, ...tail, ...parted, tail: true });
      if (outcome.type === 'fault') throw new WeftError('peer_away', 'the tail could not be stored', 1_000);
      if (outcome.type !== 'applied' || outcome.behind || outcome.head <= after) return true;
    }
    return true;
  }

  async #cutAt(
    { row: { log }, state, start }: FoundLog,
    cut: number,
  ): Promise<Pick<ApplyOperation, 'cut' | 'snapshot' | 'leaving'> | undefined> {
    const snapshot = start === 0 ? await this.#options.stateAt(log, cut) : undefined;
    return snapshot && { cut, snapshot, leaving: ownMembers(state, this.#options.cell) };
  }
}
