// A guard switched off from outside: what stands at a port lies, or a method of a class is another for the time of a run.

import type { InboundBus } from '@weft/cells/cell-duties.ts';
import type { LogStore } from '@weft/cells/delivery/ports.ts';
import type { LinkBus } from '@weft/cells/link/sealed-link.ts';
import type { CellStore } from '@weft/cells/store/sql-log-store.ts';
import type { MemoryBus } from './memory-bus.ts';
import type { MemoryLogStore } from './memory-log-store.ts';
import type { PlainSeal } from './plain-seal.ts';

export interface Mutation {
  readonly store?: (inner: MemoryLogStore) => CellStore;
  readonly bus?: (inner: MemoryBus, of: { readonly store: LogStore; readonly seal: PlainSeal }) => LinkBus & InboundBus;
  /** Puts other methods in place of some; the result puts them back. */
  readonly patch?: () => Disposable;
  readonly homeOf?: (user: bigint) => number;
  /** Ids are made in the name of this cell. */
  readonly birthCell?: number;
  /** The table's unique key over author and client entry id is gone too: the look-up is one guard with it. */
  readonly entriesNotUnique?: boolean;
}

export const noMutation: Mutation = {};

type Method = (...args: never[]) => unknown;

/** Another value in place of one of an object's. */
export function valued(of: object, name: string, value: unknown): Disposable {
  const owner = of as Record<string, unknown>;
  const before = owner[name];
  owner[name] = value;
  return {
    [Symbol.dispose]: () => {
      owner[name] = before;
    },
  };
}

/** Replaces methods of classes, each by what `make` makes of the one there was. */
export function patched(
  ...changes: readonly { readonly of: object; readonly method: string; readonly make: (original: Method) => Method }[]
): Disposable {
  const undo: (() => void)[] = [];
  for (const { of, method, make } of changes) {
    const owner = of as Record<string, Method>;
    const original = owner[method] as Method;
    owner[method] = make(original);
    undo.push(() => {
      owner[method] = original;
    });
  }
  return {
    [Symbol.dispose]: () => {
      for (const back of undo.reverse()) back();
    },
  };
}
