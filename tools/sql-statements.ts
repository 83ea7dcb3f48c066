// Every SQL statement of the product as JSON on standard output: the migrations, and what the code's literals say. Fails where
// it cannot tell what a query runs, so that none is missed.
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { root } from './root.ts';

interface Statement {
  /** Where it stands. */
  readonly name: string;
  readonly sql: string;
}

const rooms = ['runtime', 'cells', 'control-plane', 'router'];
const begins =
  /^\s*(?:(?:select|with|insert\s+into|update|delete\s+from|merge\s+into|truncate|create|alter|drop|set\s+(?:local|session)|declare|fetch|lock|listen|notify)\s+[\w("*]|(?:begin|commit|rollback)\s*$)/i;
/** Queries whose text is not in the code. */
const elsewhere: readonly { readonly path: string; readonly text: string; readonly why: string }[] = [
  { path: 'runtime/migrate.ts', text: 'step.statement', why: 'the text of a migration' },
  { path: 'runtime/sql-batch.ts', text: 'new Batch(waiting) as unknown', why: 'statements that its callers pass on' },
];

class SourceStatements {
  readonly statements: Statement[] = [];
  readonly problems: string[] = [];
  readonly #path: string;
  readonly #source: ts.SourceFile;
  readonly #constants = new Map<string, ts.Expression>();
  readonly #found = new Set<string>();

  constructor(path: string) {
    this.#path = path;
    this.#source = ts.createSourceFile(path, readFileSync(join(root, path), 'utf8'), ts.ScriptTarget.ESNext, true);
    for (const statement of this.#source.statements) {
      if (!ts.isVariableStatement(statement)) continue;
      for (const { name, initializer } of statement.declarationList.declarations)
        if (ts.isIdentifier(name) && initializer) this.#constants.set(name.text, initializer);
    }
    this.#visit(this.#source, (node) => this.#collect(node));
    this.#visit(this.#source, (node) => this.#checkQuery(node));
  }

  #visit(node: ts.Node, look: (node: ts.Node) => void): void {
    look(node);
    ts.forEachChild(node, (child) => this.#visit(child, look));
  }

  #collect(node: ts.Node): void {
    if (!ts.isStringLiteralLike(node) && !ts.isTemplateExpression(node)) return;
    const sql = this.#textOf(node);
    if (sql === undefined || !begins.test(sql)) return;
    this.#found.add(sql);
    this.statements.push({ name: this.#place(node), sql: sql.trim() });
  }

  /** What a query runs must be a statement that was collected, or something its caller passes on. */
  #checkQuery(node: ts.Node): void {
    if (!ts.isCallExpression(node)) return;
    const called = ts.isPropertyAccessExpression(node.expression) ? node.expression.name : node.expression;
    const given = node.arguments[0];
    if (!given || !ts.isIdentifier(called) || !/^#?query$/.test(called.text)) return;
    const bare = ts.isAsExpression(given) ? given.expression : given;
    const text = ts.isObjectLiteralExpression(bare) ? propertyOf(bare, 'text') : bare;
    if (text && ts.isIdentifier(text) && !this.#constants.has(text.text) && isParameter(text)) return;
    const sql = text && this.#textOf(text);
    if (sql !== undefined && this.#found.has(sql)) return;
    const words = text?.getText(this.#source) ?? '';
    if (elsewhere.some((each) => each.path === this.#path && each.text === words)) return;
    this.problems.push(`${this.#place(node)}: cannot tell which statement this query runs: ${words}`);
  }

  /** The text of a literal, or of a constant of this file. A number out of a table of limits stands as 1. */
  #textOf(node: ts.Expression): string | undefined {
    if (ts.isStringLiteralLike(node)) return node.text;
    if (ts.isIdentifier(node)) {
      const constant = this.#constants.get(node.text);
      return constant && this.#textOf(constant);
    }
    if (!ts.isTemplateExpression(node)) return undefined;
    const parts = node.templateSpans.map(({ expression, literal }) => {
      const value = ts.isPropertyAccessExpression(expression) ? '1' : this.#textOf(expression);
      return value === undefined ? undefined : value + literal.text;
    });
    return parts.includes(undefined) ? undefined : node.head.text + parts.join('');
  }

  #place(node: ts.Node): string {
    return `${this.#path}:${this.#source.getLineAndCharacterOfPosition(node.getStart(this.#source)).line + 1}`;
  }
}

function propertyOf(object: ts.ObjectLiteralExpression, name: string): ts.Expression | undefined {
  for (const property of object.properties)
    if (ts.isPropertyAssignment(property) && property.name.getText() === name) return property.initializer;
  return undefined;
}

function isParameter(name: ts.Identifier): boolean {
  for (let node: ts.Node = name; node.parent; node = node.parent)
    if (ts.isFunctionLike(node.parent) && node.parent.parameters.some((each) => each.name.getText() === name.text)) return true;
  return false;
}

const exclude = ['**/node_modules', '**/gen'];
const filesOf = (pattern: string): string[] =>
  globSync(
    rooms.map((room) => `${room}/**/${pattern}`),
    { cwd: root, exclude },
  )
    .map((path) => path.replaceAll('\\', '/'))
    .sort();

const migrations = filesOf('*.sql').map((path): Statement => ({ name: path, sql: readFileSync(join(root, path), 'utf8').trim() }));
const sources = filesOf('*.ts')
  .filter((path) => !path.endsWith('.test.ts'))
  .map((path) => new SourceStatements(path));
const problems = sources.flatMap((source) => source.problems);
for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exitCode = 1;
console.log(JSON.stringify([...migrations, ...sources.flatMap((source) => source.statements)], null, 1));
