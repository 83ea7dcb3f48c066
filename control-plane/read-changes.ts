// ReadChanges: the log after the positions the asker holds, as a signed page.
import type { Change, ReadChangesRequest, ReadChangesResponse } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import { signChanges } from '@weft/runtime/directory-signature.ts';
import type pg from 'pg';
import { limits } from './limits.ts';
import { takeRows } from './page-changes.ts';
import type { Signer } from './signer.ts';
import { changesTable } from './store/changes-table.ts';
import { shardsTable } from './store/shards-table.ts';

export interface ReadChangesParts {
  readonly pool: pg.Pool;
  readonly signer: Signer;
  /** Unix milliseconds. */
  readonly now: () => number;
}

export async function readChanges({ pool, signer, now }: ReadChangesParts, request: ReadChangesRequest): Promise<ReadChangesResponse> {
  const after = new Map(request.after.map(({ shard, n }) => [shard, n]));
  // Positions before changes: whoever sees a counter committed sees every change up to it.
  const positions = await shardsTable.read(pool);
  const room = { changes: Math.min(request.limit || limits.pageChangesMax, limits.pageChangesMax), bytes: limits.pageBytesMax };
  const changes: Change[] = [];
  let end = true;
  for (const { shard, n: upTo } of positions) {
    const from = after.get(shard) ?? 0n;
    if (from >= upTo) continue;
    const rows = room.changes > 0 ? await changesTable.read(pool, { shard, after: from, upTo, limit: room.changes }) : [];
    const taken = takeRows(rows, room);
    changes.push(...taken);
    if (from + BigInt(taken.length) < upTo) end = false;
  }
  const signed = signChanges({ changes, positions, sentAt: BigInt(now()) }, signer.key, signer.version);
  return { list: undefined, end, signed, directoryKeys: [signer.publicKey] };
}
