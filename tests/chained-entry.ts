import { fromWire } from '@weft/cells/wire/entry-codec.ts';
import type { ChainedEntry } from '@weft/proto/chain.ts';
import type { Entry } from '@weft/proto/gen/weft/client/v1/client.ts';

/** What the chain covers of an entry that a client got. */
export const chainedOf = (entry: Entry): ChainedEntry => fromWire(entry);
