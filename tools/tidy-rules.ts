// What no other tool checks. Each rule sees one file as text and says what is wrong with it.
import { basename } from 'node:path';

export interface SourceFile {
  /** From the root, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

export interface Finding {
  readonly rule: string;
  readonly path: string;
  /** 0 where the whole file is meant. */
  readonly line: number;
  readonly text: string;
}

interface Rule {
  readonly name: string;
  readonly on: (path: string) => boolean;
  readonly find: (file: SourceFile) => readonly (readonly [line: number, text: string])[];
}

const codeLinesMax = 350;
const testLinesMax = 500;
const readmeLinesMax = 40;
const architectureLinesMax = 300;

const isCode = (path: string): boolean => /\.(ts|tsx|mts|mjs|js)$/.test(path);
const isTest = (path: string): boolean => /\.test\.ts$/.test(path) || path.startsWith('tests/');
const isRoomReadme = (path: string): boolean => /\/README\.md$/.test(path) && !path.startsWith('docs/');

/** Names that hide a missing noun. */
const emptyNames = new Set('utils util helpers helper common lib shared types misc core manager index base stuff'.split(' '));

/** One statement, ended or not by a semicolon; comments, strings and quoted bodies do not count. */
function statementCount(sql: string): number {
  const bare = sql.replaceAll(/--[^\n]*|\/\*[\s\S]*?\*\/|'(?:[^']|'')*'|"[^"]*"|(\$\w*\$)[\s\S]*?\1/g, ' ');
  return bare.split(';').filter((part) => part.trim() !== '').length;
}

const linesOf = (text: string): string[] => text.replace(/\n$/, '').split('\n');
const isComment = (line: string): boolean => /^\s*(\/\/|\/?\*)/.test(line);

function atMost(max: number): Rule['find'] {
  return ({ text }) => {
    const count = linesOf(text).length;
    return count > max ? [[0, `${count} lines; ${max} is the limit`]] : [];
  };
}

function eachLine(pattern: RegExp, say: string, skipComments = false): Rule['find'] {
  return ({ text }) =>
    linesOf(text).flatMap((line, index) => (pattern.test(line) && !(skipComments && isComment(line)) ? [[index + 1, say] as const] : []));
}

const rules: readonly Rule[] = [
  { name: 'size', on: (path) => isCode(path) && !isTest(path), find: atMost(codeLinesMax) },
  { name: 'size', on: (path) => isCode(path) && isTest(path), find: atMost(testLinesMax) },
  { name: 'size', on: isRoomReadme, find: atMost(readmeLinesMax) },
  { name: 'size', on: (path) => path === 'ARCHITECTURE.md', find: atMost(architectureLinesMax) },
  {
    name: 'name',
    on: isCode,
    find: ({ path }) => {
      const folders = path.split('/').slice(0, -1);
      const file = basename(path).replace(/(\.test)?\.\w+$/, '');
      return [...folders, file].filter((part) => emptyNames.has(part)).map((part) => [0, `"${part}" hides a missing noun`] as const);
    },
  },
  {
    name: 'sql',
    on: (path) => path.endsWith('.sql'),
    find: ({ path, text }) => {
      const named = /^\d{4}_[a-z0-9_]+\.sql$/.test(basename(path)) ? [] : [[0, 'migrations are called 0007_add_move_epoch.sql'] as const];
      const count = statementCount(text);
      return count === 1 ? named : [...named, [0, `${count} statements; a file holds one`] as const];
    },
  },
  {
    name: 'subject',
    on: (path) => isCode(path) && path !== 'proto/subjects.ts',
    find: eachLine(
      /['"`](?:wf\.|cell\.(?:push|jobs)|XIN_|JOBS_|_INBOX\b)/,
      'subjects and streams are built in proto/subjects.ts only',
      true,
    ),
  },
  {
    name: 'environment',
    on: (path) => isCode(path) && !/(^|\/)main\.ts$|^(tools|bin|bench)\/|^local\/(up|defaults|fetch-servers|processes)\.ts$/.test(path),
    find: eachLine(/\bprocess\.env\b/, 'the environment is read in main.ts only', true),
  },
  {
    name: 'virtual time',
    on: (path) => /^tests\/simulation\//.test(path) && !/\/(real-world|simulated-time|main|run-seeds|jobs)\.ts$/.test(path),
    find: eachLine(
      /\b(?:Date\.now|new Date\b|Math\.random|performance\.|setTimeout|setInterval|setImmediate|process\.hrtime|randomBytes|randomUUID)|from '(?:node:)?(?:timers|net|http|dgram|dns|ws)\b/,
      'inside a simulation time and chance are arguments',
      true,
    ),
  },
  {
    name: 'moved key',
    on: (path) => isCode(path) && !isTest(path),
    find: ({ text }) =>
      [...text.matchAll(/([\w.#]+)\.delete\((\S+)\);\n(?:(?!.*\b(?:if|else)\b|.*=>|\s*\}).*\n){0,2}\s*\1\.set\(\2,/g)].map(({ index }) => [
        text.slice(0, index).split('\n').length,
        'a key moved to the end of a Map leaves a hole in its bucket, and every look-up of it walks through them: LruMap of toad-cache',
      ]),
  },
  { name: 'place', on: () => true, find: eachLine(/\.\.\/shared\b|\/work\/(?:main|shared|plan)\b/, 'a path of one machine') },
  {
    name: 'registry',
    on: () => true,
    find: eachLine(
      /\bregistry\.(?:npmjs|yarnpkg|npmmirror)\b|\bpypi\.org\b|\bpythonhosted\b|\bproxy\.golang\.org\b|"resolved": "https?:/,
      'a registry is chosen by the machine, not by the tree',
    ),
  },
  { name: 'unfinished', on: () => true, find: eachLine(/\b(?:TO[D]O|FIX[M]E)\b/, 'finish it, or open an issue') },
];

/** What the rules find in the files, in the order of the files. */
export function findings(files: readonly SourceFile[]): readonly Finding[] {
  return files.flatMap((file) =>
    rules
      .filter((rule) => rule.on(file.path))
      .flatMap((rule) => rule.find(file).map(([line, text]) => ({ rule: rule.name, path: file.path, line, text }))),
  );
}
