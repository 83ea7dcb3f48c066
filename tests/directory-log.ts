// What a directory tells of itself.
import assert from 'node:assert/strict';
import type { KeyObject } from 'node:crypto';
import { type ChangeList, SignedChanges } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import { directoryShards } from '@weft/proto/subjects.ts';
import type { DirectoryClient } from '@weft/runtime/directory-client.ts';
import { openChanges } from '@weft/runtime/directory-signature.ts';
import { until } from './until.ts';

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

export const opened = (bytes: Uint8Array, key: KeyObject): ChangeList | undefined => openChanges(SignedChanges.decode(bytes), key);

/** A message that tells of a user, and the number of the change in its shard. */
export interface Told {
  readonly message: Uint8Array;
  readonly n: bigint;
}

/** Waits until one of what was heard on the bus tells of the user. */
export async function toldOf(user: bigint, heard: readonly Uint8Array[], key: KeyObject): Promise<Told> {
  const find = (): Told | undefined => {
    for (const message of heard) {
      const change = opened(message, key)?.changes.find(({ what }) => what?.$case === 'user' && what.value.id === user);
      if (change) return { message, n: change.n };
    }
    return undefined;
  };
  await until('the change is on the bus', () => find() !== undefined);
  return find() ?? assert.fail();
}
