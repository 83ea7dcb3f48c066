// What an append must be before anybody decides it.
import { WeftError } from '@weft/proto/faults.ts';
import { limits } from '@weft/proto/limits.ts';
import { kinds } from '../delivery/entry.ts';
import type { AppendFields } from '../wire/frames.ts';
import { editedText, isGoodText } from './codec.ts';

/** What is wrong with an append by itself. */
export function checkAppend({ log, peer, clientEntryId, followedBy, kind, body }: AppendFields): WeftError | undefined {
  if ((log === 0n) === (peer === 0n)) return new WeftError('bad_request', 'exactly one of log and peer');
  if (clientEntryId === 0n || clientEntryId >> 63n !== 0n) return new WeftError('bad_request', 'client_entry_id must be 1 to 2^63-1');
  if (followedBy.length > limits.followedByMax)
    return new WeftError('bad_request', `${followedBy.length} ids in followed_by, ${limits.followedByMax} allowed`);
  if (followedBy.some((id) => id === 0n || id >> 63n !== 0n)) return new WeftError('bad_request', 'followed_by must be 1 to 2^63-1');
  if (log >> 63n !== 0n || peer >> 63n !== 0n) return new WeftError('unknown_log');
  if (kind === 0) return new WeftError('bad_request', 'text or data is missing');
  if (body.length > limits.entryBytesMax) return new WeftError('entry_too_large', `${body.length} bytes, ${limits.entryBytesMax} allowed`);
  if (kind === kinds.text && !isGoodText(body)) return new WeftError('bad_text');
  if (kind === kinds.edited && editedText(body)?.includes('\0') !== false) return new WeftError('bad_text');
  return undefined;
}
