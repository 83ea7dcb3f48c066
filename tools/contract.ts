// Guards of the wire contract: the generated code is what the .proto files say, and nothing in them breaks an older peer.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from './root.ts';
import { type Result, run } from './run.ts';

async function inTemporaryFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'weft-contract-'));
  try {
    return await use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function textsUnder(folder: string): Map<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = files.map((entry) => join(entry.parentPath, entry.name));
  return new Map(paths.map((path) => [path.slice(folder.length + 1), readFileSync(path, 'utf8')]));
}

/** Generates anew beside the tree and compares; the tree stays as it is. */
export async function generatedIsCurrent(): Promise<Result> {
  return inTemporaryFolder(async (folder) => {
    const generated = await run('buf', ['generate', '--output', folder]);
    if (!generated.ok) return generated;
    const fresh = textsUnder(join(folder, 'proto', 'gen'));
    const present = textsUnder(join(root, 'proto', 'gen'));
    const paths = new Set([...fresh.keys(), ...present.keys()]);
    const differing = [...paths].filter((path) => fresh.get(path) !== present.get(path)).sort();
    const lines = differing.map((path) => `proto/gen/${path} is not what the .proto files give; run \`npm run generate\``);
    return { ok: differing.length === 0, output: lines.join('\n') };
  });
}

/** The newest release, else main as others see it, else ours; undefined where none of them has a contract. */
async function baseline(): Promise<string | undefined> {
  const tags = await run('git', ['tag', '--list', 'v*', '--merged', 'HEAD', '--sort=-version:refname']);
  const newest = tags.ok ? tags.output.split('\n', 1).filter((tag) => tag !== '') : [];
  for (const ref of [...newest, 'origin/main', 'main']) {
    const has = await run('git', ['cat-file', '-e', `${ref}:proto/weft`]);
    if (has.ok) return ref;
  }
  return undefined;
}

/** Compares the contract with the newest one that others may already speak. `skipped` says why nothing could be compared. */
export async function contractIsCompatible(): Promise<Result & { readonly skipped?: string }> {
  const ref = await baseline();
  if (ref === undefined) return { ok: true, output: '', skipped: 'no release and no main with proto/ in this clone' };
  return inTemporaryFolder(async (folder) => {
    const archive = join(folder, 'baseline.tar');
    const packed = await run('git', ['archive', '--format=tar', '--output', archive, ref, 'proto/weft', 'buf.yaml']);
    if (!packed.ok) return packed;
    const compared = await run('buf', ['breaking', '--against', archive]);
    return compared.ok ? compared : { ok: false, output: `against ${ref}:\n${compared.output}` };
  });
}
