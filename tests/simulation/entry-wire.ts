// Entries on the simulated wire, by the generated codec. The body is the last field of an entry: bytes behind the header.

import type { Entry } from '@weft/cells/delivery/entry.ts';
import { Entry as WireEntry } from '@weft/proto/gen/weft/client/v1/client.ts';
import { EntriesFrame, type EntryRun } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';

const headerOf = (e: Entry): WireEntry => ({
  log: e.log,
  epoch: e.epoch,
  seq: BigInt(e.seq),
  ts: BigInt(e.ts),
  author: e.author,
  clientEntryId: e.clientEntryId,
  ord: BigInt(e.ord),
  flags: e.flags,
  body: undefined,
});

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 0x80) return [...bytes, rest];
    bytes.push((rest & 0x7f) | 0x80);
  }
}

function readVarint(bytes: Uint8Array, at: number): [value: number, next: number] {
  let value = 0;
  for (let i = at, shift = 0; ; i++, shift += 7) {
    const byte = bytes[i] ?? 0;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return [value, i + 1];
  }
}

export function toWire(entry: Entry): WireEntry {
  const header = WireEntry.encode(headerOf(entry)).finish();
  return WireEntry.decode(Buffer.concat([header, Buffer.from([...varint(entry.kind * 8 + 2), ...varint(entry.body.length)]), entry.body]));
}

export function fromWire(wire: WireEntry): Entry {
  const header = WireEntry.encode({ ...wire, body: undefined }).finish();
  const bytes = WireEntry.encode(wire).finish();
  const [tag, afterTag] = readVarint(bytes, header.length);
  const [, start] = readVarint(bytes, afterTag);
  return {
    log: wire.log,
    epoch: wire.epoch,
    seq: Number(wire.seq),
    ts: Number(wire.ts),
    author: wire.author,
    clientEntryId: wire.clientEntryId,
    ord: Number(wire.ord),
    kind: tag >> 3,
    flags: wire.flags,
    body: bytes.subarray(start),
  };
}

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
