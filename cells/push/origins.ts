// Authors who wait on their sockets: each is told Accepted in the place where others get the push of the entry, once.
import type { Entry } from '../delivery/entry.ts';
import { entryBytes } from '../wire/entry-codec.ts';
import { SharedPush } from './shared-push.ts';

/** The author's socket of a fresh entry. */
export interface Origin {
  readonly receiver: unknown;
  accept(): void;
}

/** Authors not told yet. */
export type Origins = Map<Entry, Origin>;

/** Tells the authors of these entries who were not told yet. */
export function acceptAll(entries: readonly Entry[], origins: Origins | undefined): void {
  if (!origins || origins.size === 0) return;
  for (const entry of entries) accept(entry, origins);
}

function accept(entry: Entry, origins: Origins): void {
  const origin = origins.get(entry);
  if (!origin) return;
  origins.delete(entry);
  origin.accept();
}

/** The whole push; or, to the socket that sent some of its entries, those as Accepted in their place. */
export function sendTo(receiver: { push(push: SharedPush): void }, push: SharedPush, origins: Origins | undefined): void {
  if (!origins || origins.size === 0 || !push.entries.some((e) => origins.get(e)?.receiver === receiver)) return receiver.push(push);
  let others: Entry[] = [];
  const flush = (): void => {
    if (others.length > 0) receiver.push(new SharedPush(others));
    others = [];
  };
  for (const entry of push.entries) {
    if (origins.get(entry)?.receiver !== receiver) {
      others.push(entry);
      continue;
    }
    flush();
    accept(entry, origins);
  }
  flush();
}

/** Pushes of these entries, in order, each of a size that fits a socket's frame. */
export function pushesOf(entries: readonly Entry[], bytesMax: number): SharedPush[] {
  const pushes: SharedPush[] = [];
  let start = 0;
  let bytes = 0;
  entries.forEach((entry, i) => {
    const size = entryBytes(entry).length + entryFrontBytes;
    if (i > start && bytes + size > bytesMax) {
      pushes.push(new SharedPush(entries.slice(start, i)));
      start = i;
      bytes = 0;
    }
    bytes += size;
  });
  if (start < entries.length) pushes.push(new SharedPush(start === 0 ? entries : entries.slice(start)));
  return pushes;
}

/** Tag and length before each entry of a push. */
const entryFrontBytes = 4;
