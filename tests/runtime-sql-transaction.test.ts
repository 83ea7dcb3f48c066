import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startTestPostgres, type TestServer } from '@weft/local/test-servers.ts';
import { inTransaction, isRetryable, isUniqueViolation, openPool } from '@weft/runtime/sql.ts';

type Pool = ReturnType<typeof openPool>;

let postgres: TestServer;
let pool: Pool;

before(async () => {
  postgres = await startTestPostgres({ fast: true });
  pool = openPool(postgres.url, 4, { name: 'test' });
  await pool.query('create table things (id bigint primary key, note text)');
});

after(async () => {
  await pool?.end();
  await postgres?.stop();
});

const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => assert.fail('resolved'),
    (error: unknown) => error,
  );

test('a session that ends within a transaction, while nothing is asked of it, fails what is asked next and nothing else', {
  timeout: 10_000,
}, async () => {
  let runs = 0;
  const { rows } = await inTransaction(pool, async (session) => {
    runs += 1;
    if (runs === 1) {
      const pid = (await session.query('select pg_backend_pid() as pid')).rows[0].pid;
      const ended = new Promise((resolve) => session.once('end', resolve));
      await pool.query('select pg_terminate_backend($1)', [pid]);
      await ended;
    }
    return session.query('select 1 as one');
  });
  assert.deepEqual([rows[0]?.one, runs], [1, 2]);
});

test('a transaction runs again after a serialisation failure and commits once', async () => {
  await pool.query("insert into things (id, note) values (20, '0'), (21, '0') on conflict do nothing");
  let runs = 0;
  const bump = (id: number, other: number): Promise<void> =>
    inTransaction(pool, async (client) => {
      runs += 1;
      await client.query('set transaction isolation level serializable');
      const { rows } = await client.query('select note from things where id = $1', [other]);
      await client.query('select pg_sleep(0.05)');
      await client.query('update things set note = $2 where id = $1', [id, String(Number(rows[0].note) + 1)]);
    });
  await Promise.all([bump(20, 21), bump(21, 20)]);
  assert.equal(runs, 3);
  const { rows } = await pool.query('select note from things where id in (20, 21) order by note');
  assert.deepEqual(
    rows.map((row) => row.note),
    ['1', '2'],
  );
});

test('a transaction does not run again after a broken rule, and leaves nothing', async () => {
  await pool.query('insert into things (id) values (30)');
  let runs = 0;
  const error = await rejection(
    inTransaction(pool, async (client) => {
      runs += 1;
      await client.query('insert into things (id) values (31)');
      await client.query('insert into things (id) values (30)');
    }),
  );
  assert(isUniqueViolation(error) && !isRetryable(error));
  assert.equal(runs, 1);
  assert.equal((await pool.query('select count(*) as n from things where id = 31')).rows[0].n, 0n);
});

test('a transaction whose caller swallowed an error does not pass as committed', async () => {
  await assert.rejects(
    inTransaction(pool, async (client) => {
      await client.query('select 1/0').catch(() => undefined);
    }),
    /rolled back/,
  );
});
