// Small JSON files of the data folder: replaced as a whole, readable by their owner only.
import { randomBytes } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';

/** The file's value; undefined when there is none. */
export function readJson<T>(file: string): T | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as T;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new Error(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/** Written beside and renamed: a reader sees the old value or the new one, and a killed writer leaves the old one. */
export function writeJson(file: string, value: unknown): void {
  const fresh = `${file}.${process.pid}-${randomBytes(3).toString('hex')}`;
  writeFileSync(fresh, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 });
  renameSync(fresh, file);
}
