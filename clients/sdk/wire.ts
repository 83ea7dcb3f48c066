import { ClientFrame, ServerFrame } from '@weft/proto/gen/weft/client/v1/client.ts';
import { KeptWriter } from '@weft/proto/kept-writer.ts';

export type Encoding = 'proto' | 'json';
export type Request = NonNullable<ClientFrame['request']>;
export type Reply = NonNullable<ServerFrame['event']>;
export type ReplyCase = Reply['$case'];
export type ReplyOf<C extends ReplyCase> = Extract<Reply, { $case: C }>['value'];

/** One encoding of the protocol's frames. */
export interface Wire {
  readonly protocol: string;
  encode(id: bigint, request: Request): Uint8Array | string;
  /** Throws on bytes that are not a frame of this encoding. */
  decode(data: Uint8Array | string): ServerFrame;
}

export function openWire(encoding: Encoding): Wire {
  return encoding === 'proto' ? protobufWire() : jsonWire();
}

function protobufWire(): Wire {
  const writer = new KeptWriter();
  return {
    protocol: 'weft.v1.proto',
    encode: (id, request) => writer.encode(ClientFrame, { id, request }),
    decode: (data) => {
      if (typeof data === 'string') throw new TypeError('a text message on a protobuf connection');
      return ServerFrame.decode(data);
    },
  };
}

function jsonWire(): Wire {
  return {
    protocol: 'weft.v1.json',
    encode: (id, request) => JSON.stringify(ClientFrame.toJSON({ id, request })),
    decode: (data) => {
      if (typeof data !== 'string') throw new TypeError('a binary message on a JSON connection');
      return ServerFrame.fromJSON(JSON.parse(data));
    },
  };
}
