// Answers other cells' pulls (R17): only a cell that keeps the log, only its interval; from the owner, or from a former
// owner as far as it owned (R24).

import type { Chain } from '@weft/proto/chain.ts';
import { faults } from '@weft/proto/faults.ts';
import type { Fault, Head, Entry as WireEntry } from '@weft/proto/gen/weft/client/v1/client.ts';
import { PullAnswer, type PullPage, type PullRequest } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import type { Entry } from './entry.ts';
import { clampedSeq, ownedUpTo } from './epochs.ts';
import { type CellInterval, type LogState, ownerOf } from './log-state.ts';
import type { LogRow, LogStore } from './ports.ts';
import { encodeSnapshot, epochsToWire, type KeptWhole, snapshotAt } from './snapshot.ts';

export interface PullServerOptions {
  readonly cell: number;
  readonly store: LogStore & KeptWhole;
  readonly limits: { readonly pullEntriesMax: number; readonly pullBytesMax: number };
  readonly toWire: (entry: Entry) => WireEntry;
  readonly chain: Chain;
  readonly refused: (src: number, log: bigint) => void;
  /** A restored store holds again what others can give back (R25): before that, nothing final is said of what is not here. */
  readonly isWhole: () => boolean;
  /** Who asks takes the log to be in this epoch, which may be one of this cell that it never heard of. */
  readonly named?: (log: bigint, by: { readonly src: number; readonly epoch: bigint }) => void;
  /** A replica holds more of this epoch than its owner, who is this cell. */
  readonly ahead?: (log: bigint, at: { readonly epoch: bigint; readonly head: number }) => void;
}

export class PullServer {
  readonly #options: PullServerOptions;

  constructor(options: PullServerOptions) {
    this.#options = options;
  }

  async answer(src: number, request: PullRequest): Promise<Uint8Array> {
    return PullAnswer.encode(await this.#answer(src, request)).finish();
  }

  async #answer(src: number, request: PullRequest): Promise<PullAnswer> {
    const found = await this.#options.store.readRow(request.log);
    if (request.epoch > (found?.row.epoch ?? 0n)) this.#options.named?.(request.log, { src, epoch: request.epoch });
    if (!found) return refusal(this.#options.isWhole() ? 'unknown_log' : 'busy');
    const { row, state, start } = found;
    const owned = ownedUpTo(state.epochs, this.#options.cell) ?? 0;
    // What a former owner gave is its to tell, and who came after it as well.
    // Who opens the log does so at its owner; the owner itself, if it has nothing yet, at the one before.
    // Who holds what was given up asks from beyond it: where that began, the list tells.
    const has = Number(request.from) - 1;
    const isParted = owned > 0 && clampedSeq(state.epochs, { epoch: request.epoch, seq: has }) < has;
    // Who takes this cell for the owner asks nobody else, though another life of the log's owner gave up what made it that.
    const isAsked = ownerOf({ epoch: request.epoch }) === this.#options.cell;
    const isLearning =
      (request.epoch !== 0n || ownerOf(state) === src) &&
      request.epoch < row.epoch &&
      (Number(request.from) <= owned || isParted || isAsked);
    if (ownerOf(state) !== this.#options.cell && !isLearning)
      return { result: { $case: 'moved', value: { subject: request.log, cell: ownerOf(state), epoch: state.epoch } } };
    // Who owns it now, and has forgotten that, keeps all of it, whoever of its people is in it.
    const interval = ownerOf(state) === src ? whole : state.cells.get(src);
    // Who joined in what a newer epoch gave up has to learn that.
    if (!interval && state.kind !== 'self' && request.epoch !== 0n && request.epoch < row.epoch)
      return {
        result: { $case: 'page', value: { snapshot: undefined, entries: [], head: undefined, epochs: epochsToWire(state.epochs) } },
      };
    if (!interval || state.kind === 'self') {
      this.#options.refused(src, request.log);
      return refusal('not_allowed');
    }
    if (has > row.head && request.epoch === row.epoch) this.#options.ahead?.(request.log, { epoch: row.epoch, head: has });
    return { result: { $case: 'page', value: await this.#page(request, { row, state, start, interval, owned }) } };
  }

  async #page(
    request: PullRequest,
    { row, state, start, interval, owned }: { row: LogRow; state: LogState; start: number; interval: CellInterval; owned: number },
  ): Promise<PullPage> {
    const { store, limits, toWire } = this.#options;
    const from = Math.max(Number(request.from), interval.from);
    const last = interval.until === 0 ? row.head : interval.until;
    const to = Math.min(last, owned, request.to === 0n ? last : Number(request.to));
    const entries = withinBytes(await store.readRange(state.log, from, to, limits.pullEntriesMax), limits.pullBytesMax);
    const head: Head = { log: row.log, epoch: row.epoch, seq: BigInt(last), ord: BigInt(row.ord), ts: BigInt(row.ts) };
    // A cell that was out of the log meanwhile cannot go on where it broke off: it begins anew.
    const opens = request.snapshot || from > Number(request.from);
    // A former owner that left and came back may lack entries between what it owned and here: who owns now tells the state.
    const isWhole = from - 1 <= owned || start === 0;
    const snapshot = opens && isWhole && from > 1 ? await this.#snapshot(state.log, from - 1) : undefined;
    const epochs = state.epochs.length > 1 ? epochsToWire(state.epochs) : [];
    return { snapshot, entries: entries.map(toWire), head, epochs };
  }

  async #snapshot(log: bigint, before: number) {
    // Without a proved start the other cell could prove nothing it is given: it asks again.
    const snapshot = await snapshotAt(this.#options.store, this.#options.chain, { log, seq: before });
    return snapshot && encodeSnapshot(snapshot);
  }
}

/** A cell that gets a log from its first entry on. */
const whole: CellInterval = { from: 1, until: 0 };

function refusal(code: 'unknown_log' | 'not_allowed' | 'busy'): PullAnswer {
  const { text, retry } = faults[code];
  const isLater = retry === 'later';
  const value: Fault = { code, text, retry: isLater ? 'RETRY_LATER' : 'RETRY_NEVER', afterMs: isLater ? 1_000 : 0 };
  return { result: { $case: 'fault', value } };
}

/** At least one entry, else as many as fit. */
export function withinBytes(entries: readonly Entry[], bytesMax: number): Entry[] {
  let bytes = 0;
  const fits = entries.findIndex((entry, i) => {
    bytes += entry.body.length + 164;
    return bytes > bytesMax && i > 0;
  });
  return entries.slice(0, fits < 0 ? entries.length : fits);
}
