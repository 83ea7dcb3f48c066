// RFC 4648, section 4, without Node's Buffer. Entries are at most 16 KiB, so speed is no matter.

export function base64(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

export const fromBase64 = (text: string): Uint8Array => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));

/** RFC 4648, section 5, without padding, as JWKs have it. */
export const bytesFromBase64Url = (text: string): Uint8Array => fromBase64(text.replaceAll('-', '+').replaceAll('_', '/'));
