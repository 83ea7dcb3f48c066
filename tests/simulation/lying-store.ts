// A store that lies: its facts are changed before the decision sees them, or what it is told is changed on the way.
import type { LogState } from '@weft/cells/delivery/log-state.ts';
import {
  type AppendKey,
  type Facts,
  type LogRow,
  MaybeCommitted,
  type OutboxRow,
  RunAgain,
  type WriteKeys,
  type Writes,
} from '@weft/cells/delivery/ports.ts';
import { toldOtherwise } from '@weft/cells/delivery/told-otherwise.ts';
import type { CellStore } from '@weft/cells/store/sql-log-store.ts';
import type { MemoryLogStore } from './memory-log-store.ts';
import { over } from './over.ts';

type Lie = (inner: MemoryLogStore) => CellStore;
type Write = <T extends { readonly writes: Writes }>(lane: number, keys: WriteKeys, decide: (facts: Facts) => T) => Promise<T>;

/** Changes the facts of every write transaction. */
export const lying =
  (change: (facts: Facts, keys: WriteKeys) => Partial<Facts>): Lie =>
  (inner) => {
    const write: Write = (lane, keys, decide) => inner.write(lane, keys, (facts) => decide(toldOtherwise(facts, change(facts, keys))));
    return over<CellStore>(inner, { write });
  };

export function withStates(facts: Facts, change: (state: LogState) => LogState): Partial<Facts> {
  return { states: new Map([...facts.states].map(([log, state]) => [log, change(state)])) };
}

/** The answer leaves when everything is decided, not when it is committed. */
export const toldBeforeCommit: Lie = (inner) => {
  const write: Write = (lane, keys, decide) =>
    new Promise((resolve, reject) => {
      const decideAndTell: typeof decide = (facts) => {
        const decision = decide(facts);
        resolve(decision);
        return decision;
      };
      inner.write(lane, keys, decideAndTell).catch(reject);
    });
  return over<CellStore>(inner, { write });
};

/** A commit whose answer was lost passes for one that was rolled back. */
export const neverUnsure: Lie = (inner) => {
  const write: Write = (lane, keys, decide) =>
    inner.write(lane, keys, decide).catch((error: unknown) => {
      throw error instanceof MaybeCommitted ? new RunAgain(error.message) : error;
    });
  return over<CellStore>(inner, { write });
};

/** Runs that begin up to `hole` entries beyond the head look as if they continued it. */
export const headsJump =
  (hole: number) =>
  (facts: Facts, keys: WriteKeys): Partial<Facts> => {
    const rows = new Map<bigint, LogRow>(facts.rows);
    for (const { log, from } of keys.runs) {
      const row = rows.get(log);
      if (row && from > row.head + 1 && from <= row.head + 1 + hole) rows.set(log, { ...row, head: from - 1 });
    }
    return { rows };
  };

/** Ids are known for as long as a window remembers them. */
export const knownFor = (ms: number): Lie =>
  lying((facts) => ({
    known: (key: AppendKey) => {
      const entry = facts.known(key);
      const newest = entry && facts.rows.get(entry.log)?.ts;
      return entry && newest !== undefined && newest - entry.ts > ms ? undefined : entry;
    },
  }));

export function everybodyEver(): Lie {
  const ever = new Map<bigint, Map<bigint, { home: number; from: number }>>();
  return lying((facts) =>
    withStates(facts, (state) => {
      const members = ever.get(state.log) ?? new Map();
      ever.set(state.log, members);
      for (const [user, member] of state.members) members.set(user, member);
      return { ...state, members: new Map(members) };
    }),
  );
}

/** Reads frames "above the last id read": rows that commit later with a lower id are never seen. */
export const readsAboveTheLast: Lie = (inner) => {
  const last = new Map<number, bigint>();
  const unacknowledged = async (dst: number, beforeMs: number, limit: number): Promise<OutboxRow[]> => {
    const rows = (await inner.unacknowledged(dst, beforeMs, limit)).filter(({ id }) => id > (last.get(dst) ?? 0n));
    const newest = rows.at(-1);
    if (newest) last.set(dst, newest.id);
    return rows;
  };
  return over<CellStore>(inner, { unacknowledged });
};
