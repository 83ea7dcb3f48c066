// Pages of history: each log as its reader may see it with the check point that proves the page, and the entries from there
// on. Those who ask at about the same time share one round trip.
import { chainStart } from '@weft/proto/chain.ts';
import type pg from 'pg';
import { type FreshEntry, genesis } from '../delivery/chain-of.ts';
import type { Entry } from '../delivery/entry.ts';
import type { LogState } from '../delivery/log-state.ts';
import type { LogRange } from '../delivery/ports.ts';
import { AskTogether, type Gathering } from './ask-together.ts';
import { runTogether } from './corked-query.ts';
import type { EntriesTable } from './entries-table.ts';
import type { KnownChain, KnownHashes } from './known-hashes.ts';
import { type Readable, type ReadableLog, readableLogs } from './logs-table.ts';
import { prove } from './proved-entries.ts';

/** Forwards from a seq, or backwards from `before`: from the newest when there is neither. */
export interface AskedPage {
  readonly log: bigint;
  readonly limit: number;
  readonly from?: number | undefined;
  readonly before?: number | undefined;
}

/** A page with what its reader may see of the log. */
export interface UserPage extends ReadableLog {
  readonly state: LogState;
  readonly entries: readonly Entry[];
}

export interface ReadPage {
  readonly found: ReadableLog;
  readonly entries: readonly Entry[];
  /** False: the log is in another epoch than was believed, and there are no entries. */
  readonly isOfEpoch: boolean;
}

export interface PageReadsOptions {
  readonly entries: EntriesTable;
  readonly hashes: KnownHashes;
  /** Pages of one round trip, round trips at once, and how those who ask gather. */
  readonly pageBatchMax: number;
  readonly readSessions: number;
  readonly gathering: Gathering;
  /** Runs a read on a session whose rows are tapped, once more when that was lost. */
  readonly onSession: <T>(run: (session: pg.Client) => Promise<T>) => Promise<T>;
}

interface Ask {
  readonly user: bigint;
  readonly range: LogRange;
  readonly state: LogState;
}

export class PageReads {
  readonly #options: PageReadsOptions;
  readonly #pages: AskTogether<Ask, ReadPage | undefined>;

  constructor(options: PageReadsOptions) {
    const { pageBatchMax, readSessions, gathering, onSession } = options;
    this.#options = options;
    const answer = (asks: readonly Ask[]): Promise<(ReadPage | undefined)[]> => onSession((session) => this.#readAll(session, asks));
    this.#pages = new AskTogether({ ...gathering, answer, asksMax: pageBatchMax, underWayMax: readSessions });
  }

  /** Undefined for a log the user never was in. The entries are those up to the head that `found` tells, and maybe some above. */
  async read(user: bigint, asked: AskedPage, state: LogState): Promise<ReadPage | undefined> {
    const guessed = rangeOf(asked, { start: 0, head: asked.before === undefined ? 0 : Number.MAX_SAFE_INTEGER });
    const first = await this.#pages.ask({ user, range: guessed, state });
    if (first === undefined) return undefined;
    const { row, start } = first.found;
    const range = rangeOf(asked, { start, head: row.head });
    if (range.first === guessed.first && range.last === guessed.last) return first;
    const second = await this.#pages.ask({ user, range, state });
    return second && { ...second, found: first.found, isOfEpoch: first.isOfEpoch && second.isOfEpoch };
  }

  async #readAll(session: pg.Client, asks: readonly Ask[]): Promise<(ReadPage | undefined)[]> {
    const pages = asks.map((ask) => new Page(ask, this.#options.hashes));
    const found = readableLogs(
      pages.map(({ ask, isProved }) => ({ user: ask.user, log: ask.range.log, from: isProved ? 0 : ask.range.first })),
      (at, readable) => {
        (pages[at] as Page).found = readable;
      },
    );
    const entries = this.#options.entries.ranges(
      pages.map(({ ask, isProved }) => ({ ...ask.range, isProved })),
      (at) => (pages[at] as Page).ask.state.epochs,
      (at, entry, epoch) => (pages[at] as Page).take(entry, epoch),
    );
    await runTogether(session, [found, entries]);
    return pages.map((page) => page.proved());
  }
}

/** One page while it is read. */
class Page {
  readonly ask: Ask;
  found: Readable | undefined;
  readonly #chain: KnownChain;
  /** Hash of the entry before the first, if it is known. */
  readonly #known: Uint8Array | undefined;
  readonly #read: FreshEntry[] = [];
  #epoch: bigint;

  constructor(ask: Ask, hashes: KnownHashes) {
    const { range, state } = ask;
    this.ask = ask;
    this.#chain = hashes.of(range.log, state.epoch);
    this.#known = range.first === 1 ? chainStart : this.#chain.at(range.first - 1);
    this.#epoch = state.epoch;
  }

  get isProved(): boolean {
    return this.#known !== undefined;
  }

  take(entry: FreshEntry, epoch: bigint): void {
    this.#read.push(entry);
    this.#epoch = epoch;
  }

  proved(): ReadPage | undefined {
    if (this.found === undefined) return undefined;
    const { point, ...found } = this.found;
    const { range, state } = this.ask;
    if (found.row.epoch !== state.epoch || this.#epoch !== state.epoch) return { found, entries: [], isOfEpoch: false };
    const { first } = range;
    const entries = prove(this.#chain, this.#known ? { seq: first - 1, hash: this.#known } : (point ?? genesis), this.#read);
    const isMore = (entries[0]?.seq ?? first) < first;
    return { found, entries: isMore ? entries.filter(({ seq }) => seq >= first) : entries, isOfEpoch: true };
  }
}

/** The seqs of a page in a run that begins after `start` and ends at `head`. Forwards it may end above the head. */
export function rangeOf(asked: AskedPage, { start, head }: { readonly start: number; readonly head: number }): LogRange {
  const { log, limit } = asked;
  if (asked.from !== undefined) {
    const first = Math.max(asked.from, start + 1);
    return { log, first, last: Math.min(first + limit - 1, Number.MAX_SAFE_INTEGER) };
  }
  const last = Math.min(asked.before === undefined ? head : asked.before - 1, head);
  return { log, first: Math.max(start + 1, last - limit + 1), last };
}
