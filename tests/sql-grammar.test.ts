// Every SQL statement must stay within what CockroachDB accepts too: its own grammar takes it, and nothing in it is
// accepted there and means something else. The grammar is a Go program, built once and kept in the cache.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { before, test } from 'node:test';
import { promisify } from 'node:util';
import { cacheDirDefault, machineEnvironment } from '@weft/local/defaults.ts';

const run = promisify(execFile);
const root = dirname(import.meta.dirname);
const grammarDir = join(root, 'tools', 'sql-grammar');
/** Compiling 620 packages takes two minutes of one core, here without what only a faster or a debugged program needs: half of the time. */
const buildMsMax = 420_000;
const quickBuild = ['-p=1', '-ldflags=-s -w', '-gcflags=all=-N -l -dwarf=false -c=1'];
const outputBytesMax = 16 * 1024 * 1024;

interface Statement {
  readonly name: string;
  readonly sql: string;
}

let statements: readonly Statement[] = [];

before(async () => {
  const { stdout } = await run(process.execPath, ['tools/sql-statements.ts'], { cwd: root, maxBuffer: outputBytesMax });
  statements = JSON.parse(stdout) as Statement[];
});

/** Undefined where there is no Go. */
async function goVersion(): Promise<string | undefined> {
  try {
    return (await run('go', ['version'])).stdout.trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** The program of this source and this compiler, built when it is not in the cache. */
async function grammarProgram(version: string): Promise<string> {
  const hash = createHash('sha256').update(version);
  for (const file of ['go.mod', 'go.sum', 'main.go']) hash.update(readFileSync(join(grammarDir, file)));
  const program = join(cacheDirDefault(), 'sql-grammar', hash.digest('hex').slice(0, 16));
  if (existsSync(program)) return program;
  mkdirSync(dirname(program), { recursive: true });
  const fresh = `${program}.${process.pid}-${randomBytes(4).toString('hex')}`;
  const env = { ...machineEnvironment(), CGO_ENABLED: '0', GOFLAGS: '-mod=readonly -buildvcs=false' };
  const args = ['build', '-trimpath', ...quickBuild, '-o', fresh, '.'];
  await run('go', args, { cwd: grammarDir, env, timeout: buildMsMax, maxBuffer: outputBytesMax });
  // Two test runs may build it at once: whoever is last replaces a whole file by the same.
  renameSync(fresh, program);
  return program;
}

async function refusedBy(program: string, asked: readonly Statement[]): Promise<{ name: string; why: string }[]> {
  const answer = run(program, [], { timeout: 30_000, maxBuffer: outputBytesMax });
  answer.child.stdin?.end(JSON.stringify(asked));
  return JSON.parse((await answer).stdout);
}

test('every statement is one of CockroachDB’s grammar', { timeout: buildMsMax + 20_000 }, async (t) => {
  const version = await goVersion();
  if (version === undefined) return t.skip('there is no Go on PATH to build CockroachDB’s grammar with');
  const program = await grammarProgram(version);
  assert.deepEqual(await refusedBy(program, statements), []);
  const wrong = [
    { name: 'no statement', sql: 'select from where' },
    { name: 'of PostgreSQL alone', sql: 'create table t (id bigint) inherits (u)' },
    { name: 'two', sql: 'select 1; select 2' },
  ];
  assert.deepEqual(
    (await refusedBy(program, [...wrong, { name: 'fine', sql: 'select 1' }])).map(({ name }) => name),
    wrong.map(({ name }) => name),
  );
});

test('no statement of the product is missed', () => {
  const places = new Set(statements.map(({ name }) => name.replace(/:\d+$/, '')));
  for (const file of ['cells/store/entries-table.ts', 'control-plane/store/users-table.ts', 'runtime/lease.ts', 'runtime/migrate.ts'])
    assert(places.has(file), file);
  assert(places.has('cells/store/migrations/0001_create_leases.sql'));
  assert(statements.length >= 150, `${statements.length} statements`);
});

interface HouseRule {
  readonly name: string;
  readonly broken: RegExp;
  /** What breaks it, so that a rule that finds nothing is found. */
  readonly example: string;
}

const houseRules: readonly HouseRule[] = [
  { name: 'advisory locks do nothing there', broken: /\bpg_(try_)?advisory/, example: 'select pg_advisory_lock(1)' },
  { name: 'nobody listens there', broken: /\b(un)?listen\b|\bnotify\b|\bpg_notify\b/, example: 'listen changes' },
  {
    name: 'ids are ours',
    broken: /\b(small|big)?serial\d?\b|\bgenerated\b|\bnextval\b|\bunique_rowid\b/,
    example: 'create table t (id bigserial)',
  },
  {
    name: 'cursors fail there',
    broken: /\bdeclare\b|\bcursor\b|\bfetch\s+(next|forward|first\b(?!\s+\d*\s*rows?))/,
    example: 'declare c cursor for select 1',
  },
  { name: '1/2 is 0.5 there', broken: /\//, example: 'select head / 2 from logs' },
  { name: 'full-text search differs', broken: /\bwebsearch_to_tsquery\b/, example: "select websearch_to_tsquery('a')" },
  { name: 'numbers are bigint or smallint', broken: /\b(int4|int|integer|int2)\b(?!\s*\()/, example: 'create table t (n integer)' },
  {
    name: 'triggers differ',
    broken: /\bcreate\s+(or\s+replace\s+)?(trigger|function|rule)\b/,
    example: 'create trigger t after insert on logs',
  },
  {
    name: 'of storage parameters only the fill factor is taken there',
    broken: /\bwith\s*\((?!\s*fillfactor\s*=\s*\d+\s*\))/,
    example: 'create table t (id bigint) with (autovacuum_vacuum_scale_factor = 0)',
  },
  { name: 'pages go by key', broken: /\boffset\b(?!\s+0\b)/, example: 'select 1 from logs limit 10 offset 10' },
];

/** Without comments, strings and quoted names. */
const bare = (sql: string): string =>
  sql
    .replaceAll(/--[^\n]*|\/\*[\s\S]*?\*\//g, ' ')
    .replaceAll(/'(?:[^']|'')*'|"[^"]*"/g, "''")
    .toLowerCase();

for (const { name, broken, example } of houseRules) {
  test(`house rule of SQL: ${name}`, () => {
    assert.match(bare(example), broken);
    assert.deepEqual(
      statements.filter(({ sql }) => broken.test(bare(sql))).map((each) => each.name),
      [],
    );
  });
}

test('a statement that reads page by page says its order and its limit', () => {
  const limited = statements.filter(({ sql }) => /\blimit\b(?!\s+1\b)/.test(bare(sql)) && /^\s*select\b/.test(bare(sql)));
  const unordered = limited.filter(({ sql }) => !/\border by\b/.test(bare(sql)) && !/\bcount\(/.test(bare(sql)));
  assert.deepEqual(
    unordered.map(({ name }) => name),
    [],
  );
});
