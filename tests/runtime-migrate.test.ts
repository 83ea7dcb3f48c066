import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { startTestPostgres, type TestServer } from '@weft/local/test-servers.ts';
import { systemClock } from '@weft/runtime/clock.ts';
import { type Lease, Leases } from '@weft/runtime/lease.ts';
import { silentLog } from '@weft/runtime/log.ts';
import { ManualClock } from '@weft/runtime/manual-clock.ts';
import { migrate } from '@weft/runtime/migrate.ts';
import { NodeNumber } from '@weft/runtime/node-number.ts';
import { openPool } from '@weft/runtime/sql.ts';

const cellMigrations = new URL('../cells/store/migrations/0001_create_leases.sql', import.meta.url);
const startMs = Date.UTC(2026, 10, 21);

type Pool = ReturnType<typeof openPool>;

let postgres: TestServer;
let admin: Pool;
let pool: Pool;
let dir: string;
let made = 0;

before(async () => {
  postgres = await startTestPostgres({ fast: true });
  admin = openPool(postgres.url, 1);
});

after(async () => {
  await pool?.end();
  await admin?.end();
  await postgres?.stop();
  if (dir !== undefined) rmSync(dir, { recursive: true });
});

beforeEach(async () => {
  await pool?.end();
  if (dir !== undefined) rmSync(dir, { recursive: true });
  dir = mkdtempSync(join(tmpdir(), 'weft-migrations-'));
  made += 1;
  await admin.query(`create database test_${made}`);
  const url = new URL(postgres.url);
  url.pathname = `/test_${made}`;
  pool = openPool(url.href, 8);
});

const write = (name: string, text: string): void => writeFileSync(join(dir, name), text);
const tables = async (): Promise<string[]> =>
  (await pool.query("select table_name from information_schema.tables where table_schema = 'public' order by 1")).rows.map(
    (row) => row.table_name,
  );

async function createLeases(): Promise<void> {
  await pool.query(readFileSync(cellMigrations, 'utf8'));
}

test('missing steps are applied in order, once, and later ones when they come', async () => {
  write('0002_add_note.sql', 'alter table a add column note text;\n');
  write('0001_create_a.sql', '-- why\ncreate table a (id bigint primary key)');
  assert.deepEqual(await migrate(pool, [dir], systemClock, 'x'), ['0001_create_a', '0002_add_note']);
  assert.deepEqual(await migrate(pool, [dir], systemClock, 'x'), []);
  write('0003_create_b.sql', 'create table b (id bigint primary key)');
  assert.deepEqual(await migrate(pool, [dir], systemClock, 'x'), ['0003_create_b']);
  assert.deepEqual(await tables(), ['a', 'b', 'schema_lease', 'schema_migrations']);
});

test('ten nodes that start at once apply each step once', async () => {
  for (let i = 1; i <= 9; i++) write(`000${i}_create_t${i}.sql`, `create table t${i} (id bigint primary key)`);
  const results = await Promise.all(Array.from({ length: 10 }, (_, i) => migrate(pool, [dir], systemClock, `node-${i}`)));
  assert.deepEqual(
    results.flat().sort(),
    Array.from({ length: 9 }, (_, i) => `000${i + 1}_create_t${i + 1}`),
  );
});

test('two that both believe to hold the lease apply each step once', async () => {
  for (let i = 1; i <= 9; i++) write(`000${i}_create_t${i}.sql`, `create table t${i} (id bigint primary key)`);
  // One holder's name is everybody's: the lease never says no.
  const results = await Promise.all(Array.from({ length: 4 }, () => migrate(pool, [dir], systemClock, 'the same')));
  assert.deepEqual(
    results.flat().sort(),
    Array.from({ length: 9 }, (_, i) => `000${i + 1}_create_t${i + 1}`),
  );
});

test('the lease of a node that died while migrating is taken when it ends', async () => {
  write('0001_create_a.sql', 'create table a (id bigint primary key)');
  await migrate(pool, [dir], systemClock, 'x');
  await pool.query("update schema_lease set holder = 'dead', expires_ms = $1", [Date.now() + 300]);
  write('0002_create_b.sql', 'create table b (id bigint primary key)');
  assert.deepEqual(await migrate(pool, [dir], systemClock, 'y'), ['0002_create_b']);
});

test('a schema with an unknown newer step is refused with its name', async () => {
  write('0001_create_a.sql', 'create table a (id bigint primary key)');
  await migrate(pool, [dir], systemClock, 'x');
  await pool.query("insert into schema_migrations (version, name, checksum) values (2, '0002_from_the_future', 'x')");
  await assert.rejects(migrate(pool, [dir], systemClock, 'x'), /0002_from_the_future.*newer version/);
});

test('a changed file of an applied step is refused with its name', async () => {
  write('0001_create_a.sql', 'create table a (id bigint primary key)');
  await migrate(pool, [dir], systemClock, 'x');
  write('0001_create_a.sql', 'create table a (id bigint primary key, note text)');
  await assert.rejects(migrate(pool, [dir], systemClock, 'x'), /0001_create_a was applied with another text/);
  write('0001_create_a.sql', 'create table a (id bigint primary key);\r\n');
  assert.deepEqual(await migrate(pool, [dir], systemClock, 'x'), []);
});

test('a step that fails leaves nothing behind and names itself', async () => {
  write('0001_create_a.sql', 'create table a (id bigint primary key)');
  write('0002_wrong.sql', 'create table b (id nonsense)');
  await assert.rejects(migrate(pool, [dir], systemClock, 'x'), /0002_wrong failed: type "nonsense"/);
  assert.deepEqual(await tables(), ['a', 'schema_lease', 'schema_migrations']);
  write('0002_wrong.sql', 'create table b (id bigint primary key)');
  assert.deepEqual(await migrate(pool, [dir], systemClock, 'y'), ['0002_wrong']);
});

test('gaps, doubles and strange names are refused', async () => {
  write('0001_create_a.sql', 'select 1');
  write('0003_create_c.sql', 'select 1');
  await assert.rejects(migrate(pool, [dir], systemClock, 'x'), /0003_create_c is at place 2/);
  write('0001_again.sql', 'select 1');
  await assert.rejects(migrate(pool, [dir], systemClock, 'x'), /is at place 2/);
  write('notes.sql', 'select 1');
  await assert.rejects(migrate(pool, [dir], systemClock, 'x'), /notes.sql is not named/);
});

test('a lease has one holder, is renewed under its term and passes on with a higher one', async () => {
  await createLeases();
  const clock = new ManualClock(startMs);
  const a = new Leases({ pool, clock, holder: 'a' });
  const b = new Leases({ pool, clock, holder: 'b' });
  assert.deepEqual(await a.tryHold('sweep', 1_000), { term: 1n, expiresMs: startMs + 1_000, takenAfterMs: 0 });
  assert.equal(await b.tryHold('sweep', 1_000), undefined);
  assert.equal((await b.tryHold('other', 1_000))?.term, 1n);
  clock.advance(900);
  assert.equal((await a.tryHold('sweep', 1_000))?.term, 1n);
  clock.advance(999);
  assert.equal(await b.tryHold('sweep', 1_000), undefined);
  clock.advance(1);
  assert.deepEqual(await b.tryHold('sweep', 1_000), { term: 2n, expiresMs: startMs + 2_900, takenAfterMs: startMs + 1_900 });
  assert.equal(await a.tryHold('sweep', 1_000), undefined);
  await a.release('sweep');
  assert.equal(await a.tryHold('sweep', 1_000), undefined);
  await b.release('sweep');
  assert.equal((await a.tryHold('sweep', 1_000))?.term, 3n);
});

test('of many that take an ended lease at once one gets it', async () => {
  await createLeases();
  const clock = new ManualClock(startMs);
  const all = Array.from({ length: 8 }, (_, i) => new Leases({ pool, clock, holder: `node-${i}` }));
  for (let round = 0; round < 5; round++) {
    const held = await Promise.all(all.map((each) => each.tryHold('sweep', 100)));
    assert.equal(held.filter((each) => each !== undefined).length, 1);
    clock.advance(100);
  }
});

test('many leases are renewed by one statement, and those that ended or were never taken are taken', async () => {
  await createLeases();
  const clock = new ManualClock(startMs);
  const [a, b] = ['a', 'b'].map((holder) => new Leases({ pool, clock, holder })) as [Leases, Leases];
  const hold = async (by: Leases, names: string[]): Promise<Map<string, Lease | undefined>> => {
    const known = new Map<string, Lease | undefined>();
    await by.holdEach(names, 1_000, (name, lease) => known.set(name, lease));
    return known;
  };
  const fresh = { term: 1n, expiresMs: startMs + 1_000, takenAfterMs: 0 };
  assert.deepEqual(
    await hold(a, ['x', 'y']),
    new Map([
      ['x', fresh],
      ['y', fresh],
    ]),
  );
  assert.deepEqual(
    await hold(b, ['x', 'z']),
    new Map([
      ['x', undefined],
      ['z', fresh],
    ] as const),
  );
  clock.advance(500);
  const renewed = { term: 1n, expiresMs: startMs + 1_500, takenAfterMs: 0 };
  assert.deepEqual(await hold(a, ['x']), new Map([['x', renewed]]));
  clock.advance(700);
  // Of all that there are, one is another's, one ended, and one is one's own.
  const later = { expiresMs: startMs + 2_200 };
  assert.deepEqual(
    await hold(b, ['x', 'y', 'z']),
    new Map<string, Lease | undefined>([
      ['z', { ...later, term: 1n, takenAfterMs: 0 }],
      ['x', undefined],
      ['y', { ...later, term: 2n, takenAfterMs: startMs + 1_000 }],
    ]),
  );
});

test('a lease written by a clock far ahead does not stay for ever', async () => {
  await createLeases();
  const ahead = new Leases({ pool, clock: new ManualClock(startMs + 86_400_000), holder: 'ahead' });
  assert.equal((await ahead.tryHold('sweep', 1_000))?.term, 1n);
  const right = new Leases({ pool, clock: new ManualClock(startMs), holder: 'right' });
  assert.equal((await right.tryHold('sweep', 1_000))?.term, 2n);
});

test('each life of a process has its own node number, and a number is given again only after its end', async () => {
  await createLeases();
  const clock = new ManualClock(startMs);
  const take = (holder: string): Promise<NodeNumber> =>
    NodeNumber.take({ leases: new Leases({ pool, clock, holder }), clock, log: silentLog() });
  const first = await take('a-1');
  const second = await take('a-2');
  assert.deepEqual([first.number, second.number], [0, 1]);
  await first[Symbol.asyncDispose]();
  const third = await take('a-3');
  assert.equal(third.number, 2);
  await second[Symbol.asyncDispose]();
  clock.advance(60_000);
  const fourth = await take('a-4');
  assert.deepEqual([fourth.number, fourth.notBeforeMs, fourth.leaseEndsMs()], [0, startMs + 60_000, startMs + 120_000]);
  await third[Symbol.asyncDispose]();
  await fourth[Symbol.asyncDispose]();
  assert.equal(clock.waiting, 0);
});

test('the number of a process whose clock is far ahead is left to it', async () => {
  await createLeases();
  const log = silentLog();
  const ahead = new ManualClock(startMs + 86_400_000);
  const right = new ManualClock(startMs);
  const first = await NodeNumber.take({ leases: new Leases({ pool, clock: ahead, holder: 'ahead' }), clock: ahead, log });
  const second = await NodeNumber.take({ leases: new Leases({ pool, clock: right, holder: 'right' }), clock: right, log });
  assert.deepEqual([first.number, second.number], [0, 1]);
  await first[Symbol.asyncDispose]();
  await second[Symbol.asyncDispose]();
});

test('a node number is renewed by its process and never shortened by a clock that stepped back', async () => {
  await createLeases();
  const clock = new ManualClock(startMs);
  const log = silentLog();
  const number = await NodeNumber.take({ leases: new Leases({ pool, clock, holder: 'a' }), clock, log });
  const endInSql = async (): Promise<bigint> => (await pool.query('select expires_ms from leases')).rows[0].expires_ms;
  clock.advance(20_000);
  await number.renewed();
  assert.equal(number.leaseEndsMs(), startMs + 80_000);
  assert.equal(await endInSql(), BigInt(startMs + 80_000));
  clock.step(-50_000);
  clock.advance(20_000);
  await number.renewed();
  assert.equal(number.leaseEndsMs(), startMs + 80_000);
  assert.equal(await endInSql(), BigInt(startMs + 80_000));
  await number[Symbol.asyncDispose]();
});

test('the thirty-third process gets not_ready instead of a number', async () => {
  await createLeases();
  const clock = new ManualClock(startMs);
  const take = (i: number): Promise<NodeNumber> =>
    NodeNumber.take({ leases: new Leases({ pool, clock, holder: `p-${i}` }), clock, log: silentLog() });
  const held: NodeNumber[] = [];
  for (let i = 0; i < 32; i++) held.push(await take(i));
  await assert.rejects(take(32), { code: 'not_ready' });
  for (const each of held) await each[Symbol.asyncDispose]();
});
