import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { pipeline } from 'node:stream';
import { after, before, test } from 'node:test';
import { startTestPostgres, type TestServer } from '@weft/local/test-servers.ts';
import { byteaArray, int2Array, int8Array, textArray } from '@weft/runtime/binary-arrays.ts';
import { runtimeLimits as limits } from '@weft/runtime/limits.ts';
import { assertCommitted, inTransaction, isConnectionLost, isRetryable, openPipelined, openPool, sqlState } from '@weft/runtime/sql.ts';

type Pool = ReturnType<typeof openPool>;
type Session = Awaited<ReturnType<typeof openPipelined>>;

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

async function pipelined(fn: (client: Session) => Promise<void>): Promise<void> {
  const client = await openPipelined(postgres.url);
  try {
    await fn(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}

const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => assert.fail('resolved'),
    (error: unknown) => error,
  );

test('bigint, bigint arrays and bytes come back as bigint, bigint arrays and buffers', async () => {
  const { rows } = await pool.query(
    "select 9223372036854775807 as big, count(*) as n, array[1, null, -2]::bigint[] as many, '{}'::bigint[] as none, '\\x00ff80'::bytea as bytes from things",
  );
  assert.deepEqual(
    { ...rows[0] },
    { big: 9223372036854775807n, n: 0n, many: [1n, null, -2n], none: [], bytes: Buffer.from([0x00, 0xff, 0x80]) },
  );
});

test('a binary result is refused, because pg destroys its bytes', async () => {
  const asked = { text: 'select 200::bigint as id where $1', values: [true], binary: true };
  await assert.rejects(pool.query(asked), /binary results/);
  assert.equal((await pool.query('select 200::bigint as id')).rows[0].id, 200n);
});

test('arrays of every kind, with nulls, arrive as they were sent', async () => {
  const ids = [
    0n,
    -1n,
    9223372036854775807n,
    -9223372036854775808n,
    null,
    4294967296,
    -4294967297,
    Number.MAX_SAFE_INTEGER,
    Number.MIN_SAFE_INTEGER,
  ];
  const bytes = [
    Buffer.alloc(0),
    Buffer.from([0, 255, 128]),
    null,
    new Uint8Array([1]),
    null,
    Buffer.from('x'),
    Buffer.alloc(3),
    Buffer.alloc(1),
    Buffer.from('ä'),
  ];
  const small = [0, -1, 32767, -32768, null, 1, 2, 3, 4];
  const texts = ['', 'a "quoted", {braced} \\ text', 'ä😀', null, 'NULL', '\n', 'x', 'y', 'z'];
  const { rows } = await pool.query(
    'select * from unnest($1::bigint[], $2::bytea[], $3::smallint[], $4::text[]) as t (id, bytes, small, text)',
    [int8Array(ids), byteaArray(bytes), int2Array(small), textArray(texts)],
  );
  assert.deepEqual(
    rows.map((row) => [row.id, row.bytes, row.small, row.text]),
    ids.map((id, i) => [id === null ? null : BigInt(id), bytes[i] == null ? null : Buffer.from(bytes[i]), small[i], texts[i]]),
  );
});

test('empty arrays give no rows', async () => {
  const { rows } = await pool.query('select * from unnest($1::bigint[], $2::bytea[], $3::smallint[], $4::text[])', [
    int8Array([]),
    byteaArray([]),
    int2Array([]),
    textArray([]),
  ]);
  assert.deepEqual(rows, []);
});

test('arrays of 10,000 elements arrive whole', async () => {
  const ids = Array.from({ length: 10_000 }, (_, i) => BigInt(i) * 1_000_003n);
  const bytes = ids.map((id) => Buffer.alloc(100, Number(id % 251n)));
  const { rows } = await pool.query('select * from unnest($1::bigint[], $2::bytea[]) as t (id, bytes)', [
    int8Array(ids),
    byteaArray(bytes),
  ]);
  assert.equal(rows.length, 10_000);
  assert.deepEqual(
    rows.map((row) => row.id),
    ids,
  );
  assert(rows.every((row, i) => bytes[i]?.equals(row.bytes)));
});

test('the sessions of the write path have their timeouts, which reset all does not remove', () =>
  pipelined(async (client) => {
    await client.query('set lock_timeout = 0');
    await client.query('reset all');
    const { rows } = await client.query(
      "select current_setting('lock_timeout') as lock, current_setting('idle_in_transaction_session_timeout') as idle, current_setting('statement_timeout') as statement, current_setting('synchronous_commit') as sync, current_setting('application_name') as name",
    );
    assert.deepEqual({ ...rows[0] }, { lock: '1s', idle: '1s', statement: '5s', sync: 'on', name: 'weft-write' });
  }));

test('queries of a pipelined session are sent without waiting and answered in order', () =>
  pipelined(async (client) => {
    const order: number[] = [];
    await Promise.all(
      Array.from({ length: 100 }, async (_, i) => {
        const { rows } = await client.query('select $1::bigint as i', [i]);
        assert.equal(rows[0].i, BigInt(i));
        order.push(i);
      }),
    );
    assert.deepEqual(
      order,
      Array.from({ length: 100 }, (_, i) => i),
    );
  }));

test('outside a transaction an error in a pipeline fails its own query only', () =>
  pipelined(async (client) => {
    const [first, second, third] = await Promise.allSettled([
      client.query('select 1'),
      client.query('select 1/0'),
      client.query('select 3 as x'),
    ]);
    assert.equal(first.status, 'fulfilled');
    assert.equal(sqlState((second as PromiseRejectedResult).reason), '22012');
    assert.equal(third.status, 'fulfilled');
  }));

test('inside a transaction everything after the error fails and commit answers ROLLBACK', () =>
  pipelined(async (client) => {
    const [begin, insert, wrong, later, commit] = await Promise.allSettled([
      client.query('begin'),
      client.query('insert into things (id) values (1)'),
      client.query('select 1/0'),
      client.query('insert into things (id) values (2)'),
      client.query('commit'),
    ]);
    assert.equal(begin.status, 'fulfilled');
    assert.equal(insert.status, 'fulfilled');
    assert.equal(sqlState((wrong as PromiseRejectedResult).reason), '22012');
    assert.equal(sqlState((later as PromiseRejectedResult).reason), '25P02');
    assert.equal(commit.status, 'fulfilled');
    assert(commit.status === 'fulfilled');
    assert.equal(commit.value.command, 'ROLLBACK');
    assert.throws(() => assertCommitted(commit.value), /rolled back/);
    // The session is free again at once, and nothing was stored.
    assert.equal((await client.query('select count(*) as n from things')).rows[0].n, 0n);
  }));

test('Promise.all over a failed batch rejects with the first error', () =>
  pipelined(async (client) => {
    const error = await rejection(
      Promise.all([client.query('begin'), client.query('select 1/0'), client.query('select 2'), client.query('commit')]),
    );
    assert.equal(sqlState(error), '22012');
  }));

test('a named statement whose first parse failed leaves the session usable', () =>
  pipelined(async (client) => {
    const both = await Promise.allSettled([
      client.query({ name: 'wrong', text: 'select * from nowhere where id = $1', values: [1] }),
      client.query({ name: 'wrong', text: 'select * from nowhere where id = $1', values: [2] }),
    ]);
    assert.deepEqual(
      both.map((each) => sqlState((each as PromiseRejectedResult).reason)),
      ['42P01', '26000'],
    );
    assert.equal((await client.query('select 1::bigint as x')).rows[0].x, 1n);
  }));

test('a holder that idles in its transaction is thrown out after a second and its lock is free', async () => {
  await pool.query('insert into things (id) values (10)');
  const holder = await openPipelined(postgres.url);
  await Promise.all([holder.query('begin'), holder.query('select id from things where id = 10 for update')]);
  const ended = once(holder, 'error');
  const began = performance.now();
  // The pool waits for locks longer than the write path does.
  await pool.query('select id from things where id = 10 for update');
  assert(performance.now() - began < 2_000);
  await ended;
  const lost = await rejection(holder.query('commit'));
  assert(isConnectionLost(lost) && isRetryable(lost));
});

test('the write path waits a second for a lock, and may then run again', async () => {
  await pool.query('insert into things (id) values (11)');
  await pipelined(async (holder) => {
    await Promise.all([holder.query('begin'), holder.query('select id from things where id = 11 for update')]);
    const busy = holder.query('select pg_sleep(1.5)');
    await pipelined(async (other) => {
      const error = await rejection(other.query('select id from things where id = 11 for update'));
      assert.equal(sqlState(error), '55P03');
      assert(isRetryable(error) && !isConnectionLost(error));
    });
    await Promise.all([busy, holder.query('rollback')]);
  });
});

test('a killed session fails everything under way as lost', () =>
  pipelined(async (client) => {
    const pid = (await client.query('select pg_backend_pid() as pid')).rows[0].pid;
    const waiting = Promise.allSettled([client.query('select pg_sleep(4)'), client.query('select 2')]);
    await pool.query('select pg_terminate_backend($1)', [pid]);
    for (const each of await waiting) {
      assert.equal(each.status, 'rejected');
      assert(isConnectionLost(each.reason), String(each.reason));
    }
  }));

test('an idle session of the pool that is killed is replaced', async () => {
  const pid = (await pool.query('select pg_backend_pid() as pid')).rows[0].pid;
  const client = await openPipelined(postgres.url);
  await client.query('select pg_terminate_backend($1)', [pid]);
  await client.end();
  await inTransaction(pool, (session) => session.query('select 1'));
});

test('a refused connection is retryable', async () => {
  const away = openPool('postgres://postgres@127.0.0.1:1/postgres', 1);
  const error = await rejection(away.query('select 1'));
  assert(isRetryable(error) && isConnectionLost(error));
  await away.end();
});

test('a store that greets later than it may is given more time by the next connection, and then answers', async (t) => {
  const { hostname, port } = new URL(postgres.url);
  const slow = createServer((socket) => {
    const begin = () => pipeline(socket, connect(Number(port), hostname), socket, () => undefined);
    setTimeout(begin, 1.3 * limits.connectMsMax);
  }).listen(0, '127.0.0.1');
  t.after(() => slow.close());
  await once(slow, 'listening');
  const url = new URL(postgres.url);
  url.port = String((slow.address() as AddressInfo).port);
  const late = openPool(url.href, 1);
  t.after(() => late.end());
  assert.ok(isRetryable(await rejection(late.query('select 1'))));
  assert.equal((await late.query('select 1 as one')).rows[0]?.one, 1);
});

test('a frozen server ends the session when its time is over, and what was sent behind fails as lost', () =>
  pipelined(async (client) => {
    await client.query('select 1');
    const ended = new Promise<void>((resolve) => client.once('end', () => resolve()));
    postgres.process.freeze();
    try {
      const impatient = { text: 'select 1', query_timeout: 200 };
      for (const each of await Promise.allSettled([client.query(impatient), client.query('select 2')])) {
        assert.equal(each.status, 'rejected');
        assert(isConnectionLost(each.reason) && isRetryable(each.reason), String(each.reason));
      }
      await ended;
    } finally {
      postgres.process.thaw();
    }
  }));

test('a URL that would replace the session settings is refused', () => {
  assert.throws(() => openPool(`${postgres.url}?options=-c%20lock_timeout%3D0`, 1), /must not set options/);
});
