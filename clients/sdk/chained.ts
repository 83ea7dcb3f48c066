// An entry as the hash chain covers it: docs/protocol.md, "Proof".
import type { ChainedEntry } from '@weft/proto/chain.ts';
import {
  Created,
  Deleted,
  Edited,
  Handover,
  LogJoined,
  LogLeft,
  MembersAdded,
  MembersRemoved,
  Refused,
  Takeover,
} from '@weft/proto/gen/weft/client/v1/client.ts';

import type { Entry, EntryBody } from './entry.ts';

/** Field numbers of `Entry.body` in client.proto. */
const kinds: Readonly<Record<EntryBody['$case'], number>> = {
  text: 9,
  data: 10,
  edited: 11,
  deleted: 12,
  created: 16,
  membersAdded: 17,
  membersRemoved: 18,
  handover: 19,
  takeover: 20,
  logJoined: 24,
  logLeft: 25,
  appendRefused: 26,
};

const utf8 = new TextEncoder();

/** The canonical bytes: the same as the cell stored, whichever way they came. */
function bytesOf(body: EntryBody): Uint8Array {
  switch (body.$case) {
    case 'text':
      return utf8.encode(body.value);
    case 'data':
      return body.value;
    case 'edited':
      return Edited.encode(body.value).finish();
    case 'deleted':
      return Deleted.encode(body.value).finish();
    case 'created':
      return Created.encode(body.value).finish();
    case 'membersAdded':
      return MembersAdded.encode(body.value).finish();
    case 'membersRemoved':
      return MembersRemoved.encode(body.value).finish();
    case 'handover':
      return Handover.encode(body.value).finish();
    case 'takeover':
      return Takeover.encode(body.value).finish();
    case 'logJoined':
      return LogJoined.encode(body.value).finish();
    case 'logLeft':
      return LogLeft.encode(body.value).finish();
    case 'appendRefused':
      return Refused.encode(body.value).finish();
  }
}

/** Undefined for a kind that this version does not know. */
export function chainedOf(entry: Entry): ChainedEntry | undefined {
  const { body, id, log, epoch, seq, ts, author, ord, bodyHash } = entry;
  if (body === undefined) return undefined;
  return { log, epoch, seq, ts, author, clientEntryId: id, ord, kind: kinds[body.$case], body: bytesOf(body), bodyHash };
}
