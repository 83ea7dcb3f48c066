// The write transaction (R4). Where this node knows what the locks will find, it is decided on that and sent in one round trip,
// whose first statements end it unless they find exactly that. Else, and whenever they did not, in two: locks and look-ups, then
// the decision, then what it writes.
import type { Clock } from '@weft/runtime/clock.ts';
import { assertCommitted, isConnectionLost, isRetryable, isUniqueViolation, sqlState } from '@weft/runtime/sql.ts';
import type pg from 'pg';
import { type BookCount, countsOf } from '../delivery/books.ts';
import { type Facts, KeyTaken, type LogRow, MaybeCommitted, RunAgain, type WriteKeys, type Writes } from '../delivery/ports.ts';
import { clearBehind, upsertBehind } from './behind-table.ts';
import { addToBooks } from './books-table.ts';
import { notingFailures, transactionOn } from './corked-query.ts';
import type { Query } from './entries-table.ts';
import { writeEpochs } from './epochs-table.ts';
import { foretoldFacts, lockForetold } from './foretold-facts.ts';
import { closeIntake, upsertDecidedNumbers, writeIntake } from './intake-tables.ts';
import { KnownRows } from './known-rows.ts';
import { insertCheckPoints } from './log-hashes-table.ts';
import { insertLogs, updateLogs, updateStarts } from './logs-table.ts';
import { insertGroupRows, insertPairRows, upsertUserLogRows, writeMembership } from './membership-tables.ts';
import { moveOrphans } from './orphans-table.ts';
import { insertOutbox } from './outbox-table.ts';
import { type FactsOptions, LaneGone, readFacts } from './write-facts.ts';
import type { WriteSessions } from './write-sessions.ts';

export interface WriteTransactionsOptions extends FactsOptions {
  readonly sessions: Pick<WriteSessions, 'get' | 'drop'>;
  readonly clock: Clock;
  /** This node's lanes are gone: another life of the store began. */
  readonly laneGone?: () => void;
  /** Logs whose rows this node remembers. */
  readonly rowsMax: number;
}

type Decide<T> = (facts: Facts) => T;
interface Decided<T> {
  readonly facts: Facts;
  readonly decision: T;
}
interface Attempt {
  readonly lane: number;
  readonly keys: WriteKeys;
  /** Of the statements that failed, in their order. */
  readonly failed: unknown[];
  /** Whether its commit may have been sent. */
  isDecided: boolean;
}

/** Something else was found under the locks than was decided on; nothing was written. */
class Unforeseen extends Error {
  override readonly name = 'Unforeseen';
}

export class WriteTransactions {
  readonly #options: WriteTransactionsOptions;
  readonly #rows: KnownRows;

  constructor(options: WriteTransactionsOptions) {
    this.#options = options;
    this.#rows = new KnownRows(options.rowsMax);
  }

  /** Resolves to what was decided, and on which facts, once it is committed. */
  async run<T extends { readonly writes: Writes }>(lane: number, keys: WriteKeys, decide: Decide<T>): Promise<Decided<T>> {
    const foretold = this.#foretell(keys, decide);
    if (foretold !== undefined) {
      try {
        await this.#attempt(lane, keys, (query, attempt) => this.#writeForetold(query, attempt, foretold));
        return foretold;
      } catch (error) {
        if (!(error instanceof Unforeseen || error instanceof KeyTaken)) throw error;
      }
    }
    return this.#attempt(lane, keys, (query, attempt) => this.#lockAndWrite(query, attempt, decide));
  }

  #foretell<T>(keys: WriteKeys, decide: Decide<T>): Decided<T> | undefined {
    const facts = foretoldFacts(keys, this.#rows, this.#options);
    try {
      return facts && { facts, decision: decide(facts) };
    } catch {
      // What cannot be decided is for the locks to say.
      return undefined;
    }
  }

  /** All in one turn, so that it leaves together: the first statement that fails ends the others, the commit among them. */
  async #writeForetold<T extends { readonly writes: Writes }>(
    query: Query,
    attempt: Attempt,
    { decision: { writes }, facts }: Decided<T>,
  ): Promise<void> {
    attempt.isDecided = true;
    const locked = lockForetold(query, attempt, [...facts.rows.values()], this.#options);
    await Promise.all([...locked, this.#writeAll(query, writes, facts, attempt.lane)]);
    // The others are as they were known, and nothing was created.
    this.#rows.committed(writes.rows);
  }

  async #lockAndWrite<T extends { readonly writes: Writes }>(query: Query, attempt: Attempt, decide: Decide<T>): Promise<Decided<T>> {
    const facts = await readFacts(query, attempt.lane, attempt.keys, this.#options);
    this.#rows.found(facts.rows);
    const decision = decide(facts);
    attempt.isDecided = true;
    await this.#writeAll(query, decision.writes, facts, attempt.lane);
    this.#rows.committed(rowsAfter(decision.writes, facts));
    return { decision, facts };
  }

  async #attempt<T>(lane: number, keys: WriteKeys, run: (query: Query, attempt: Attempt) => Promise<T>): Promise<T> {
    const attempt: Attempt = { lane, keys, failed: [], isDecided: false };
    let session: pg.Client | undefined;
    try {
      session = await this.#options.sessions.get(lane);
      return await run(notingFailures(transactionOn(session), attempt.failed), attempt);
    } catch (thrown) {
      if (session) await this.#rollback(session, lane);
      throw this.#meaning(attempt.failed[0] ?? thrown, attempt);
    }
  }

  /** What the caller may do about it. */
  #meaning(error: unknown, { isDecided }: Attempt): unknown {
    if (error instanceof LaneGone) this.#options.laneGone?.();
    const state = sqlState(error);
    if (state === notAsForetold) return new Unforeseen(String(error), { cause: error });
    if (isUniqueViolation(error)) return new KeyTaken(String(error), { cause: error });
    if (isDecided && (isConnectionLost(error) || state === '40003')) return new MaybeCommitted(String(error), { cause: error });
    if (isRetryable(error)) return new RunAgain(String(error), { cause: error });
    return error;
  }

  async #writeAll(query: Query, writes: Writes, facts: Facts, lane: number): Promise<void> {
    const now = this.#options.clock.now();
    const { generation, entries, node, cell } = this.#options;
    const counts: readonly BookCount[] = countsOf(writes, facts, { cell, lane });
    const sent: Promise<unknown>[] = [];
    if (writes.created.length > 0) {
      const groups = writes.created.map((c) => c.state).filter((s) => s.kind === 'group');
      sent.push(insertLogs(query, writes.created, now));
      if (groups.length > 0) sent.push(insertGroupRows(query, groups));
    }
    const changes = [...writes.created.map((c) => ({ before: undefined, after: c.state })), ...writes.states];
    if (changes.length > 0) sent.push(...writeMembership(query, changes));
    if (writes.truncated.length > 0) sent.push(...moveOrphans(query, writes.truncated, now));
    if (writes.entries.length > 0) sent.push(entries.insert(query, writes.entries));
    if (writes.emptied.length > 0) sent.push(entries.empty(query, writes.emptied));
    if (writes.checkPoints.length > 0) sent.push(insertCheckPoints(query, writes.checkPoints));
    if (writes.rows.length > 0) sent.push(updateLogs(query, writes.rows, now));
    if (writes.reopened.length > 0) sent.push(updateStarts(query, writes.reopened));
    if (writes.epochs.length > 0) sent.push(...writeEpochs(query, writes.epochs));
    if (writes.userLogs.length > 0) sent.push(upsertUserLogRows(query, writes.userLogs));
    if (writes.pairs.length > 0) sent.push(insertPairRows(query, writes.pairs));
    sent.push(...writeIntake(query, writes, generation));
    if (writes.closed.length > 0) sent.push(...closeIntake(query, writes.closed, { node, lane }));
    if (writes.decided.length > 0) sent.push(upsertDecidedNumbers(query, writes.decided));
    if (writes.outbox.length > 0) sent.push(insertOutbox(query, writes.outbox));
    if (writes.behind.length > 0) sent.push(upsertBehind(query, writes.behind));
    if (writes.caughtUp.length > 0) sent.push(clearBehind(query, writes.caughtUp));
    if (counts.length > 0) sent.push(addToBooks(query, node, counts));
    const committed = query({ name: 'commit', text: 'commit' });
    await Promise.all([...sent, committed]);
    assertCommitted(await committed);
  }

  /** Whatever the session is in, the next transaction must not be: a failed rollback costs the session. */
  async #rollback(session: pg.Client, lane: number): Promise<void> {
    try {
      await session.query('rollback');
    } catch {
      this.#options.sessions.drop(lane);
    }
  }
}

/** 22P02: what the statements of `lockForetold` end with. */
const notAsForetold = '22P02';

/** Every row that was locked, and those that are new, as the transaction leaves them. */
const rowsAfter = ({ rows, created }: Writes, facts: Facts): LogRow[] => {
  const after = new Map(facts.rows);
  for (const row of rows) after.set(row.log, row);
  for (const { row } of created) after.set(row.log, row);
  return [...after.values()];
};
