import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findings } from './tidy-rules.ts';

const broken = (path: string, text: string): readonly string[] => findings([{ path, text }]).map(({ rule, line }) => `${rule}:${line}`);
const lines = (count: number): string => 'x\n'.repeat(count);

test('a file of 350 lines passes and one more line fails', () => {
  assert.deepEqual(broken('cells/store/entries-table.ts', lines(350)), []);
  assert.deepEqual(broken('cells/store/entries-table.ts', lines(351)), ['size:0']);
});

test('a test may have 500 lines and a README of a room 40', () => {
  assert.deepEqual(broken('tests/direct.test.ts', lines(500)), []);
  assert.deepEqual(broken('tests/direct.test.ts', lines(501)), ['size:0']);
  assert.deepEqual(broken('cells/README.md', lines(41)), ['size:0']);
});

test('a name that hides a noun fails, as a file and as a folder', () => {
  assert.deepEqual(broken('cells/utils.ts', ''), ['name:0']);
  assert.deepEqual(broken('cells/helpers/one.ts', ''), ['name:0']);
  assert.deepEqual(broken('cells/index.test.ts', ''), ['name:0']);
});

test('a migration is numbered and holds one statement', () => {
  const path = 'cells/store/migrations/0001_logs.sql';
  assert.deepEqual(broken(path, "-- a; b\ncreate table logs (name text default ';');\n"), []);
  assert.deepEqual(broken(path, 'create table a (b int8); create table c (d int8);'), ['sql:0']);
  assert.deepEqual(broken(path, '-- nothing'), ['sql:0']);
  assert.deepEqual(broken('cells/store/migrations/logs.sql', 'select 1'), ['sql:0']);
});

test('a subject is a literal in one file only, and comments may name it', () => {
  const literal = `const a = ${"'w"}f.x.eu-1.e';`;
  assert.deepEqual(broken('cells/link/relay.ts', literal), ['subject:1']);
  assert.deepEqual(broken('proto/subjects.ts', literal), []);
  assert.deepEqual(broken('cells/link/relay.ts', `// ${literal}`), []);
});

test('the environment is read in main.ts only', () => {
  assert.deepEqual(broken('cells/cells.ts', 'const a = 1;\nprocess.env.HOME;'), ['environment:2']);
  assert.deepEqual(broken('cells/main.ts', 'process.env.HOME;'), []);
});

test('the order of use is not kept by moving keys within a Map', () => {
  assert.deepEqual(broken('cells/a.ts', 'const a = 1;\nthis.#logs.delete(log);\n    this.#logs.set(log, kept);'), ['moved key:2']);
  const between = 'if (found) this.#logs.delete(log);\nconst kept = found ?? { first: 1 };\nthis.#logs.set(log, kept);';
  assert.deepEqual(broken('cells/a.ts', between), ['moved key:1']);
  assert.deepEqual(
    broken('cells/a.ts', 'if (left) this.#logs.set(log, left);\nelse this.#logs.delete(log);\n}\nthis.#logs.set(log, 1);'),
    [],
  );
  assert.deepEqual(broken('cells/a.ts', 'this.#logs.delete(log);\nthis.#logs.set(other, kept);'), []);
});

test('paths of one machine, registries and unfinished work fail anywhere', () => {
  assert.deepEqual(broken('docs/adr/0001.md', ['see ..', 'shared', 'a.md'].join('/')), ['place:1']);
  assert.deepEqual(broken('README.md', `https://registry.${'npmjs'}.org`), ['registry:1']);
  assert.deepEqual(broken('cells/a.ts', `// ${'TO'}${'DO'}: later`), ['unfinished:1']);
});

test('inside of the simulator nobody has a clock, timers or chance of their own', () => {
  const path = 'tests/simulation/world.ts';
  assert.deepEqual(broken(path, 'const a = Date.now();'), ['virtual time:1']);
  assert.deepEqual(broken(path, 'const a = Math.random();\nsetTimeout(() => undefined);'), ['virtual time:1', 'virtual time:2']);
  assert.deepEqual(broken(path, "import net from 'node:net';"), ['virtual time:1']);
  assert.deepEqual(broken('tests/simulation/real-world.ts', 'Date.now();'), []);
});
