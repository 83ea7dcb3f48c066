import type { Entry as WireEntry } from '@weft/proto/gen/weft/client/v1/client.ts';

export type EntryBody = NonNullable<WireEntry['body']>;
export type EntryKind = EntryBody['$case'] | 'unknown';

/** One element of a log. `(log, seq)` names it; seq is dense, so sorting by seq is the order everybody sees. */
export interface Entry {
  readonly log: bigint;
  /** Which ownership of the log gave the seq. */
  readonly epoch: bigint;
  readonly seq: number;
  /** Milliseconds since the Unix epoch by the owner's clock; never falls within a log. */
  readonly ts: number;
  readonly author: bigint;
  /** The author's own id of the entry; unique among the author's entries. */
  readonly id: bigint;
  /** Unread-worthy entries of the log up to and including this one. */
  readonly ord: number;
  /** False when the cell could not read the entry: it is shown as unreadable, and has no body. */
  readonly readable: boolean;
  readonly kind: EntryKind;
  /** The message, also that of an edit; empty for every other kind, and where it was taken back. */
  readonly text: string;
  readonly body: EntryBody | undefined;
  /** Its author took the words back. */
  readonly emptied?: boolean;
  /** Hash of the entry before, as the cell says. The reply to an own entry has none. */
  readonly prev?: Uint8Array | undefined;
  /** Hash of the body that was there, where it was emptied. */
  readonly bodyHash?: Uint8Array | undefined;
}

const unreadableFlag = 1;
const emptiedFlag = 2;

const textOf = (body: EntryBody | undefined): string =>
  body?.$case === 'text' ? body.value : body?.$case === 'edited' ? body.value.text : '';

export function entryFromWire(wire: WireEntry): Entry {
  const body = wire.body;
  return {
    log: wire.log,
    epoch: wire.epoch,
    seq: Number(wire.seq),
    ts: Number(wire.ts),
    author: wire.author,
    id: wire.clientEntryId,
    ord: Number(wire.ord),
    readable: (wire.flags & unreadableFlag) === 0,
    kind: body?.$case ?? 'unknown',
    text: textOf(body),
    body,
    prev: wire.prev,
    bodyHash: wire.bodyHash,
    emptied: (wire.flags & emptiedFlag) !== 0,
  };
}
