// Statements of one turn leave in one write. A system call costs more than a statement's share of the transaction, and pg
// makes one for each.
import type { Socket } from 'node:net';
import { type BatchStatement, isParsed, sendBatch, type Waiting } from '@weft/runtime/sql-batch.ts';
import type pg from 'pg';
import type { PreparedStatement, Query } from './entries-table.ts';

/** Sends statements down a pipelined session, gathered per turn of the event loop. Each fails for itself. */
export const queryOn =
  (session: pg.Client): Query =>
  (statement) => {
    const { stream } = (session as unknown as { readonly connection: { readonly stream: Socket } }).connection;
    if (stream.writableCorked === 0) {
      stream.cork();
      process.nextTick(() => stream.uncork());
    }
    return session.query(statement);
  };

/** Sends statements under one Sync down a session whose rows are tapped. Once a session each runs twice: parsing it runs it. */
export async function runTogether(session: pg.Client, statements: readonly PreparedStatement[]): Promise<void> {
  const fresh = statements.filter((statement) => !isParsed(session, [statement]));
  const parse = (statement: pg.QueryConfig): Promise<pg.QueryResult> => session.query(statement);
  await Promise.all(fresh.map(({ name, text, values = [] }) => parse({ name, text, values: [...values] })));
  const sent = statements.map((statement) => ({ statement, ...Promise.withResolvers<pg.QueryResult>() }));
  sendBatch(session, sent);
  await Promise.all(sent.map(({ promise }) => promise));
}

/** Sends the statements of a transaction: those of one turn are answered as one, and the first that fails ends them. */
export function transactionOn(session: pg.Client): Query {
  const one = queryOn(session);
  let waiting: Waiting<Parameters<Query>[0] & BatchStatement>[] = [];
  const send = (): void => {
    const sending = waiting;
    waiting = [];
    const statements = sending.map(({ statement }) => statement);
    if (isParsed(session, statements)) sendBatch(session, sending);
    else for (const { statement, resolve, reject } of sending) one(statement).then(resolve, reject);
  };
  return (statement) =>
    new Promise((resolve, reject) => {
      if (waiting.length === 0) process.nextTick(send);
      waiting.push({ statement: statement as Parameters<Query>[0] & BatchStatement, resolve, reject });
    });
}

/**
 * Collects what statements fail with, in their order. The first tells why; those after it only say that the transaction is
 * over (25P02), and whoever waits for several may hear one of those before.
 */
export const notingFailures =
  (query: Query, failed: unknown[]): Query =>
  (statement) => {
    const sent = query(statement);
    sent.catch((error: unknown) => failed.push(error));
    return sent;
  };
