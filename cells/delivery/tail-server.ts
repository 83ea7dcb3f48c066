// Gives a log's owner, or who is to own it, the tail that this replica holds (R23, R25).
import type { Entry as WireEntry } from '@weft/proto/gen/weft/client/v1/client.ts';
import { KeptAnswer, type KeptRequest, PullAnswer, type TailRequest } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { epochAt } from '@weft/proto/positions.ts';
import type { SharedHead } from './anti-entropy.ts';
import { speakerOf } from './decide-epochs.ts';
import type { Entry } from './entry.ts';
import { ownedUpTo } from './epochs.ts';
import type { LogStore } from './ports.ts';
import { withinBytes } from './pull-server.ts';
import { epochsToWire } from './snapshot.ts';
import type { DecideContext } from './working-set.ts';

export interface TailServerOptions {
  readonly store: Pick<LogStore, 'readRow' | 'readRange'>;
  readonly takeover: DecideContext['takeover'];
  /** Pages of logs kept here that `cell` owns, by log id. */
  readonly kept: (cell: number, page: { readonly after: bigint; readonly limit: number }) => Promise<readonly SharedHead[]>;
  readonly limits: { readonly pullEntriesMax: number; readonly pullBytesMax: number; readonly keptPageRows: number };
  readonly toWire: (entry: Entry) => WireEntry;
  readonly refused: (src: number, log: bigint) => void;
}

export class TailServer {
  readonly #options: TailServerOptions;

  constructor(options: TailServerOptions) {
    this.#options = options;
  }

  async tail(src: number, { log, after }: TailRequest): Promise<Uint8Array> {
    const { store, takeover, limits, toWire, refused } = this.#options;
    const found = await store.readRow(log);
    if (!found) return PullAnswer.encode({ result: emptyPage }).finish();
    const { row, state } = found;
    const isOwner = speakerOf(row.epoch, takeover(log)) === src;
    const owned = ownedUpTo(state.epochs, src);
    if ((!isOwner && owned === undefined) || state.kind === 'self') {
      refused(src, log);
      return PullAnswer.encode({ result: notAllowed }).finish();
    }
    const from = Number(after) + 1;
    // Who was the owner once is given what it is to keep, and what it gave itself: it may have owned a log that nobody there was in.
    const until = state.cells.get(src)?.until;
    const to = isOwner || until === 0 ? row.head : Math.min(Math.max(until ?? 0, owned ?? 0), row.head);
    const read = from <= to ? await store.readRange(log, from, to, limits.pullEntriesMax) : [];
    // Of a run that broke off while nobody here was in the log, what still stands: where that ends, no later one goes on.
    const broken = read.findIndex(({ seq, epoch }, at) => seq !== from + at || epoch !== epochAt(state.epochs, seq));
    const entries = withinBytes(broken < 0 ? read : read.slice(0, broken), limits.pullBytesMax).map(toWire);
    const head = { log, epoch: row.epoch, seq: BigInt(row.head), ord: BigInt(row.ord), ts: BigInt(row.ts) };
    const value = { snapshot: undefined, entries, head, epochs: epochsToWire(state.epochs) };
    return PullAnswer.encode({ result: { $case: 'page', value } }).finish();
  }

  /** Only what the asker owns is told. */
  async kept(src: number, { after }: KeptRequest): Promise<Uint8Array> {
    const limit = this.#options.limits.keptPageRows;
    const rows = await this.#options.kept(src, { after, limit });
    const heads = rows.map(({ log, epoch, head }) => ({ log, epoch, seq: BigInt(head), ord: 0n, ts: 0n }));
    return KeptAnswer.encode({ heads, end: rows.length < limit }).finish();
  }
}

const emptyPage: NonNullable<PullAnswer['result']> = {
  $case: 'page',
  value: { snapshot: undefined, entries: [], head: undefined, epochs: [] },
};
const notAllowed: NonNullable<PullAnswer['result']> = {
  $case: 'fault',
  value: { code: 'not_allowed', text: '', retry: 'RETRY_NEVER', afterMs: 0 },
};
