// What a directory tells of itself.
import assert from 'node:assert/strict';
import type { KeyObject } from 'node:crypto';
import type { ChangeList } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import { directoryShards } from '@weft/proto/subjects.ts';
import type { DirectoryClient } from '@weft/runtime/directory-client.ts';
import { openChanges } from '@weft/runtime/directory-signature.ts';

/** The whole log, as the directory signs it. */
export async function readLog(client: DirectoryClient, signKey: KeyObject): Promise<ChangeList> {
  const whole: ChangeList = { changes: [], positions: [], sentAt: 0n };
  for (;;) {
    const after = Array.from({ length: directoryShards }, (_, shard) => ({
      shard,
      n: BigInt(whole.changes.filter((change) => change.shard === shard).length),
    }));
    const { signed, end } = await client.readChanges({ after, limit: 7 });
    const list = signed && openChanges(signed, signKey);
    assert(list !== undefined);
    whole.changes.push(...list.changes);
    whole.positions = list.positions;
    if (end) return whole;
  }
}
