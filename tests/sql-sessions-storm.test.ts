// Thousands of questions over shared pipelined sessions whose answers are told apart by nothing but their order, while
// statements fail, are cancelled and time out, sessions end, wires break in the middle of a message and the server dies.
// Every answer must be whole and belong to its question, or be an error.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, connect as dial, type Server, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { queryOn, transactionOn } from '@weft/cells/store/corked-query.ts';
import type { Query } from '@weft/cells/store/entries-table.ts';
import { WriteSessions } from '@weft/cells/store/write-sessions.ts';
import { startTestPostgres, type TestServer } from '@weft/local/test-servers.ts';
import type { BinaryRow } from '@weft/runtime/binary-rows.ts';
import { systemClock } from '@weft/runtime/clock.ts';
import { silentLog } from '@weft/runtime/log.ts';
import { type Random, seededRandom } from '@weft/runtime/random.ts';
import { assertCommitted, isConnectionLost, openPool, sqlState } from '@weft/runtime/sql.ts';
import { isParsed, sendBatch } from '@weft/runtime/sql-batch.ts';
import type pg from 'pg';

/** Over when so many were answered, whatever became of the others; a slow recovery turns many away. */
const answersMin = 1_500;
const questionsMax = 60_000;
const askersCount = 48;
const sessionsCount = 4;
const lanesCount = 2;
const disturbEveryMs = 25;
/** Every so many disturbances the whole server goes down. */
const crashEvery = 40;
const againMs = 10;

type Pool = ReturnType<typeof openPool>;
let postgres: TestServer;

before(async () => {
  postgres = await startTestPostgres({ fast: true });
});

after(async () => {
  await postgres?.stop();
});

/** Between the sessions and the server: cuts what it carries into pieces of any size, and wires in the middle of a message. */
class Wires implements AsyncDisposable {
  readonly #server: Server;
  readonly #open = new Set<Wire>();
  readonly #random: Random;

  static async open(port: number, random: Random): Promise<Wires> {
    const wires = new Wires(port, random);
    wires.#server.listen(0, '127.0.0.1');
    await once(wires.#server, 'listening');
    return wires;
  }

  private constructor(port: number, random: Random) {
    this.#random = random;
    this.#server = createServer((near) => {
      const wire = new Wire(near, dial(port, '127.0.0.1'), random);
      this.#open.add(wire);
      near.once('close', () => this.#open.delete(wire));
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** One of them breaks within what it carries next, on either side. */
  breakOne(): void {
    const wires = [...this.#open];
    wires[this.#random.int(Math.max(1, wires.length))]?.break(this.#random.next() < 0.5);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const wire of this.#open) wire.end();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

class Wire {
  readonly #ends: readonly [Socket, Socket];
  readonly #random: Random;
  readonly #breaks = new Set<Socket>();

  constructor(near: Socket, far: Socket, random: Random) {
    this.#ends = [near, far];
    this.#random = random;
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('data', (bytes) => this.#carry(bytes, from, to));
      from.on('error', () => this.end());
      from.on('close', () => this.end());
    }
  }

  break(isAnswer: boolean): void {
    this.#breaks.add(this.#ends[isAnswer ? 1 : 0]);
  }

  end(): void {
    for (const socket of this.#ends) socket.destroy();
  }

  #carry(bytes: Buffer, from: Socket, to: Socket): void {
    const cut = this.#random.int(bytes.length + 1);
    to.write(bytes.subarray(0, cut));
    if (this.#breaks.has(from)) to.end(() => this.end());
    else to.write(bytes.subarray(cut));
  }
}

interface Question {
  readonly kind: string;
  readonly statement: Parameters<Query>[0];
  /** What a right answer has; undefined when only an error is right. */
  readonly rows: number | undefined;
}

const pad = 'x'.repeat(180);
const echo = (id: bigint): Question => ({
  kind: 'echo',
  statement: { name: 'echo', text: 'select $1::bigint as id', values: [id] },
  rows: 1,
});
const many = (id: bigint, rows: number): Question => ({
  kind: 'many',
  statement: {
    name: 'many',
    text: 'select $1::bigint as id, n, $3::text as pad from generate_series(1, $2::int) as n',
    values: [id, rows, pad],
  },
  rows,
});
/** Rows that are taken as bytes, past pg's parser. */
const bytes = (id: bigint, rows: number): Question => ({
  kind: 'bytes',
  statement: {
    name: 'bytes',
    text: 'select $1::bigint as id, n::bigint, $3::text as pad from generate_series(1, $2::int) as n',
    values: [id, rows, pad],
  },
  rows,
});
const slow = (id: bigint, more: object = {}): Question => ({
  kind: 'slow',
  statement: { name: 'slow', text: 'select $1::bigint as id, pg_sleep(0.03)', values: [id], ...more },
  rows: 1,
});
/** Fails when half of its rows are out. */
const failing = (id: bigint): Question => ({
  kind: 'failing',
  statement: { name: 'failing', text: 'select $1::bigint as id, 1 / (300 - n) from generate_series(1, 600) as n', values: [id] },
  rows: undefined,
});
const unparsed = (id: bigint): Question => ({
  kind: 'unparsed',
  statement: { name: `unparsed-${id}`, text: `select $1::bigint as id from nowhere_${id}`, values: [id] },
  rows: undefined,
});
const timeout = (ms: number): Question => ({ kind: 'timeout', statement: { text: `set statement_timeout = ${ms}` }, rows: 0 });

function draw(id: bigint, random: Random): Question[] {
  const dice = random.int(100);
  if (dice < 45) return [echo(id)];
  if (dice < 60) return [many(id, random.int(60))];
  if (dice < 75) return [bytes(id, random.int(60)), echo(id)];
  if (dice < 82) return [failing(id)];
  if (dice < 87) return [unparsed(id)];
  if (dice < 97) return [slow(id)];
  // Met by whatever else is on this session meanwhile.
  if (dice < 99) return [timeout(10), slow(id), many(id, 5), timeout(5_000)];
  return [slow(id, { query_timeout: 15 })];
}

/** What came, and whether it was right. */
class Tally {
  readonly wrong: string[] = [];
  readonly counts = new Map<string, number>();

  async judge(id: bigint, { kind, rows }: Question, answer: Promise<{ rows: unknown[] }>): Promise<void> {
    try {
      const found = (await answer).rows as { id: bigint }[];
      this.#count(`${kind} answered`);
      if (rows === undefined || found.length !== rows || found.some((row) => row.id !== id))
        this.wrong.push(`${kind} of ${id}: ${found.length} rows of ${rows}, ids ${[...new Set(found.map((row) => row.id))].slice(0, 3)}`);
    } catch (error) {
      if (error instanceof assert.AssertionError) this.wrong.push(String(error));
      this.#count(`${kind} failed: ${sqlState(error) ?? (isConnectionLost(error) ? 'lost' : String(error))}`);
      // Nobody comes back at once.
      if (sqlState(error) === undefined) await systemClock.sleep(againMs);
    }
  }

  sum(...parts: readonly string[]): number {
    return [...this.counts].reduce((sum, [what, count]) => (parts.some((part) => what.includes(part)) ? sum + count : sum), 0);
  }

  #count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }
}

interface Storm {
  readonly tally: Tally;
  readonly random: Random;
  readonly reads: WriteSessions;
  readonly lanes: WriteSessions;
  readonly nextId: () => bigint;
  readonly isOver: () => boolean;
}

/** Questions on a shared session; a lost one is opened anew for the question that met it, as the store does. */
async function ask({ reads, tally, random, nextId }: Storm, questions: (id: bigint) => Question[]): Promise<void> {
  const id = nextId();
  const session = random.int(sessionsCount);
  const answers = async (question: Question): Promise<{ rows: unknown[] }> => {
    const run = async () => {
      const open = await reads.get(session);
      return question.kind === 'bytes' ? asBytes(open, question.statement) : queryOn(open)(question.statement);
    };
    return run().catch((error: unknown) => (isConnectionLost(error) ? run() : Promise.reject(error)));
  };
  await Promise.all(questions(id).map((question) => tally.judge(id, question, answers(question))));
}

/** As pages of history are read; every row has to be of its question. */
async function asBytes(session: pg.Client, { name = '', text, values = [] }: Question['statement']): Promise<{ rows: unknown[] }> {
  const statement = { name, text, values: [...values] };
  if (!isParsed(session, [statement])) await session.query(statement);
  const read = (row: BinaryRow): { id: bigint; n: number; pad: string } => ({ id: row.int8(), n: row.number(), pad: String(row.bytes()) });
  const answer = new Promise<{ rows: unknown[] }>((resolve, reject) =>
    sendBatch(session, [{ statement: { ...statement, read }, resolve, reject }]),
  );
  const { rows } = (await answer) as { rows: ReturnType<typeof read>[] };
  assert.ok(rows.every((row, at) => row.n === at + 1 && row.pad === pad));
  return { rows };
}

/** Two round trips of a transaction, each under one Sync, as a lane writes. */
async function transact({ lanes, tally, random, nextId }: Storm, lane: number): Promise<void> {
  const id = nextId();
  const open = await lanes.get(lane).catch(() => undefined);
  if (open === undefined) return systemClock.sleep(5);
  const query = transactionOn(open);
  const asked = (question: Question): Promise<unknown>[] => {
    const answer = query(question.statement);
    return [tally.judge(id, question, answer), answer];
  };
  try {
    await Promise.all([query({ name: 'begin', text: 'begin' }), ...asked(echo(id)), ...asked(many(id, random.int(40)))]);
    const breaks = random.next() < 0.2;
    const second = [...asked(many(id, random.int(9))), ...(breaks ? asked(failing(id)) : []), ...asked(echo(id))];
    const committed = query({ name: 'commit', text: 'commit' });
    await Promise.all([...second, committed]);
    assertCommitted(await committed);
    assert.equal(breaks, false, 'a transaction with a failed statement was committed');
  } catch (error) {
    if (error instanceof assert.AssertionError) tally.wrong.push(String(error));
    await open.query('rollback').catch(() => lanes.drop(lane));
  }
}

/** Everything that may happen to a session, in turn. */
async function disturb(storm: Storm, wires: Wires, pool: Pool): Promise<ReadonlyMap<string, number>> {
  const { random, isOver, reads } = storm;
  const made = new Map<string, number>();
  const backends = "from pg_stat_activity where application_name ~ '^weft-(read|lane)' order by random() limit 1";
  const kinds = {
    terminated: () => pool.query(`select pg_terminate_backend(pid) ${backends}`),
    cancelled: () => pool.query(`select pg_cancel_backend(pid) ${backends}`),
    wire: async () => wires.breakOne(),
    socket: async () => {
      const session = await reads.get(random.int(sessionsCount));
      (session as unknown as { connection: { stream: Socket } }).connection.stream.destroy();
    },
    // The server lets go of every session and recovers.
    crashed: async () => {
      const { rows } = await pool.query(`select pid ${backends}`);
      if (rows[0]) process.kill(rows[0].pid, 'SIGKILL');
    },
  };
  for (let n = 0; !isOver(); n++) {
    const often = ['cancelled', 'cancelled', 'wire', 'socket', 'terminated'] as const;
    const name = n % crashEvery === crashEvery / 2 ? 'crashed' : (often[random.int(often.length)] ?? 'wire');
    await kinds[name]().then(
      () => made.set(name, (made.get(name) ?? 0) + 1),
      () => undefined,
    );
    await systemClock.sleep(disturbEveryMs);
  }
  return made;
}

test('in a storm on pipelined sessions every answer is whole and belongs to its question, or is an error', async (t) => {
  const random = seededRandom(7);
  await using wires = await Wires.open(postgres.port, random);
  const url = postgres.url.replace(`:${postgres.port}/`, `:${wires.port}/`);
  await using reads = new WriteSessions(url, silentLog(), { purpose: 'read' });
  await using lanes = new WriteSessions(url, silentLog());
  const pool = openPool(postgres.url, 1);
  const tally = new Tally();
  let asked = 0n;
  const answered = (): number => tally.sum('echo answered', 'many answered', 'bytes answered');
  const isOver = (): boolean => answered() >= answersMin || asked >= questionsMax;
  const storm: Storm = { tally, random, reads, lanes, nextId: () => ++asked, isOver };
  const disturbing = disturb(storm, wires, pool);
  await Promise.all([
    ...Array.from({ length: askersCount }, async () => {
      while (!isOver()) await ask(storm, (id) => draw(id, random));
    }),
    ...Array.from({ length: lanesCount }, async (_, lane) => {
      while (!isOver()) await transact(storm, lane);
    }),
  ]);
  const made = await disturbing;
  await pool.end();
  const counts = [...tally.counts].map(([what, count]) => `${count} ${what}`).sort();
  t.diagnostic([...[...made].map(([what, count]) => `${count} ${what}`), ...counts].join('; '));
  assert.deepEqual(tally.wrong, []);
  assert.ok(answered() >= answersMin, 'enough were answered');
  assert.ok(tally.sum('bytes answered') > answersMin / 20, 'bytes among them');
  assert.equal(tally.sum('failing answered', 'unparsed answered'), 0);
  for (const kind of ['terminated', 'cancelled', 'wire', 'socket', 'crashed']) assert.ok((made.get(kind) ?? 0) > 0, `none ${kind}`);
});
