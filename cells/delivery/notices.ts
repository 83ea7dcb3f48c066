// What one cell says to another about who owns a log: it decides nothing, and travels as an envelope (R11, R16).
import { Envelope, type Moved, type Stale } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';

/** Not here: the sender addresses the log's owner anew. */
export const movedNotice = (value: Moved): Uint8Array => Envelope.encode({ notice: { $case: 'moved', value } }).finish();

/** The frame was of an epoch that is over. */
export const staleNotice = (value: Stale): Uint8Array => Envelope.encode({ notice: { $case: 'stale', value } }).finish();
