// What a cell's registration makes of its record: urls are the union of what its nodes named lately, keys the union of all, the generation the
// highest. A pure function: the caller holds the cell's row.

import { WeftError } from '@weft/proto/faults.ts';
import type { PublicKey } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import { limits } from './limits.ts';
import type { SeenUrl } from './store/cell-urls-table.ts';

export interface Registered {
  readonly generation: bigint;
  /** In order of the url. */
  readonly urls: readonly SeenUrl[];
  /** In order of use and version. */
  readonly keys: readonly PublicKey[];
}

export interface Registration {
  readonly generation: bigint;
  readonly urls: readonly string[];
  readonly keys: readonly PublicKey[];
}

export type Merged =
  /** The registration comes from an earlier life of the cell's store: nothing of it counts. */
  { readonly kind: 'stale' } | { readonly kind: 'merged'; readonly next: Registered; readonly changed: boolean };

/** `nowMs`: Unix milliseconds. Throws `bad_request` when a key's bytes differ from those published under its version, or there are too many. */
export function mergeRegistration(held: Registered, given: Registration, nowMs: number): Merged {
  if (given.generation < held.generation) return { kind: 'stale' };
  const next = {
    generation: given.generation,
    urls: mergeUrls(held.urls, given.urls, nowMs),
    keys: mergeKeys(held.keys, given.keys, nowMs),
  };
  return { kind: 'merged', next, changed: said(held) !== said(next) };
}

function mergeUrls(held: readonly SeenUrl[], given: readonly string[], nowMs: number): SeenUrl[] {
  const seen = new Map(held.filter(({ seenMs }) => nowMs - seenMs <= limits.urlFreshMsMax).map((each) => [each.url, each]));
  for (const url of given) seen.set(url, { url, seenMs: nowMs });
  if (seen.size > limits.urlsPerCellMax) throw new WeftError('bad_request', `more than ${limits.urlsPerCellMax} urls`);
  return [...seen.values()].sort((a, b) => (a.url < b.url ? -1 : 1));
}

function mergeKeys(held: readonly PublicKey[], given: readonly PublicKey[], nowMs: number): PublicKey[] {
  const keys = new Map(held.map((key) => [nameOf(key), key]));
  for (const key of given) {
    const before = keys.get(nameOf(key));
    if (before !== undefined && !Buffer.from(before.key).equals(key.key))
      throw new WeftError('bad_request', `key ${nameOf(key)} has other bytes; take the next version`);
    // Ending a key is final: a node that does not know of it yet must not bring it back.
    keys.set(nameOf(key), { ...key, ends: key.ends === 0n ? (before?.ends ?? 0n) : key.ends });
  }
  const live = [...keys.values()].filter(({ ends }) => ends === 0n || Number(ends) + limits.endedKeyMs > nowMs);
  if (live.length > limits.keysPerCellMax) throw new WeftError('bad_request', `more than ${limits.keysPerCellMax} keys`);
  return live.sort((a, b) => (a.use === b.use ? a.version - b.version : a.use < b.use ? -1 : 1));
}

export const nameOf = (key: PublicKey): string => `${key.use}.${key.version}`;

/** Everything others see: a url that was only seen again is no change. */
const said = ({ generation, urls, keys }: Registered): string =>
  JSON.stringify([
    String(generation),
    urls.map(({ url }) => url),
    keys.map((key) => [nameOf(key), Buffer.from(key.key).toString('base64'), String(key.ends)]),
  ]);
