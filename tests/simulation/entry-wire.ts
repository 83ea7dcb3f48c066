// Entries on the simulated wire, by the codec of the cells.

import type { Entry } from '@weft/cells/delivery/entry.ts';
import { fromWire, toWire } from '@weft/cells/wire/entry-codec.ts';
import { EntriesFrame, type EntryRun } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';

export function encodeRuns(entries: readonly Entry[]): Uint8Array {
  const runs = new Map<bigint, EntryRun>();
  for (const entry of entries) {
    const run = runs.get(entry.log) ?? { log: entry.log, entries: [] };
    runs.set(entry.log, run);
    run.entries.push(toWire(entry));
  }
  return EntriesFrame.encode({ runs: [...runs.values()] }).finish();
}

export const decodeRuns = (bytes: Uint8Array): { log: bigint; entries: Entry[] }[] =>
  EntriesFrame.decode(bytes).runs.map(({ log, entries }) => ({ log, entries: entries.map(fromWire) }));
