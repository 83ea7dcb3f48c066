// What the edge, the link and the marks read of a cell's tables in memory, as the statements of cells/store read it of SQL.
import type { Entry } from '@weft/cells/delivery/entry.ts';
import { type LogState, ownerOf, type Stream, streamKey } from '@weft/cells/delivery/log-state.ts';
import { clampMark, type Mark } from '@weft/cells/delivery/marks.ts';
import type { Facts, Writes } from '@weft/cells/delivery/ports.ts';
import { type AskedPage, rangeOf } from '@weft/cells/store/page-reads.ts';
import type { CellStore } from '@weft/cells/store/sql-log-store.ts';
import { StateCache } from '@weft/cells/store/state-cache.ts';
import type { UserHead, UserLogInfo } from '@weft/cells/store/user-logs-table.ts';
import { entryKey, type MemoryCell, type StoredLog } from './memory-cell.ts';

interface Page {
  readonly after: bigint;
  readonly limit: number;
}

type SharedHeads = Awaited<ReturnType<CellStore['ownedHeads']>>;

/** `read`: the way there and back, which may be lost. */
export class MemoryReads {
  readonly #cell: MemoryCell;
  readonly #read: () => Promise<void>;
  /** As in production, of this node alone: it may be old. */
  readonly #states = new StateCache(1_000);

  constructor(cell: MemoryCell, read: () => Promise<void>) {
    this.#cell = cell;
    this.#read = read;
  }

  /** States in memory follow commits. */
  protected remember(writes: Writes, facts: Facts): void {
    for (const state of facts.states.values()) this.#states.set(state);
    for (const { state } of writes.created) this.#states.set(state);
    for (const { after } of writes.states) this.#states.set(after);
  }

  async state(log: bigint): Promise<LogState | undefined> {
    const cached = this.#states.get(log);
    if (cached) return cached;
    await this.#read();
    const state = this.#cell.logs.get(log)?.state;
    if (state) this.#states.set(state);
    return state;
  }

  forgetState(log: bigint): void {
    this.#states.delete(log);
  }

  async findEntry(author: bigint, clientEntryId: bigint): Promise<{ log: bigint; seq: number } | undefined> {
    await this.#read();
    for (const { row, byKey } of this.#cell.logs.values()) {
      const seq = byKey.get(entryKey(author, clientEntryId));
      if (seq !== undefined) return { log: row.log, seq };
    }
    return undefined;
  }

  async readPage(user: bigint, asked: AskedPage): ReturnType<CellStore['readPage']> {
    await this.#read();
    const { log, limit } = asked;
    const stored = this.#cell.logs.get(log);
    const listed = this.#cell.logsOf(user).get(log);
    if (!stored || !listed) return undefined;
    const { row, state, start } = stored;
    const interval = { from: listed.from, until: listed.until };
    const then = { ...row };
    // The entries are a statement of their own, on which more may have been committed.
    await this.#read();
    const { first: from, last: to } = rangeOf(asked, { start, head: then.head });
    return { row: then, state, start, interval, entries: this.#cell.range(log, from, to, limit) };
  }

  async userHeads(users: readonly bigint[]): Promise<Map<bigint, UserHead[]>> {
    await this.#read();
    return new Map(users.map((user) => [user, this.#listed(user).map(headOf)]));
  }

  async heads(logs: readonly bigint[]): Promise<{ log: bigint; epoch: bigint; head: number }[]> {
    await this.#read();
    const found: { log: bigint; epoch: bigint; head: number }[] = [];
    for (const log of logs) {
      const row = this.#cell.logs.get(log)?.row;
      if (row) found.push({ log, epoch: row.epoch, head: row.head });
    }
    return found;
  }

  async userLogs(user: bigint, logs: readonly bigint[]): Promise<UserLogInfo[]> {
    await this.#read();
    const wanted = new Set(logs);
    return this.#listed(user)
      .filter(({ row }) => wanted.has(row.log))
      .map((stored) => this.#info(user, stored));
  }

  async listUserLogs(user: bigint, { after, limit }: Page): Promise<UserLogInfo[]> {
    await this.#read();
    return this.#listed(user)
      .filter(({ row }) => row.log > after)
      .slice(0, limit)
      .map((stored) => this.#info(user, stored));
  }

  async countLogs(user: bigint): Promise<number> {
    await this.#read();
    return this.#listed(user).length;
  }

  async marksOf(log: bigint): Promise<Mark[]> {
    await this.#read();
    return [...this.#cell.marks.values()].filter((mark) => mark.log === log);
  }

  async pendingOf(stream: Stream, author: bigint, limit: number): Promise<Entry[]> {
    await this.#read();
    const rows = [...this.#cell.intake.values()].filter((row) => streamKey(row.stream) === streamKey(stream) && row.author === author);
    return rows
      .sort((a, b) => a.n - b.n)
      .slice(0, limit)
      .map(({ log, createdMs, clientEntryId, kind, body }) => {
        const place = { log, epoch: 0n, seq: 0, ts: createdMs, ord: 0, flags: 0 };
        return { ...place, author, clientEntryId, kind, body };
      });
  }

  async ownedHeads(keeper: number, page: Page): Promise<SharedHeads> {
    await this.#read();
    return this.#page(page, (stored) => {
      const interval = ownerOf(stored.row) === this.#cell.number ? stored.state.cells.get(keeper) : undefined;
      return interval && (interval.until === 0 ? stored.row.head : interval.until);
    });
  }

  async keptHeads(owner: number, page: Page): Promise<SharedHeads> {
    await this.#read();
    return this.#page(page, ({ row, state }) => (state.kind !== 'self' && ownerOf(row) === owner ? row.head : undefined));
  }

  #page({ after, limit }: Page, headFor: (stored: StoredLog) => number | undefined): SharedHeads {
    const found: SharedHeads = [];
    for (const stored of this.#cell.logs.values()) {
      if (stored.row.log <= after) continue;
      const head = headFor(stored);
      if (head !== undefined) found.push({ log: stored.row.log, epoch: stored.row.epoch, head });
    }
    return found.sort(byLog).slice(0, limit);
  }

  /** Logs the user is in, by id. */
  #listed(user: bigint): StoredLog[] {
    const found: StoredLog[] = [];
    for (const { log, until } of this.#cell.logsOf(user).values()) {
      const stored = until === 0 ? this.#cell.logs.get(log) : undefined;
      if (stored) found.push(stored);
    }
    return found.sort((a, b) => byLog(a.row, b.row));
  }

  #info(user: bigint, stored: StoredLog): UserLogInfo {
    const { row, state } = stored;
    const from = this.#cell.logsOf(user).get(row.log)?.from ?? 1;
    const mark = this.#cell.marks.get(`${row.log}:${user}`);
    const seen = mark ? clampMark(mark, state.epochs).seen : 0;
    const { changedMs: _, ...head } = headOf(stored);
    const seenOrd = stored.entries.get(Math.max(seen, from - 1))?.ord ?? 0;
    return { ...head, kind: state.kind, low: state.low, high: state.high, title: state.title, from, seen, seenOrd };
  }
}

const byLog = (a: { readonly log: bigint }, b: { readonly log: bigint }): number => (a.log < b.log ? -1 : a.log > b.log ? 1 : 0);

const headOf = ({ row, changedMs }: StoredLog): UserHead => ({
  log: row.log,
  epoch: row.epoch,
  head: row.head,
  ord: row.ord,
  ts: row.ts,
  changedMs,
});
