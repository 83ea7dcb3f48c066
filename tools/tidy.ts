// Applies the tidy rules to the tree.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './root.ts';
import { type Finding, findings, type SourceFile } from './tidy-rules.ts';

/** Files that may break one rule. This list only shrinks: an entry that is no longer needed fails the check as well. */
const exceptions: readonly { readonly path: string; readonly rule: string; readonly why: string }[] = [];

const skippedFolders = new Set(['node_modules', '.git', 'gen', 'results', '.idea', '.vscode']);
const readable = /\.(ts|tsx|mts|mjs|js|json|jsonc|sql|proto|md|ya?ml|sh|go|tf)$|^(run|Dockerfile)$/;

function* filesUnder(folder: string): Generator<SourceFile> {
  const entries = readdirSync(join(root, folder), { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of entries) {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory() && !skippedFolders.has(entry.name)) yield* filesUnder(path);
    if (entry.isFile() && readable.test(entry.name)) yield { path, text: readFileSync(join(root, path), 'utf8') };
  }
}

const isExcepted = (finding: Finding): boolean => exceptions.some(({ path, rule }) => path === finding.path && rule === finding.rule);

const found = findings([...filesUnder('')]);
const broken = found.filter((finding) => !isExcepted(finding));
const stale = exceptions.filter(({ path, rule }) => !found.some((finding) => finding.path === path && finding.rule === rule));

for (const { path, line, rule, text } of broken) console.error(`${path}${line > 0 ? `:${line}` : ''}  ${rule}: ${text}`);
for (const { path, rule } of stale) console.error(`tools/tidy.ts  the exception of ${path} from "${rule}" is no longer needed: delete it`);
if (broken.length + stale.length > 0) process.exitCode = 1;
