// Server-to-client WebSocket messages as bytes (RFC 6455, section 5.2): unmasked, unfragmented, uncompressed. Written to
// the TCP socket directly, because one buffer then serves every receiver and needs no copy.

const binary = 0x82;
const text = 0x81;

export const webSocketMessage = (payload: Uint8Array): Buffer => frame(binary, payload);
export const textMessage = (payload: string): Buffer => frame(text, Buffer.from(payload));

function frame(first: number, payload: Uint8Array): Buffer {
  const length = payload.length;
  const head = length < 126 ? 2 : length < 65_536 ? 4 : 10;
  const out = Buffer.allocUnsafe(head + length);
  out[0] = first;
  if (head === 2) out[1] = length;
  else if (head === 4) {
    out[1] = 126;
    out.writeUInt16BE(length, 2);
  } else {
    out[1] = 127;
    out.writeBigUInt64BE(BigInt(length), 2);
  }
  out.set(payload, head);
  return out;
}
