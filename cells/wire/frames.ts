// Messages that carry runs of entries: to other cells (EntriesFrame), to other nodes (NodePush), to sockets (Push).
// Field 2 of EntryRun and field 1 of Push hold entries in their one encoding.
import { type Entry, kinds } from '../delivery/entry.ts';
import { Reader, varintSize, writeVarint } from './bytes.ts';
import { decodeEntry, entryBytes, entrySize, writeEntry } from './entry-codec.ts';

export interface Run {
  readonly log: bigint;
  readonly entries: readonly Entry[];
}

const runLogTag = 0x09;
const runEntryTag = 0x12;
const frameRunTag = 0x0a;
const pushEntryTag = 0x0a;
/** ServerFrame.push = 20. */
const serverPushTag = 20 * 8 + 2;

/** Entries of consecutive positions of one log, in order. */
export function runsOf(entries: readonly Entry[]): Run[] {
  const runs = new Map<bigint, Entry[]>();
  for (const entry of entries) {
    const run = runs.get(entry.log);
    if (run) run.push(entry);
    else runs.set(entry.log, [entry]);
  }
  return [...runs].map(([log, list]) => ({ log, entries: inOrder(list) }));
}

/** What was decided while a cell was out of the log may have been stored behind what came since. */
const inOrder = (entries: readonly Entry[]): readonly Entry[] =>
  entries.every(({ seq }, at) => at === 0 || seq > (entries[at - 1] as Entry).seq) ? entries : entries.toSorted((a, b) => a.seq - b.seq);

const entriesSize = (entries: readonly Entry[]): number => {
  let size = 0;
  for (const entry of entries) {
    const length = entryBytes(entry).length;
    size += 1 + varintSize(length) + length;
  }
  return size;
};

function writeEntries(into: Buffer, start: number, tag: number, entries: readonly Entry[]): number {
  let at = start;
  for (const entry of entries) {
    const bytes = entryBytes(entry);
    into[at++] = tag;
    at = writeVarint(into, at, bytes.length);
    into.set(bytes, at);
    at += bytes.length;
  }
  return at;
}

/** EntriesFrame. */
export function encodeRuns(runs: readonly Run[], tag = frameRunTag): Buffer {
  const sizes = runs.map((run) => 9 + entriesSize(run.entries));
  const total = sizes.reduce((sum, size) => sum + varintSize(tag) + varintSize(size) + size, 0);
  const into = Buffer.allocUnsafe(total);
  let at = 0;
  runs.forEach((run, i) => {
    at = writeVarint(into, at, tag);
    at = writeVarint(into, at, sizes[i] as number);
    into[at] = runLogTag;
    into.writeBigUInt64LE(run.log, at + 1);
    at = writeEntries(into, at + 9, runEntryTag, run.entries);
  });
  return into;
}

/** Throws RangeError when the bytes are no frame. */
export function decodeRuns(bytes: Uint8Array, tag = frameRunTag): Run[] {
  const reader = new Reader(bytes);
  const runs: Run[] = [];
  while (reader.at < reader.end) {
    const found = reader.varint();
    if (found === tag) runs.push(decodeRun(reader.slice()));
    else reader.skip(found & 7);
  }
  return runs;
}

function decodeRun(bytes: Buffer): Run {
  const reader = new Reader(bytes);
  let log = 0n;
  const entries: Entry[] = [];
  while (reader.at < reader.end) {
    const tag = reader.varint();
    if (tag === runLogTag) log = reader.fixed64();
    else if (tag === runEntryTag) entries.push(decodeEntry(reader.slice()));
    else reader.skip(tag & 7);
  }
  if (entries.some((e) => e.log !== log)) throw new RangeError('an entry of another log in the run');
  return { log, entries };
}

/** ServerFrame{push}: the same bytes for every socket. */
export function encodePush(entries: readonly Entry[]): Buffer {
  const inner = entriesSize(entries);
  const into = Buffer.allocUnsafe(varintSize(serverPushTag) + varintSize(inner) + inner);
  const at = writeVarint(into, writeVarint(into, 0, serverPushTag), inner);
  writeEntries(into, at, pushEntryTag, entries);
  return into;
}

/** ServerFrame.page = 8, Page.entries = 3. */
const serverPageTag = 8 * 8 + 2;
const pageEntryTag = 3 * 8 + 2;

/** ServerFrame{re, page}: `front` is the page without its entries, encoded. Nobody else gets these entries as they are. */
export function encodePage(re: number, front: Uint8Array, entries: readonly Entry[]): Buffer {
  const sizes = entries.map(entrySize);
  const inner = sizes.reduce((sum, size) => sum + 1 + varintSize(size) + size, front.length);
  const into = Buffer.allocUnsafe(1 + varintSize(re) + varintSize(serverPageTag) + varintSize(inner) + inner);
  into[0] = 0x08;
  let at = writeVarint(into, 1, re);
  at = writeVarint(into, at, serverPageTag);
  at = writeVarint(into, at, inner);
  into.set(front, at);
  at += front.length;
  entries.forEach((entry, i) => {
    into[at++] = pageEntryTag;
    at = writeEntry(into, writeVarint(into, at, sizes[i] as number), entry);
  });
  return into;
}

export interface AcceptedFields {
  readonly re: number;
  readonly entry: Entry;
}

/** ServerFrame{re, accepted}. */
export function encodeAccepted({ re, entry }: AcceptedFields): Buffer {
  const inner = 27 + 2 + varintSize(entry.seq) + varintSize(entry.ts) + (entry.ord > 0 ? 1 + varintSize(entry.ord) : 0);
  const into = Buffer.allocUnsafe(1 + varintSize(re) + 2 + inner);
  into[0] = 0x08;
  let at = writeVarint(into, 1, re);
  into[at++] = 0x22;
  into[at++] = inner;
  into[at] = 0x09;
  into.writeBigUInt64LE(entry.log, at + 1);
  into[at + 9] = 0x11;
  into.writeBigUInt64LE(entry.epoch, at + 10);
  at += 18;
  into[at++] = 0x18;
  at = writeVarint(into, at, entry.seq);
  into[at++] = 0x20;
  at = writeVarint(into, at, entry.ts);
  into[at] = 0x29;
  into.writeBigUInt64LE(entry.clientEntryId, at + 1);
  at += 9;
  if (entry.ord > 0) {
    into[at++] = 0x30;
    writeVarint(into, at, entry.ord);
  }
  return into;
}

export interface AppendFields {
  readonly id: number;
  readonly log: bigint;
  readonly peer: bigint;
  readonly clientEntryId: bigint;
  /** What was sent after it, when it is sent again. */
  readonly followedBy: readonly bigint[];
  readonly kind: number;
  readonly body: Buffer;
}

/** Fields 2 to 14 of ClientFrame: the requests. */
const lastRequestField = 14;

/**
 * ClientFrame{id, append} read by hand; undefined for every other frame, which the generated codec reads. Fields this
 * version does not know are skipped, as the generated codec does. Throws RangeError on what is no protobuf.
 */
export function decodeAppend(bytes: Buffer): AppendFields | undefined {
  const reader = new Reader(bytes);
  const fields = { id: 0, log: 0n, peer: 0n, clientEntryId: 0n, followedBy: [] as bigint[], kind: 0, body: noBody as Buffer };
  let isAppend = false;
  while (reader.at < reader.end) {
    const tag = reader.varint();
    if (tag === 0x08) fields.id = reader.varint();
    else if (tag === 0x1a) {
      isAppend = true;
      decodeAppendBody(reader.slice(), fields);
    } else if (Math.floor(tag / 8) <= lastRequestField) return undefined;
    else reader.skip(tag % 8);
  }
  return isAppend ? fields : undefined;
}

/** Of two members of one oneof the last counts. */
function decodeAppendBody(
  inner: Buffer,
  fields: { -readonly [Field in keyof AppendFields]: AppendFields[Field] } & { readonly followedBy: bigint[] },
): void {
  const reader = new Reader(inner);
  while (reader.at < reader.end) {
    const tag = reader.varint();
    if (tag === 0x09) {
      fields.log = reader.fixed64();
      fields.peer = 0n;
    } else if (tag === 0x11) {
      fields.peer = reader.fixed64();
      fields.log = 0n;
    } else if (tag === 0x19) fields.clientEntryId = reader.fixed64();
    else if (tag === 0x22) fields.followedBy.push(...packedIds(reader.slice()));
    else if (tag === 0x21) fields.followedBy.push(reader.fixed64());
    else if (tag === 0x4a || tag === 0x52 || tag === 0x5a || tag === 0x62) {
      fields.kind = tag >> 3;
      fields.body = reader.slice();
    } else reader.skip(tag % 8);
  }
}

const noBody = Buffer.alloc(0);

function packedIds(inner: Buffer): bigint[] {
  const reader = new Reader(inner);
  const ids: bigint[] = [];
  while (reader.at < reader.end) ids.push(reader.fixed64());
  return ids;
}

/** A removal is seen before what follows it in any other log (R19). */
export function selfLogsFirst(runs: readonly Run[]): Run[] {
  const isSelf = (run: Run): boolean => (run.entries[0]?.kind ?? 0) >= kinds.logJoined;
  return [...runs.filter(isSelf), ...runs.filter((run) => !isSelf(run))];
}
