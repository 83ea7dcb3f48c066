// What an entry says: what a cell takes of it, and how the outbox's store keeps it.
import { WeftError } from '@weft/proto/faults.ts';
import { limits as wireLimits } from '@weft/proto/limits.ts';
import { base64, fromBase64 } from './base64.ts';
import type { StoredAppend } from './outbox-store.ts';
import type { Content } from './sent.ts';

const encoder = new TextEncoder();

/** Throws WeftError for what no cell would take: `bad_text`, `entry_too_large`. */
export function checkContent(content: Content): void {
  if (content.$case === 'text' && (!content.value.isWellFormed() || content.value.includes('\0'))) throw new WeftError('bad_text');
  const size = content.$case === 'text' ? textBytes(content.value) : content.value.length;
  if (size > wireLimits.entryBytesMax) throw new WeftError('entry_too_large');
}

/** Short texts need no encoding to know that they fit: UTF-8 takes at most three bytes a UTF-16 unit. */
const textBytes = (text: string): number => (text.length * 3 <= wireLimits.entryBytesMax ? text.length : encoder.encode(text).length);

export const toStored = (id: bigint, lane: string, content: Content): StoredAppend =>
  content.$case === 'text' ? { id: String(id), lane, text: content.value } : { id: String(id), lane, data: base64(content.value) };

export const contentFrom = (stored: StoredAppend): Content =>
  stored.data !== undefined ? { $case: 'data', value: fromBase64(stored.data) } : { $case: 'text', value: stored.text ?? '' };
