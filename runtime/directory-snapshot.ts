// A replica's records on disk, so that a process starts and goes on while the directory is away.
//
// File: one line of JSON {format, key, bytes, sha256}, then a ChangeList in protobuf. `key` names the pinned directory key: the file of
// another installation is not ours. The file is replaced whole: written beside, synced, renamed, folder synced.
import { createHash } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { type Change, ChangeList } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import { z } from 'zod';
import { directoryLimits as limits } from './directory-limits.ts';
import type { DirectoryRecords } from './directory-records.ts';

const headerShape = z.object({ format: z.literal(1), key: z.string(), bytes: z.number().int().min(0), sha256: z.string() });

export type SnapshotRead =
  | { readonly kind: 'read'; readonly list: ChangeList }
  | { readonly kind: 'none' }
  | { readonly kind: 'unusable'; readonly reason: string };

export class DirectorySnapshot {
  readonly #path: string;
  readonly #key: string;

  /** `publicKey`: the 32 raw bytes that are pinned. */
  constructor(path: string, publicKey: Uint8Array) {
    this.#path = path;
    this.#key = createHash('sha256').update(publicKey).digest('base64url');
  }

  /** Never rejects: whatever is wrong with the file, the records can be pulled anew. */
  async read(): Promise<SnapshotRead> {
    try {
      if ((await stat(this.#path)).size > limits.snapshotBytesMax) return { kind: 'unusable', reason: 'the file is too large' };
      return this.#parse(await readFile(this.#path));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { kind: 'none' };
      return { kind: 'unusable', reason: (error as Error).message };
    }
  }

  #parse(file: Buffer): SnapshotRead {
    const end = file.indexOf(0x0a);
    if (end < 0) return { kind: 'unusable', reason: 'the file has no header' };
    const header = headerShape.parse(JSON.parse(file.toString('utf8', 0, end)));
    const body = file.subarray(end + 1);
    if (header.key !== this.#key) return { kind: 'unusable', reason: 'the file belongs to another directory key' };
    if (body.length !== header.bytes) return { kind: 'unusable', reason: `${body.length} bytes instead of ${header.bytes}` };
    if (createHash('sha256').update(body).digest('hex') !== header.sha256) return { kind: 'unusable', reason: 'the checksum is wrong' };
    return { kind: 'read', list: ChangeList.decode(body) };
  }

  /** Replaces the file. Calls must not overlap. Rejects when the disk does not take it; the file before is then untouched. */
  async write(records: DirectoryRecords): Promise<void> {
    const parts = await encode(records);
    const sha256 = createHash('sha256');
    let bytes = 0;
    for (const part of parts) {
      sha256.update(part);
      bytes += part.length;
    }
    const header = JSON.stringify({ format: 1, key: this.#key, bytes, sha256: sha256.digest('hex') });
    const beside = `${this.#path}.tmp`;
    await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
    try {
      const file = await open(beside, 'w', 0o600);
      try {
        // Each writes on from where the one before ended.
        await file.writeFile(`${header}\n`);
        for (const part of parts) await file.writeFile(part);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(beside, this.#path);
    } catch (error) {
      await rm(beside, { force: true });
      throw error;
    }
    await syncFolder(dirname(this.#path));
  }
}

/** Slices of one ChangeList: protobuf joins the repeated fields of concatenated messages. */
async function encode(records: DirectoryRecords): Promise<Uint8Array[]> {
  // Positions first: records that arrive between two slices may be in the file too, and are merged again after a start.
  const cells = records.cells().map((value): Change => ({ shard: 0, n: 0n, what: { $case: 'cell', value } }));
  const takeovers = records.takeovers().map((value): Change => ({ shard: 0, n: 0n, what: { $case: 'takeover', value } }));
  const parts = [ChangeList.encode({ changes: [...cells, ...takeovers], positions: records.positions(), sentAt: 0n }).finish()];
  let slice: Change[] = [];
  for (const value of records.users()) {
    slice.push({ shard: 0, n: 0n, what: { $case: 'user', value } });
    if (slice.length < limits.snapshotSliceRecords) continue;
    parts.push(ChangeList.encode({ changes: slice, positions: [], sentAt: 0n }).finish());
    slice = [];
    await turn();
  }
  parts.push(ChangeList.encode({ changes: slice, positions: [], sentAt: 0n }).finish());
  return parts;
}

async function syncFolder(dir: string): Promise<void> {
  const folder = await open(dir, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
