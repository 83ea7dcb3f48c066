// An outbox in one file, for Node: a line of JSON per event, appended and flushed; what comes during a flush shares the next.

import { type FileHandle, mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';

import { clientLimits as limits } from './limits.ts';
import type { OutboxStore, StoredAppend } from './outbox-store.ts';

type Line = { readonly put: StoredAppend } | { readonly remove: string };

/** The file (mode 0600) and its folder are made when needed. One process at a time. */
export function fileOutbox(path: string): OutboxStore {
  return new FileOutbox(path);
}

class FileOutbox implements OutboxStore {
  readonly #path: string;
  #file: FileHandle | undefined;
  #lines: string[] = [];
  #mustSync = false;
  #flushing: Promise<void> | undefined;
  #deadLines = 0;
  readonly #live = new Map<string, StoredAppend>();

  constructor(path: string) {
    this.#path = path;
  }

  async load(): Promise<StoredAppend[]> {
    await mkdir(dirname(this.#path), { recursive: true });
    for (const line of linesOf(await readOrNothing(this.#path))) {
      if ('put' in line) this.#live.set(line.put.id, line.put);
      else this.#live.delete(line.remove);
    }
    await this.#rewrite();
    return [...this.#live.values()];
  }

  put(append: StoredAppend): Promise<void> {
    this.#live.set(append.id, append);
    this.#lines.push(`${JSON.stringify({ put: append } satisfies Line)}\n`);
    this.#mustSync = true;
    return this.#flush();
  }

  remove(id: string): Promise<void> {
    if (!this.#live.delete(id)) return Promise.resolve();
    this.#deadLines += 2;
    this.#lines.push(`${JSON.stringify({ remove: id } satisfies Line)}\n`);
    return this.#flush();
  }

  async close(): Promise<void> {
    await this.#flushing;
    await this.#file?.close();
    this.#file = undefined;
  }

  /** Resolves when everything queued so far is written. At most one more flush waits behind the one under way. */
  #flush(): Promise<void> {
    this.#flushing = (this.#flushing ?? Promise.resolve()).then(
      () => this.#writeLines(),
      () => this.#writeLines(),
    );
    return this.#flushing;
  }

  async #writeLines(): Promise<void> {
    if (this.#lines.length === 0) return;
    if (this.#deadLines > limits.outboxDeadLinesMax) {
      this.#lines = [];
      await this.#rewrite();
      return;
    }
    if (this.#file === undefined) throw new Error('the outbox file is not open');
    const text = this.#lines.join('');
    const sync = this.#mustSync;
    this.#lines = [];
    this.#mustSync = false;
    try {
      await this.#file.appendFile(text);
      // A removal that a crash forgets only makes an entry be sent again under its id.
      if (sync) await this.#file.datasync();
    } catch (error) {
      // Half of it may be written: it goes again, on a line of its own, with whatever is put next.
      this.#lines.unshift('\n', text);
      this.#mustSync ||= sync;
      throw error;
    }
  }

  /** Written beside and renamed, so a crash leaves the old file or the new one. */
  async #rewrite(): Promise<void> {
    const fresh = `${this.#path}.new`;
    const file = await open(fresh, 'w', 0o600);
    try {
      await file.writeFile([...this.#live.values()].map((put) => `${JSON.stringify({ put } satisfies Line)}\n`).join(''));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(fresh, this.#path);
    await syncFolder(dirname(this.#path));
    await this.#file?.close();
    this.#file = await open(this.#path, 'a', 0o600);
    this.#deadLines = 0;
    this.#mustSync = false;
  }
}

async function readOrNothing(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}

/** A crash can tear only the last line: it was never promised. */
function linesOf(text: string): Line[] {
  return text.split('\n').flatMap((line) => {
    try {
      return line === '' ? [] : [JSON.parse(line) as Line];
    } catch {
      return [];
    }
  });
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
