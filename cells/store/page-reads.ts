// A page of history in one round trip: the log as its reader may see it with the check point that proves the page, and the
// entries from there on. What is asked in one turn of the event loop goes down one session in one write.
import type { Socket } from 'node:net';
import { chainStart } from '@weft/proto/chain.ts';
import { isConnectionLost } from '@weft/runtime/sql.ts';
import { type BatchStatement, isParsed, sendBatch } from '@weft/runtime/sql-batch.ts';
import type pg from 'pg';
import { type FreshEntry, genesis } from '../delivery/chain-of.ts';
import type { Entry } from '../delivery/entry.ts';
import type { LogState } from '../delivery/log-state.ts';
import type { EntriesTable, PageRange } from './entries-table.ts';
import type { KnownHashes } from './known-hashes.ts';
import { type ReadableLog, readableLog, toReadable } from './logs-table.ts';
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
  /** Runs a read on a session whose rows are tapped, once more when that was lost. */
  readonly onSession: (run: (session: pg.Client) => Promise<void>) => Promise<void>;
}

interface Waiting {
  readonly user: bigint;
  readonly range: PageRange;
  readonly state: LogState;
  readonly resolve: (page: ReadPage | undefined) => void;
  readonly reject: (error: unknown) => void;
}

export class PageReads {
  readonly #options: PageReadsOptions;
  #waiting: Waiting[] = [];

  constructor(options: PageReadsOptions) {
    this.#options = options;
  }

  /** Undefined for a log the user never was in. The entries are those up to the head that `found` tells, and maybe some above. */
  async read(user: bigint, asked: AskedPage, state: LogState): Promise<ReadPage | undefined> {
    const guessed = rangeOf(asked, { start: 0, head: asked.before === undefined ? 0 : Number.MAX_SAFE_INTEGER });
    const first = await this.#read(user, guessed, state);
    if (first === undefined) return undefined;
    const { row, start } = first.found;
    const range = rangeOf(asked, { start, head: row.head });
    if (range.from === guessed.from && range.to === guessed.to) return first;
    const second = await this.#read(user, range, state);
    return second && { ...second, found: first.found, isOfEpoch: first.isOfEpoch && second.isOfEpoch };
  }

  #read(user: bigint, range: PageRange, state: LogState): Promise<ReadPage | undefined> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.length === 0) setImmediate(() => void this.#send());
      this.#waiting.push({ user, range, state, resolve, reject });
    });
  }

  async #send(): Promise<void> {
    let waiting = this.#waiting;
    this.#waiting = [];
    const sendAll = async (session: pg.Client): Promise<void> => {
      const lost: Waiting[] = [];
      let failure: unknown;
      await this.#prepare(session);
      const { stream } = (session as unknown as { readonly connection: { readonly stream: Socket } }).connection;
      stream.cork();
      const sent = waiting.map((page) =>
        this.#sendPage(session, page).then(page.resolve, (error: unknown) => {
          if (!isConnectionLost(error)) return page.reject(error);
          lost.push(page);
          failure = error;
        }),
      );
      stream.uncork();
      await Promise.all(sent);
      waiting = lost;
      if (lost.length > 0) throw failure;
    };
    try {
      await this.#options.onSession(sendAll);
    } catch (error) {
      for (const { reject } of waiting) reject(error);
    }
  }

  /** Parses the two statements where that was not done, each with values that nothing has. */
  async #prepare(session: pg.Client): Promise<void> {
    const statements = [readableLog(0n, 0n, 0), this.#options.entries.page({ log: 0n, from: 0, to: 0 }, [], () => undefined)];
    if (isParsed(session, statements)) return;
    const parse = (statement: pg.QueryConfig): Promise<pg.QueryResult> => session.query(statement);
    await Promise.all(statements.map(({ name, text, values = [] }) => parse({ name, text, values: [...values] })));
  }

  async #sendPage(session: pg.Client, { user, range, state }: Waiting): Promise<ReadPage | undefined> {
    const { entries, hashes } = this.#options;
    const { log, from } = range;
    const chain = hashes.of(log, state.epoch);
    const known = from === 1 ? chainStart : chain.at(from - 1);
    const read: FreshEntry[] = [];
    let epoch = state.epoch;
    const statement = entries.page({ ...range, isProved: known !== undefined }, state.epochs, (entry, now) => {
      read.push(entry);
      epoch = now;
    });
    const { rows } = await bothOf(session, readableLog(user, log, known ? 0 : from), statement);
    if (rows[0] === undefined) return undefined;
    const { point, ...found } = toReadable(rows[0]);
    if (found.row.epoch !== state.epoch || epoch !== state.epoch) return { found, entries: [], isOfEpoch: false };
    const proved = prove(chain, known ? { seq: from - 1, hash: known } : (point ?? genesis), read);
    const isMore = (proved[0]?.seq ?? from) < from;
    return { found, entries: isMore ? proved.filter(({ seq }) => seq >= from) : proved, isOfEpoch: true };
  }
}

/** The seqs of a page in a run that begins after `start` and ends at `head`. Forwards it may end above the head. */
export function rangeOf(asked: AskedPage, { start, head }: { readonly start: number; readonly head: number }): PageRange {
  const { log, limit } = asked;
  if (asked.from !== undefined) {
    const from = Math.max(asked.from, start + 1);
    return { log, from, to: from + limit - 1 };
  }
  const to = Math.min(asked.before === undefined ? head : asked.before - 1, head);
  return { log, from: Math.max(start + 1, to - limit + 1), to };
}

/** The two under one Sync; the result of the first, once there is the second. */
function bothOf(session: pg.Client, first: BatchStatement, second: BatchStatement): Promise<pg.QueryResult> {
  return new Promise((resolve, reject) => {
    let found: pg.QueryResult | undefined;
    const keep = (result: pg.QueryResult): void => {
      found = result;
    };
    sendBatch(session, [
      { statement: first, resolve: keep, reject },
      { statement: second, resolve: () => resolve(found as pg.QueryResult), reject },
    ]);
  });
}
