// Statements of one turn leave in one write. A system call costs more than a statement's share of the transaction, and pg
// makes one for each.
import type { Socket } from 'node:net';
import type pg from 'pg';
import type { Query } from './entries-table.ts';

/** Sends statements down a pipelined session, gathered per turn of the event loop. */
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
