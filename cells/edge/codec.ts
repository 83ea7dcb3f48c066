// The two subprotocols: binary protobuf, and the same messages in protobuf's JSON mapping.
import { isUtf8 } from 'node:buffer';
import { WeftError } from '@weft/proto/faults.ts';
import { type Append, ClientFrame, Deleted, Edited, Page, ServerFrame } from '@weft/proto/gen/weft/client/v1/client.ts';
import { KeptWriter } from '@weft/proto/kept-writer.ts';
import type { Entry } from '../delivery/entry.ts';
import { kinds } from '../delivery/entry.ts';
import type { SharedPush } from '../push/shared-push.ts';
import { toWire } from '../wire/entry-codec.ts';
import { type AppendFields, decodeAppend, encodeAccepted, encodePage } from '../wire/frames.ts';
import { textMessage, webSocketMessage } from '../wire/websocket-frame.ts';

export type ServerEvent = NonNullable<ServerFrame['event']>;
/** A page whose entries are not yet in a message: each codec encodes them its own way. */
export interface EntriesPage {
  readonly $case: 'entriesPage';
  readonly value: Omit<Page, 'entries'>;
  readonly entries: readonly Entry[];
}
export type Answer = ServerEvent | EntriesPage;
export type Received = { readonly append: AppendFields } | { readonly frame: ClientFrame };

export interface Codec {
  readonly subprotocol: string;
  readonly isBinary: boolean;
  /** Throws WeftError bad_frame. */
  decode(data: Buffer): Received;
  encode(re: number, event: Answer): Buffer;
  accepted(re: number, entry: Entry): Buffer;
  push(push: SharedPush): Buffer;
}

/** Every socket's: nothing of a message stays in it. */
const writer = new KeptWriter();

export const protoCodec: Codec = {
  subprotocol: 'weft.v1.proto',
  isBinary: true,
  decode(data) {
    try {
      const append = decodeAppend(data);
      return append ? { append } : { frame: ClientFrame.decode(data) };
    } catch {
      throw new WeftError('bad_frame', 'not a ClientFrame');
    }
  },
  encode: (re, event) => {
    if (event.$case !== 'entriesPage') return webSocketMessage(writer.encode(ServerFrame, { re: BigInt(re), event }));
    return webSocketMessage(encodePage(re, writer.encode(Page, { ...event.value, entries: [] }), event.entries));
  },
  accepted: (re, entry) => webSocketMessage(encodeAccepted({ re, entry })),
  push: (push) => push.proto,
};

export const jsonCodec: Codec = {
  subprotocol: 'weft.v1.json',
  isBinary: false,
  decode(data) {
    const frame = parseJsonFrame(data);
    if (frame.request?.$case !== 'append') return { frame };
    const { target, clientEntryId, followedBy, content } = frame.request.value;
    return {
      append: {
        id: Number(frame.id),
        log: target?.$case === 'log' ? target.value : 0n,
        peer: target?.$case === 'peer' ? target.value : 0n,
        clientEntryId,
        followedBy,
        ...contentOf(content),
      },
    };
  },
  encode: (re, answer) => {
    const event: ServerEvent =
      answer.$case === 'entriesPage' ? { $case: 'page', value: { ...answer.value, entries: answer.entries.map(toWire) } } : answer;
    return textMessage(JSON.stringify(ServerFrame.toJSON({ re: BigInt(re), event })));
  },
  accepted: (re, entry) =>
    jsonCodec.encode(re, {
      $case: 'accepted',
      value: {
        log: entry.log,
        epoch: entry.epoch,
        seq: BigInt(entry.seq),
        ts: BigInt(entry.ts),
        clientEntryId: entry.clientEntryId,
        ord: BigInt(entry.ord),
      },
    }),
  push: (push) => push.json,
};

function contentOf(content: Append['content']): Pick<AppendFields, 'kind' | 'body'> {
  switch (content?.$case) {
    case 'text':
      return { kind: kinds.text, body: utf8Of(content.value) };
    case 'data':
      return { kind: kinds.data, body: Buffer.from(content.value) };
    case 'edited':
      return { kind: kinds.edited, body: Buffer.from(Edited.encode(content.value).finish()) };
    case 'deleted':
      return { kind: kinds.deleted, body: Buffer.from(Deleted.encode(content.value).finish()) };
    default:
      return { kind: 0, body: Buffer.alloc(0) };
  }
}

/** Half a surrogate pair has no UTF-8: a byte that is none either stands for such a text. */
const utf8Of = (text: string): Buffer => (text.isWellFormed() ? Buffer.from(text) : Buffer.of(0xff));

function parseJsonFrame(data: Buffer): ClientFrame {
  let parsed: unknown;
  try {
    parsed = JSON.parse(data.toString('utf8'));
  } catch {
    throw new WeftError('bad_frame', 'not JSON');
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) throw new WeftError('bad_frame', 'not a JSON object');
  try {
    const frame = ClientFrame.fromJSON(parsed);
    // What does not fit its field has no binary form.
    ClientFrame.encode(frame);
    return frame;
  } catch {
    throw new WeftError('bad_frame', 'a field is not of its type');
  }
}

/** The text of an edit, undefined when the body is none. What is no UTF-8 is replaced where it is decoded. */
export function editedText(body: Buffer): string | undefined {
  try {
    return Edited.decode(body).text;
  } catch {
    return undefined;
  }
}

/** Text must be UTF-8 without NUL, in both encodings. */
export const isGoodText = (body: Buffer): boolean => isUtf8(body) && !body.includes(0);

export const codecFor = (subprotocol: string): Codec | undefined =>
  [protoCodec, jsonCodec].find((codec) => codec.subprotocol === subprotocol);
