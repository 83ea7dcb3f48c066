// What a later version would send: messages with fields that this one does not know, and has to ignore.

/** Field 1999 of wire type 0 (protobuf's encoding of tag and value). */
const field = 1_999 * 8;
const unknown = Buffer.of((field & 0x7f) | 0x80, field >> 7, 7);

/** A protobuf message with one more field. */
export const withUnknownField = (message: Uint8Array): Uint8Array => Buffer.concat([message, unknown]);

/** The same of a client's message in either encoding. */
export function laterMessage(data: Uint8Array | string): Uint8Array | string {
  if (typeof data !== 'string') return withUnknownField(data);
  return JSON.stringify({ ...(JSON.parse(data) as object), fieldOfALaterVersion: { of: ['something'] } });
}
