// What fails for no reason of its own, again and again, must not stop what comes after it (R27).
//
// 1. An operation that failed comes again as it is: the broker hands its frame out anew, or the log is pulled anew.
// 2. After three times a run is taken apart, so that only the entry that fails suffers.
// 3. What still fails alone is poison: intake is refused; content is stored as unreadable, its header kept and its body
//    empty; a state entry freezes the log in this cell, since nobody could say who may read it any more.
import type { Chain } from '@weft/proto/chain.ts';
import { type Entry, flagBits, isState } from './entry.ts';
import { streamKey } from './log-state.ts';
import type { ApplyOperation, Operation } from './operations.ts';

/** Times an operation may fail before it counts as poison. */
const failuresMax = 3;

export class Poison {
  readonly #countedMax: number;
  readonly #failures = new Map<string, number>();

  /** `countedMax`: operations whose failures are remembered; the oldest are forgotten first, which costs only more tries. */
  constructor(countedMax: number) {
    this.#countedMax = countedMax;
  }

  /** What to do instead of an operation that failed; undefined: the same again, later. */
  instead(operation: Operation): readonly Operation[] | undefined {
    if (isPoisoned(operation)) return undefined;
    if (operation.type === 'apply' && operation.alone) return [{ ...operation, poisoned: true }];
    const key = keyOf(operation);
    const times = (this.#failures.get(key) ?? 0) + 1;
    this.#failures.set(key, times);
    if (this.#failures.size > this.#countedMax) this.#failures.delete(this.#failures.keys().next().value as string);
    if (times < failuresMax) return undefined;
    this.#failures.delete(key);
    if (operation.type === 'apply' && operation.entries.length > 0) return apart(operation);
    return operation.type === 'intake' ? [{ ...operation, poisoned: true }] : [];
  }
}

/** Content nobody here could store: the same header, no body but its hash, so that the chain goes on. */
export function unreadable(entry: Entry, chain: Chain): Entry {
  if (isState(entry.kind)) return entry;
  const flags = entry.flags | flagBits.unreadable | flagBits.emptied;
  return { ...entry, flags, body: noBody, bodyHash: entry.bodyHash ?? chain.body(entry.body) };
}

const noBody = new Uint8Array();

const isPoisoned = (operation: Operation): boolean =>
  (operation.type === 'apply' || operation.type === 'intake') && operation.poisoned === true;

/** A snapshot opens the log for the first entry; the others continue the run. */
function apart(operation: ApplyOperation): ApplyOperation[] {
  const { type, src, log } = operation;
  return operation.entries.map((entry, i) => ({ ...(i === 0 ? operation : { type, src, log }), entries: [entry], alone: true }));
}

function keyOf(operation: Operation): string {
  if (operation.type === 'apply') return `a:${operation.log}:${operation.entries[0]?.seq ?? 0}`;
  if (!('src' in operation)) return '';
  return `${operation.type}:${operation.src}:${streamKey(operation.stream)}:${operation.n}`;
}
