// Schema changes: numbered plain files, forward only, one statement each, so that both engines can run them (CockroachDB's DDL does not roll
// back with its transaction, and several statements of one file could be left half done).
//
// One node migrates: it holds a lease row. The lease only keeps others from trying at once; what makes a step happen once is its row in
// schema_migrations, inserted in the step's own transaction before the statement.
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';
import type { Clock } from './clock.ts';
import { runtimeLimits as limits } from './limits.ts';
import { systemRandom } from './random.ts';
import { retry } from './retry.ts';
import { inTransaction, sqlState } from './sql.ts';

const createMigrations = `
create table if not exists schema_migrations (
  version bigint primary key,
  name text not null,
  checksum text not null
)`;

const createLease = `
create table if not exists schema_lease (
  name text primary key,
  holder text not null,
  expires_ms bigint not null
)`;

const readApplied = `
select version, name, checksum
from schema_migrations
order by version`;

const insertApplied = `
insert into schema_migrations (version, name, checksum)
values ($1, $2, $3)`;

const holdLease = `
insert into schema_lease (name, holder, expires_ms)
values ('migrate', $1, $2)
on conflict (name) do update set holder = excluded.holder, expires_ms = excluded.expires_ms
where schema_lease.holder = excluded.holder or schema_lease.expires_ms <= $3
returning holder`;

const freeLease = `
update schema_lease set expires_ms = 0
where name = 'migrate' and holder = $1`;

/** The schema cannot be brought to what this program knows; the message says what to do. */
class SchemaError extends Error {
  override readonly name = 'SchemaError';
}

interface Migration {
  readonly version: number;
  readonly name: string;
  readonly checksum: string;
  readonly statement: string;
}

interface Applied {
  readonly version: bigint;
  readonly name: string;
  readonly checksum: string;
}

/**
 * Applies what is missing from the files `NNNN_name.sql` of `dirs`, in order of their numbers; several nodes may do so at once, the others wait.
 * Resolves with the names applied. Rejects with {@link SchemaError} when the files are not numbered 1, 2, 3 …, when the database has a step that is not
 * known here, or when the file of an applied step was changed.
 */
export async function migrate(pool: pg.Pool, dirs: readonly string[], clock: Clock, holder: string): Promise<string[]> {
  const known = await readMigrations(dirs);
  await createIfMissing(pool, clock, createMigrations);
  if (missing(known, await applied(pool)).length === 0) return [];

  await createIfMissing(pool, clock, createLease);
  const endsMs = clock.monotonic() + limits.migrationWaitMsMax;
  while (!(await hold(pool, clock, holder))) {
    await clock.sleep(limits.migrationPollMs);
    if (missing(known, await applied(pool)).length === 0) return [];
    if (clock.monotonic() > endsMs)
      throw new SchemaError(
        `another node has been changing the schema for ${limits.migrationWaitMsMax / 60_000} minutes; look at table schema_lease`,
      );
  }
  try {
    const done: string[] = [];
    for (const step of missing(known, await applied(pool))) {
      await hold(pool, clock, holder);
      if (await apply(pool, step)) done.push(step.name);
    }
    return done;
  } finally {
    await pool.query(freeLease, [holder]);
  }
}

/** The files, in order; refuses gaps and doubles, because two branches may both have added number 7. */
async function readMigrations(dirs: readonly string[]): Promise<Migration[]> {
  const found: Migration[] = [];
  for (const dir of dirs) {
    for (const file of await readdir(dir)) {
      const named = /^(\d{4})_([a-z0-9_]+)\.sql$/.exec(file);
      if (named === null) throw new SchemaError(`${file} is not named NNNN_name.sql`);
      // The checksum must not depend on how the checkout ends its lines.
      const statement = (await readFile(join(dir, file), 'utf8')).replaceAll('\r\n', '\n').trim().replace(/;$/, '');
      found.push({
        version: Number(named[1]),
        name: file.slice(0, -'.sql'.length),
        checksum: createHash('sha256').update(statement).digest('hex'),
        statement,
      });
    }
  }
  found.sort((a, b) => a.version - b.version);
  for (const [i, each] of found.entries()) {
    if (each.version !== i + 1)
      throw new SchemaError(`migrations must be numbered 1, 2, 3 …, each once: ${each.name} is at place ${i + 1}`);
  }
  return found;
}

async function applied(pool: pg.Pool): Promise<Applied[]> {
  return (await pool.query<Applied>(readApplied)).rows;
}

function missing(known: readonly Migration[], done: readonly Applied[]): Migration[] {
  const byVersion = new Map(known.map((each) => [each.version, each]));
  const seen = new Set<number>();
  for (const row of done) {
    const version = Number(row.version);
    seen.add(version);
    const file = byVersion.get(version);
    if (file === undefined) {
      throw new SchemaError(
        `the database has migration ${row.name}, which this version does not know (it knows up to ${known.length}): start a newer version of Weft`,
      );
    }
    if (file.name !== row.name || file.checksum !== row.checksum) {
      throw new SchemaError(
        `migration ${row.name} was applied with another text than ${file.name}.sql has now: undo the change of the file and add a new migration`,
      );
    }
  }
  return known.filter((each) => !seen.has(each.version));
}

async function hold(pool: pg.Pool, clock: Clock, holder: string): Promise<boolean> {
  const now = clock.now();
  return (await pool.query(holdLease, [holder, now + limits.migrationLeaseMs, now])).rowCount === 1;
}

/** False when another node, which believed to hold the lease too, was first. */
async function apply(pool: pg.Pool, step: Migration): Promise<boolean> {
  try {
    await inTransaction(pool, async (client) => {
      await client.query(`set local statement_timeout = ${limits.migrationStatementMsMax}`);
      await client.query(insertApplied, [step.version, step.name, step.checksum]);
      // The pool's patience is shorter than a long index build.
      await client.query({
        text: step.statement,
        query_timeout: limits.migrationStatementMsMax + limits.writeAnswerMsMax,
      } as pg.QueryConfig);
    });
    return true;
  } catch (error) {
    if (
      sqlState(error) === '23505' &&
      missing(
        [step],
        (await applied(pool)).filter((row) => Number(row.version) === step.version),
      ).length === 0
    )
      return false;
    throw new SchemaError(`migration ${step.name} failed: ${(error as Error).message}`, { cause: error });
  }
}

/** Nodes that create the same table at once: PostgreSQL may answer 23505, 42P07 or 42710 in spite of `if not exists`, and again on the next try. */
async function createIfMissing(pool: pg.Pool, clock: Clock, statement: string): Promise<void> {
  await retry(() => pool.query(statement), {
    attempts: limits.migrationCreateAttemptsMax,
    baseMs: limits.transactionBackOffMs,
    capMs: limits.transactionBackOffMsMax,
    clock,
    random: systemRandom,
    isRetryable: (error) => /^(23505|42P07|42710)$/.test(sqlState(error) ?? ''),
  });
}
