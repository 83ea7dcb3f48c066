import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startTestPostgres, type TestServer } from '@weft/local/test-servers.ts';
import { int8Array } from '@weft/runtime/binary-arrays.ts';
import { assertCommitted, isConnectionLost, isUniqueViolation, openPipelined } from '@weft/runtime/sql.ts';
import { type BatchStatement, isParsed, sendBatch, type Waiting } from '@weft/runtime/sql-batch.ts';

type Session = Awaited<ReturnType<typeof openPipelined>>;
type Result = Parameters<Waiting['resolve']>[0];
interface Named extends BatchStatement {
  readonly text: string;
}

const begin: Named = { name: 'begin', text: 'begin' };
const commit: Named = { name: 'commit', text: 'commit' };
const insert = (id: number, note: string): Named => ({
  name: 'insert',
  text: 'insert into things (id, note) values ($1, $2)',
  values: [id, note],
});
const read = (...ids: bigint[]): Named => ({
  name: 'read',
  text: 'select id, note from things where id = any ($1::bigint[]) order by id',
  values: [int8Array(ids)],
});

let postgres: TestServer;

before(async () => {
  postgres = await startTestPostgres({ fast: true });
  const client = await openPipelined(postgres.url);
  await client.query('create table things (id bigint primary key, note text)');
  await client.end();
});

after(async () => {
  await postgres?.stop();
});

/** A session that has parsed every statement of this file. */
async function session(fn: (client: Session) => Promise<void>): Promise<void> {
  const client = await openPipelined(postgres.url);
  try {
    assert.equal(isParsed(client, [begin]), false);
    for (const { name, text, values } of [begin, read(), commit]) await client.query({ name, text, values: [...(values ?? [])] });
    await client.query('begin');
    await client.query({ ...insert(-1, ''), values: [-1, ''] });
    await client.query('rollback');
    assert.equal(isParsed(client, [begin, insert(1, ''), read(), commit]), true);
    await fn(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}

const batch = (client: Session, ...statements: Named[]) => {
  const all = statements.map((statement) => ({ statement, ...Promise.withResolvers<Result>() }));
  sendBatch(client, all);
  return all.map(({ promise }) => promise);
};
const outcomes = (promises: Promise<unknown>[]) => Promise.allSettled(promises);
const errorOf = (outcome: PromiseSettledResult<unknown> | undefined): unknown =>
  outcome?.status === 'rejected' ? outcome.reason : undefined;

test('each statement of a batch gets its own result, the second time without a description', async () => {
  await session(async (client) => {
    for (const first of [1, 3]) {
      const ids = [BigInt(first), BigInt(first + 1)];
      const [, inserted, rows, none, arrays, committed] = await Promise.all(
        batch(client, begin, insert(first, 'é'), read(...ids), read(), { ...read(...ids), rowMode: 'array' }, commit),
      );
      assert.equal(inserted?.rowCount, 1);
      assert.deepEqual(
        rows?.rows.map((row) => ({ ...row })),
        [{ id: ids[0], note: 'é' }],
      );
      assert.deepEqual(none?.rows, []);
      assert.deepEqual(arrays?.rows, [[ids[0], 'é']]);
      assertCommitted(committed as Result);
    }
  });
});

test('the first error ends a batch: nothing behind it runs, and least of all the commit', async () => {
  await session(async (client) => {
    const results = await outcomes(batch(client, begin, insert(10, 'a'), insert(10, 'b'), insert(11, 'c'), commit));
    assert.ok(results.every((result) => isUniqueViolation(errorOf(result))));
    await client.query('rollback');
    const [found] = await Promise.all(batch(client, read(10n, 11n)));
    assert.deepEqual(found?.rows, []);
  });
});

test('batches and single statements share a session', async () => {
  await session(async (client) => {
    const one = batch(client, begin, insert(20, 'a'), commit);
    const two = client.query('select count(*) as n from things where id = 20');
    const [three] = batch(client, read(20n));
    await Promise.all(one);
    assert.equal((await two).rows[0].n, 1n);
    assert.equal((await three)?.rows.length, 1);
  });
});

const large = 9_007_199_254_740_991n;
const values: Named = {
  name: 'values',
  text: `select i, $1::bigint - i, -i, (i % 100)::smallint, repeat('é', (i % 7)::int * 300)::bytea
    from generate_series(1::bigint, $2::bigint) as i order by i`,
  values: [large, 400],
};
const valuesAt = (i: bigint): unknown[] => [i, Number(large - i), -i, Number(i % 100n), Buffer.from('é'.repeat(Number(i % 7n) * 300))];
const bytesOf: NonNullable<BatchStatement['read']> = (row) => [row.int8(), row.number(), row.int8(), row.int2(), row.bytes()];

/** A tapped session that has parsed the statements above. */
async function tappedSession(fn: (client: Session) => Promise<void>): Promise<void> {
  const client = await openPipelined(postgres.url, { tapped: true });
  try {
    for (const { name, text, values: given } of [values, read()]) await client.query({ name, text, values: [...(given ?? [])] });
    await fn(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}

test('rows are read as bytes where a statement asks for it, beside others that are read as ever', async () => {
  const all = Array.from({ length: 400 }, (_, i) => valuesAt(BigInt(i + 1)));
  await tappedSession(async (client) => {
    await client.query('insert into things (id, note) values (40, $1)', ['ü']);
    for (let round = 0; round < 3; round++) {
      const one = batch(client, read(40n), { ...values, read: bytesOf }, read(40n), { ...values, read: bytesOf });
      const plain = client.query(values.text, [...(values.values ?? [])]);
      const two = batch(client, { ...values, values: [large, 0], read: bytesOf });
      const [first, second, third, fourth] = await Promise.all(one);
      assert.deepEqual([first?.rows[0].note, third?.rows[0].note], ['ü', 'ü']);
      assert.deepEqual(second?.rows, all);
      assert.deepEqual(fourth?.rows, all);
      assert.equal((await plain).rows.length, 400);
      assert.deepEqual((await two[0])?.rows, []);
    }
  });
});

test('a row that cannot be read as was said fails its batch, and the session goes on', async () => {
  await tappedSession(async (client) => {
    const failed = await outcomes(batch(client, { ...values, read: (row) => row.int2() }, read(40n)));
    assert.ok(failed.every((outcome) => errorOf(outcome) instanceof RangeError));
    const [again] = await Promise.all(batch(client, { ...values, values: [large, 1], read: bytesOf }));
    assert.deepEqual(again?.rows, [valuesAt(1n)]);
  });
  await session(async (client) => {
    assert.throws(() => sendBatch(client, [{ statement: { ...read(1n), read: bytesOf }, resolve: () => {}, reject: () => {} }]), /tapped/);
  });
});

test('a lost connection fails everything of a batch', async () => {
  await session(async (client) => {
    client.on('error', () => undefined);
    const other = await openPipelined(postgres.url);
    const { rows } = await client.query('select pg_backend_pid() as pid');
    await other.query({ text: 'begin' });
    await other.query({ text: 'lock table things' });
    const results = outcomes(batch(client, begin, insert(30, 'a'), commit));
    await other.query({ text: 'select pg_terminate_backend($1)', values: [rows[0].pid] });
    assert.ok((await results).every((result) => isConnectionLost(errorOf(result))));
    await other.end();
  });
});
