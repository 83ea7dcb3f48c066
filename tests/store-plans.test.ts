// The hot statements of a cell's store go by an index although nothing was ever analysed: at the size the tables have, and
// also in the plan that a session made while they were empty and keeps.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { LogRow } from '@weft/cells/delivery/ports.ts';
import { clearBehind, readBehind, upsertBehind } from '@weft/cells/store/behind-table.ts';
import { EntriesTable, type Query } from '@weft/cells/store/entries-table.ts';
import { EntryFold } from '@weft/cells/store/entry-key.ts';
import { readCurrentEpoch, readEarlierEpochs, writeEpochs } from '@weft/cells/store/epochs-table.ts';
import {
  closeIntake,
  countOpenIntake,
  findWaitingIntake,
  lockIntakeStreams,
  readAllDecided,
  readDecidedNumbers,
  readLowestIntake,
  readOwnIntake,
  readPendingOf,
} from '@weft/cells/store/intake-tables.ts';
import { readCheckPoint, readCheckPoints } from '@weft/cells/store/log-hashes-table.ts';
import {
  lockLogs,
  lockRowsAsKnown,
  readableLogs,
  readLog,
  readStateRows,
  readUnsettled,
  updateLogs,
  updateStarts,
} from '@weft/cells/store/logs-table.ts';
import { readMarks, readWaitingMarks } from '@weft/cells/store/marks-table.ts';
import { findPairLogs, readCells, readMembers } from '@weft/cells/store/membership-tables.ts';
import { moveOrphans } from '@weft/cells/store/orphans-table.ts';
import { deleteOutbox, readOutbox } from '@weft/cells/store/outbox-table.ts';
import { readKeptHeads, readOwnedHeads } from '@weft/cells/store/shared-logs.ts';
import { countUserLogs, listUserLogs, readHeads, readUserHeads, readUserLogs } from '@weft/cells/store/user-logs-table.ts';
import { WriteSessions } from '@weft/cells/store/write-sessions.ts';
import { startTestPostgres, type TestServer } from '@weft/local/test-servers.ts';
import { chainStart } from '@weft/proto/chain.ts';
import { silentLog } from '@weft/runtime/log.ts';
import { StoreCell } from './store-cell.ts';

interface Statement {
  readonly name?: string;
  readonly text: string;
  readonly values?: unknown[];
}

/** What fills each table with rows of numbers $1 … $2. */
const fillings = [
  "insert into logs select g, 1, 0, 1, 0, 1, 1, 1, '\\x00', 1, 1, 0, g, g + 1, 1 from generate_series($1::bigint, $2) g",
  "insert into groups select g, 'a title', 2, 1 from generate_series($1::bigint, $2) g",
  "insert into entries select 1 + g % 1000, g, g, g, g, g, 9, 'text' from generate_series($1::bigint, $2) g",
  "insert into log_hashes select g, g, '\\x00' from generate_series($1::bigint, $2) g",
  'insert into user_logs select 1 + g % 5000, g, 1, 0 from generate_series($1::bigint, $2) g',
  'insert into members select g, g, 1, 1 from generate_series($1::bigint, $2) g',
  'insert into log_cells select g, 1, 1, 0 from generate_series($1::bigint, $2) g',
  'insert into pairs select g, g + 1, g from generate_series($1::bigint, $2) g',
  "insert into outbox select 2, g, 1, 1, 1, 'ranges' from generate_series($1::bigint, $2) g",
  "insert into intake select g, 0, 1, g, g, 2, g % 1000, g, 9, 'text', g from generate_series($1::bigint, $2) g",
  'insert into intake_streams select g, 0, 1, 1 from generate_series($1::bigint, $2) g',
  'insert into behind select g, g, 2 from generate_series($1::bigint, $2) g',
  'insert into log_epochs select g, 1, 1 from generate_series($1::bigint, $2) g',
  "insert into orphans select g, 1, 1, 1, 1, 1, 1, 9, 'text', 1 from generate_series($1::bigint, $2) g",
  'insert into marks select g, g, 1, 1, 1, 1 from generate_series($1::bigint, $2) g',
  'insert into marks_out select 2, g, g, 1, 1, 1, 1 from generate_series($1::bigint, $2) g',
  'insert into decided select g, 0, 1, 1, 1 from generate_series($1::bigint, $2) g',
];

let postgres: TestServer;
let cell: StoreCell;

before(async () => {
  postgres = await startTestPostgres({ fast: true, settings: { autovacuum: 'off' } });
  cell = await StoreCell.open(postgres, 'plans');
});

after(async () => {
  await cell?.[Symbol.asyncDispose]();
  await postgres?.stop();
});

const epochs = [{ epoch: 1n, base: 0 }];
const entries = new EntriesTable(new EntryFold(1n));

function recorded(sent: Statement[]): Query {
  return async (statement) => {
    sent.push(statement as Statement);
    return { rows: [], rowCount: 0, command: '', oid: 0, fields: [] };
  };
}

/** Of lanes and of other sessions, as they are sent for `count` keys. */
async function hotStatements(count: number): Promise<Statement[]> {
  const sent: Statement[] = [];
  const query = recorded(sent);
  const ids = Array.from({ length: count }, (_, i) => BigInt(1 + i * 7));
  const streams = ids.map((a) => ({ a, b: 0n }));
  await lockLogs(query, ids);
  const rows = ids.map((log): LogRow => ({ log, epoch: 1n, head: 1, ts: 1, ord: 1, hash: chainStart, version: 1, status: 'open' }));
  await lockRowsAsKnown(query, rows);
  await updateLogs(query, rows, 1);
  await readStateRows(query, ids);
  await readLog(query, 1n);
  await entries.findKnown(
    query,
    ids.map((log) => ({ log, author: 1n, clientEntryId: 1n })),
  );
  await entries.readHeaders(
    query,
    ids.map((log) => ({ log, seq: 1 })),
    () => epochs,
  );
  await entries.readTargets(
    query,
    ids.map((log) => ({ log, seq: 1 })),
    () => epochs,
  );
  await entries.readForwards(query, { log: 1n, from: 1, to: 100, limit: 50 }, epochs);
  await readCheckPoint(query, 1n, 100);
  const ranges = ids.map((log) => ({ log, first: 51, last: 53 }));
  await readCheckPoints(
    query,
    ranges.map(({ log, first }) => ({ log, seq: first - 1 })),
  );
  const asked = ranges.map((range, at) => ({ ...range, isProved: at % 2 === 0 }));
  sent.push(
    entries.ranges(
      asked,
      () => epochs,
      () => undefined,
    ) as Statement,
  );
  const readable = ids.map((log) => ({ user: 1n, log, from: 51 }));
  sent.push(readableLogs(readable, () => undefined) as Statement);
  await readUserHeads(ids, async (statement) => sent.push(statement as Statement));
  await readHeads(query, ids);
  await listUserLogs(query, 1n, { after: 0n, limit: 100 });
  await readUserLogs(query, 1n, ids);
  await readMembers(query, ids);
  await readCells(query, ids);
  await findPairLogs(
    query,
    ids.map((low) => ({ low, high: low + 1n })),
  );
  await readOutbox(query, 2, Date.now(), 64);
  await readWaitingMarks(query, 2, 64);
  await deleteOutbox(query, { dst: 2, node: 0 }, ids);
  await findWaitingIntake(
    query,
    ids.map((author) => ({ author, clientEntryId: 1n })),
  );
  await readPendingOf(query, { a: 1n, b: 0n }, 1n, 100);
  await readDecidedNumbers(
    query,
    streams.map((stream) => ({ stream, cell: 1, generation: 1 })),
  );
  await lockIntakeStreams(query, streams, 1);
  return sent;
}

/** Of lanes alone: they plan once (`keepsPlans`), without the keys in sight. */
async function laneStatements(count: number): Promise<Statement[]> {
  const sent: Statement[] = [];
  const query = recorded(sent);
  const ids = Array.from({ length: count }, (_, i) => BigInt(1 + i * 7));
  const streams = ids.map((a) => ({ a, b: 0n }));
  await Promise.all(
    closeIntake(
      query,
      streams.map((stream) => ({ stream, author: 1n, clientEntryId: 1n, refused: false })),
      { node: 0, lane: 0 },
    ),
  );
  await countOpenIntake(query, ids);
  await readLowestIntake(query, streams, 1);
  await readOwnIntake(query, { a: 1n, b: 0n }, 1, 100);
  await readAllDecided(query, streams);
  await clearBehind(
    query,
    ids.map((log) => ({ log, epoch: 1n, head: 1 })),
  );
  await updateStarts(
    query,
    ids.map((log) => ({ log, start: 1 })),
  );
  await readEarlierEpochs(query, ids);
  await Promise.all(
    writeEpochs(
      query,
      ids.map((log) => ({ log, epochs: [...epochs, { epoch: 2n, base: 1 }] })),
    ),
  );
  await Promise.all(
    moveOrphans(
      query,
      ids.map((log) => ({ log, base: 1, before: epochs })),
      1,
    ),
  );
  await entries.readState(query, { log: 1n, upTo: 100 }, epochs);
  await entries.empty(
    query,
    ids.map((log) => ({ log, epoch: 1n, seq: 1, ts: 1, author: 1n, clientEntryId: 1n, ord: 1, kind: 1, flags: 2, body: chainStart })),
  );
  return sent;
}

/** Of sessions of reads alone, which plan once too. Not what looks through all open intake of a destination, whose table it is. */
async function readStatements(): Promise<Statement[]> {
  const sent: Statement[] = [];
  const query = recorded(sent);
  await entries.findOne(query, 1n, 1n);
  await readCurrentEpoch(query, 1n);
  await countUserLogs(query, 1n);
  await readMarks(query, 1n);
  await readBehind(query, 100);
  await upsertBehind(query, [{ log: 1n, epoch: 1n, known: 1, src: 2 }]);
  await readUnsettled(query, 100);
  return sent;
}

/** Of reads that are planned anew each time, since their kept plan would be a bad one. */
async function unkeptStatements(): Promise<Statement[]> {
  const sent: Statement[] = [];
  const query = recorded(sent);
  const page = { after: 100n, limit: 5_000 };
  await readOwnedHeads(query, { owner: 0, keeper: 1 }, page);
  await readKeptHeads(query, 0, page);
  return sent;
}

/** The names of those that read a table whole. */
async function whole(statements: readonly Statement[], explain: (statement: Statement) => Promise<string>): Promise<string[]> {
  const found: string[] = [];
  for (const statement of statements) {
    const plan = await explain(statement);
    const scanned = [...plan.matchAll(/Seq Scan on (\w+)/g)].map((match) => match[1]);
    if (scanned.length > 0) found.push(`${statement.name}: ${scanned.join(', ')}`);
  }
  return found;
}

async function explained(how: string, { text, values }: Statement): Promise<string> {
  const { rows } = await cell.pool.query(`explain ${how} ${text}`, how === '' ? [...(values ?? [])] : []);
  return rows.map((row) => row['QUERY PLAN']).join('\n');
}

const kept = (statement: Statement): Promise<string> => explained('(generic_plan)', statement);
const own = (statement: Statement): Promise<string> => explained('', statement);

async function fill(from: number, to: number): Promise<void> {
  for (const filling of fillings) await cell.pool.query(filling, [from, to]);
}

test('a plan made while a table was empty, and kept, never reads the table whole', async () => {
  const statements = [...(await hotStatements(256)), ...(await laneStatements(256)), ...(await readStatements())];
  assert(statements.length >= 40, `${statements.length}`);
  assert.deepEqual(await whole(statements, kept), []);
});

test('with 10,000 rows that were never analysed every hot statement goes by an index', async () => {
  await fill(1, 10_000);
  assert.deepEqual(await whole([...(await hotStatements(256)), ...(await laneStatements(256)), ...(await readStatements())], kept), []);
  assert.deepEqual(await whole(await hotStatements(8), own), []);
});

test('with 200,000 rows that were never analysed every hot statement goes by an index, full batches too', async () => {
  await fill(10_001, 200_000);
  assert.deepEqual(await whole([...(await hotStatements(256)), ...(await laneStatements(256)), ...(await readStatements())], kept), []);
  assert.deepEqual(await whole(await hotStatements(256), own), []);
});

test('pages of shared logs have no kept plan, and at this size go by an index', async () => {
  const statements = await unkeptStatements();
  assert.deepEqual(
    statements.map(({ name }) => name),
    [undefined, undefined],
  );
  assert.deepEqual(await whole(statements, kept), []);
});

test('a session of a lane, and one of reads, plans a statement once', async () => {
  for (const purpose of ['lane', 'read'] as const) {
    await using sessions = new WriteSessions(cell.url, silentLog(), { purpose });
    const session = await sessions.get(0);
    const { rows } = await session.query('show plan_cache_mode');
    assert.deepEqual(rows, [{ plan_cache_mode: 'force_generic_plan' }], purpose);
  }
});

test('a statement that does read a table whole is found', async () => {
  assert.deepEqual(await whole([{ name: 'bodies', text: "select log_id from entries where body = 'text'" }], own), ['bodies: entries']);
});
