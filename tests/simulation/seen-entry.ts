// An entry as a device saw it, for the history.
import type { Entry } from '@weft/client/entry.ts';

const contentKinds: ReadonlySet<string> = new Set(['text', 'data']);

export const seenOf = ({ log, epoch, seq, author, id, kind, text }: Entry) => ({
  log,
  epoch,
  seq,
  author,
  clientEntryId: id,
  content: contentKinds.has(kind),
  // State entries are compared by their ids; the client sees them decoded.
  body: contentKinds.has(kind) ? Buffer.from(text).toString('base64') : '',
});
