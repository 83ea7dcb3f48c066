// Statements that leave together under one Sync (PostgreSQL protocol, "Pipelining"). pg ends each statement with a Sync of
// its own, after which the server flushes an answer: a system call there, one here and a timer for each statement.
//
// Only for statements that the session has parsed already, and only where one belongs to the other, as in a transaction: the
// first error skips the rest.
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import pg from 'pg';
import { type BinaryRow, isTapped, type RowTaker } from './binary-rows.ts';

export interface BatchStatement {
  /** Under which the session has parsed it. */
  readonly name: string;
  readonly values?: readonly unknown[];
  readonly rowMode?: 'array';
  readonly types?: pg.CustomTypesConfig;
  /** Makes a row of what the server sends in binary format. Only on a session whose rows are tapped. */
  readonly read?: (row: BinaryRow) => unknown;
}

/** A statement and who waits for its result. */
export interface Waiting<S extends BatchStatement = BatchStatement> {
  readonly statement: S;
  readonly resolve: (result: pg.QueryResult) => void;
  readonly reject: (error: unknown) => void;
}

/** What pg's types leave out. */
interface Connection {
  readonly stream: Pick<Socket, 'cork' | 'uncork'>;
  readonly parsedStatements: Readonly<Record<string, string>>;
  bind(config: object): void;
  describe(config: object): void;
  execute(config: object): void;
  sync(): void;
}
type Fields = object[];
interface Result extends pg.QueryResult {
  parseRow(values: readonly (string | null)[]): unknown;
  addRow(row: unknown): void;
  addFields(fields: Fields): void;
  addCommandComplete(message: object): void;
}
const newResult = pg.Result as unknown as new (rowMode: string | undefined, types: unknown) => Result;

/** Columns of each statement, by connection: they do not change, so only the first answer has to describe them. */
const columns = new WeakMap<Connection, Map<string, Fields>>();

/** Whether all of these may go in one batch on this session. */
export const isParsed = (session: pg.Client, statements: readonly { readonly name?: string | undefined }[]): boolean => {
  const { parsedStatements } = session.connection as unknown as Connection;
  return statements.every(({ name }) => name !== undefined && parsedStatements[name] !== undefined);
};

/** Sends them. Each is resolved once all are answered; after an error it and all behind it are rejected with that error. */
export function sendBatch(session: pg.Client, waiting: readonly Waiting[]): void {
  assert(isTapped(session) || waiting.every(({ statement }) => statement.read === undefined), 'the rows of this session are not tapped');
  session.query(new Batch(waiting) as unknown as pg.Submittable);
}

class Batch extends pg.Query implements RowTaker {
  /** Set by the client: ends its timer. */
  declare callback?: (error: Error | null, result?: unknown) => void;
  /** Set by the client: its types are in it. */
  declare readonly _result: { readonly _types: unknown };
  readonly #waiting: readonly Waiting[];
  #results: readonly Result[] = [];
  #described: Map<string, Fields> = new Map();
  /** Statements answered so far. */
  #done = 0;
  #failure: unknown;

  constructor(waiting: readonly Waiting[]) {
    super({ text: '' });
    this.#waiting = waiting;
    this.submit = (connection) => this.#submit(connection as unknown as Connection);
  }

  #submit(connection: Connection): null {
    this.#described = columns.get(connection) ?? new Map();
    columns.set(connection, this.#described);
    this.#results = this.#waiting.map(({ statement }) => new newResult(statement.rowMode, statement.types ?? this._result._types));
    // Else each message is a system call here, and the server wakes up for the first.
    connection.stream.cork();
    try {
      this.#waiting.forEach(({ statement }, at) => {
        this.#write(connection, statement, this.#results[at] as Result);
      });
      connection.sync();
    } finally {
      connection.stream.uncork();
    }
    return null;
  }

  #write(connection: Connection, { name, values = [], read }: BatchStatement, result: Result): void {
    connection.bind({ portal: '', statement: name, values, binary: read !== undefined, valueMapper: toParameter });
    const fields = this.#described.get(name);
    // Who reads the bytes knows the columns.
    if (read === undefined && fields === undefined) connection.describe({ type: 'P', name: '' });
    else if (fields !== undefined && fields.length > 0) result.addFields(fields);
    connection.execute({ portal: '' });
  }

  get takesRows(): boolean {
    return this.#waiting[this.#done]?.statement.read !== undefined;
  }

  takeRow(row: BinaryRow): void {
    const read = this.#waiting[this.#done]?.statement.read;
    try {
      if (this.#failure === undefined) this.#current?.addRow(read?.(row));
    } catch (error) {
      this.#failure = error;
    }
  }

  handleRowDescription({ fields }: { readonly fields: Fields }): void {
    this.#describe(fields);
    this.#current?.addFields(fields);
  }

  handleDataRow({ fields }: { readonly fields: readonly (string | null)[] }): void {
    try {
      if (this.#failure === undefined) this.#current?.addRow(this.#current.parseRow(fields));
    } catch (error) {
      // A value that cannot be read: the transaction must not be believed.
      this.#failure = error;
    }
  }

  handleCommandComplete(message: object): void {
    if (!this.takesRows) this.#describe([]);
    this.#current?.addCommandComplete(message);
    this.#done += 1;
  }

  handleEmptyQuery(): void {
    this.handleError(new Error('an empty statement'));
  }

  handlePortalSuspended(): void {
    this.handleError(new Error('a portal was suspended'));
  }

  handleReadyForQuery(): void {
    if (this.#failure !== undefined) return this.handleError(this.#failure);
    assert.equal(this.#done, this.#waiting.length, 'a statement of a batch has no answer');
    this.callback?.(null);
    this.#waiting.forEach(({ resolve }, at) => {
      resolve(this.#results[at] as Result);
    });
  }

  /** From the server, of a lost connection, or because no answer came in time. */
  handleError(error: unknown): void {
    this.callback?.(error as Error);
    // Promises take their first outcome only; what was answered before the error is part of what failed.
    for (const { reject } of this.#waiting) reject(error);
  }

  get #current(): Result | undefined {
    return this.#results[this.#done];
  }

  #describe(fields: Fields): void {
    const name = this.#waiting[this.#done]?.statement.name;
    if (name !== undefined && !this.#described.has(name)) this.#described.set(name, fields);
  }
}

/** Buffers travel as they are, everything else as text. */
const toParameter = (value: unknown): Buffer | string | null =>
  value === null || value === undefined ? null : Buffer.isBuffer(value) ? value : String(value);
