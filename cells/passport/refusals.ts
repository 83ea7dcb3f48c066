// A refused append left an entry in its author's self log.
import { Refused } from '@weft/proto/gen/weft/client/v1/client.ts';
import { kinds } from '../delivery/entry.ts';
import { cellLimits } from '../limits.ts';
import type { SqlLogStore } from '../store/sql-log-store.ts';

/** Among the author's newest self-log entries. */
export async function readRefusal(
  store: SqlLogStore,
  { author, clientEntryId }: { author: bigint; clientEntryId: bigint },
): Promise<{ code: string; text: string; ts: number } | undefined> {
  const found = await store.readRow(author);
  if (!found) return undefined;
  const { head } = found.row;
  const looked = cellLimits.refusalsLookedAt;
  for (const entry of await store.readRange(author, Math.max(1, head - looked + 1), head, looked)) {
    if (entry.kind !== kinds.appendRefused) continue;
    const refused = Refused.decode(entry.body);
    if (refused.clientEntryId === clientEntryId) return { code: refused.code, text: refused.text, ts: entry.ts };
  }
  return undefined;
}
