// Guards switched off, one at a time, from outside: what stands at the core's ports lies to it, or what it is told is
// changed on the way. A guard whose mutation nothing notices does not count as tested.

import { type LogState, ownerOf } from '@weft/cells/delivery/log-state.ts';
import type { ApplyOperation, Operation } from '@weft/cells/delivery/operations.ts';
import type { Facts, Link, LogRow, LogStore, WriteKeys, Writes } from '@weft/cells/delivery/ports.ts';
import { FrameAcks } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { birthCell } from '@weft/proto/ids.ts';
import type { MemoryLogStore } from './memory-log-store.ts';
import type { DeliveredFrame } from './memory-network.ts';

export interface Mutation {
  readonly store?: (inner: MemoryLogStore) => LogStore;
  readonly link?: (inner: Link, store: LogStore) => Link;
  /** An operation of another cell on its way to its lane. */
  readonly operation?: (operation: Operation) => Operation;
  /** A frame before it is applied. */
  readonly taken?: (frame: DeliveredFrame, link: Link) => void;
  readonly pullsNothing?: boolean;
  /** The table's unique key over author and client entry id is gone too: the look-up is one guard with it. */
  readonly entriesNotUnique?: boolean;
}

/** A store whose facts are changed before the decision sees them. */
function lying(change: (facts: Facts, keys: WriteKeys) => Partial<Facts>): (inner: MemoryLogStore) => LogStore {
  return (inner) =>
    over(inner, (lane, keys, decide) =>
      inner.write(lane, keys, (facts) => {
        const changed: Facts = {
          rows: facts.rows,
          states: facts.states,
          known: (key) => facts.known(key),
          stored: (log, seq) => facts.stored(log, seq),
          target: (log, seq) => facts.target(log, seq),
          pairLog: (pair) => facts.pairLog(pair),
          nextIntake: (stream) => facts.nextIntake(stream),
          waiting: (author, id, stream) => facts.waiting(author, id, stream),
          openIntake: (author) => facts.openIntake(author),
          decided: (key) => facts.decided(key),
          ...change(facts, keys),
        };
        return decide(changed);
      }),
    );
}

type Write = <T extends { readonly writes: Writes }>(lane: number, keys: WriteKeys, decide: (facts: Facts) => T) => Promise<T>;

const over = (inner: LogStore, write: Write): LogStore => ({
  write,
  findPairs: (pairs) => inner.findPairs(pairs),
  readRange: (log, from, to, limit) => inner.readRange(log, from, to, limit),
  readRow: (log) => inner.readRow(log),
  unacknowledged: (dst, beforeMs, limit) => inner.unacknowledged(dst, beforeMs, limit),
  acknowledged: (dst, ids) => inner.acknowledged(dst, ids),
  openIntake: (dst, beforeMs, limit) => inner.openIntake(dst, beforeMs, limit),
  behind: (limit) => inner.behind(limit),
  noteBehind: (rows) => inner.noteBehind(rows),
  forgetBehind: (log) => inner.forgetBehind(log),
});

function withStates(facts: Facts, change: (state: LogState) => LogState): Partial<Facts> {
  return { states: new Map([...facts.states].map(([log, state]) => [log, change(state)])) };
}

/** The answer leaves when everything is decided, not when it is committed. */
const toldBeforeCommit = (inner: MemoryLogStore): LogStore =>
  over(
    inner,
    (lane, keys, decide) =>
      new Promise((resolve, reject) => {
        const decideAndTell: typeof decide = (facts) => {
          const decision = decide(facts);
          resolve(decision);
          return decision;
        };
        inner.write(lane, keys, decideAndTell).catch(reject);
      }),
  );

/** Runs beyond the head look as if they continued it. */
function headsJump(facts: Facts, keys: WriteKeys): Partial<Facts> {
  const rows = new Map<bigint, LogRow>(facts.rows);
  for (const { log, from } of keys.runs) {
    const row = rows.get(log);
    if (row && from > row.head + 1) rows.set(log, { ...row, head: from - 1 });
  }
  return { rows };
}

function everybodyEver(): (facts: Facts) => Partial<Facts> {
  const ever = new Map<bigint, Map<bigint, { home: number; from: number }>>();
  return (facts) =>
    withStates(facts, (state) => {
      const members = ever.get(state.log) ?? new Map();
      ever.set(state.log, members);
      for (const [user, member] of state.members) members.set(user, member);
      return { ...state, members: new Map(members) };
    });
}

const acknowledgeAtOnce = (frame: DeliveredFrame, link: Link): void => {
  frame.ack();
  if (frame.cls !== 'i')
    link.acknowledge(frame.src, FrameAcks.encode({ generation: 1n, committed: [frame.id], rejected: [], afterMs: 0 }).finish());
};

const asIfFromOwner = (operation: ApplyOperation): ApplyOperation => {
  const first = operation.entries[0];
  return first ? { ...operation, src: ownerOf(first) } : operation;
};

export const noMutation: Mutation = {};

/** A fresh one for each run: some keep what they have seen. */
export const mutations: Readonly<Record<string, () => Mutation>> = {
  'dedupe: what is stored already is not looked up': () => ({
    store: lying(() => ({ known: () => undefined })),
    entriesNotUnique: true,
  }),
  'ack after commit: accepted is told before the commit': () => ({ store: toldBeforeCommit }),
  'ack after commit: a frame is acknowledged before it is applied': () => ({ taken: acknowledgeAtOnce }),
  'contiguous apply: what lies beyond a hole is stored': () => ({ store: lying(headsJump) }),
  'pull: nothing is ever pulled': () => ({ pullsNothing: true }),
  'attempt number: it is never raised': () => ({
    link: (inner) => ({ ...inner, publish: (frame) => inner.publish({ ...frame, attempt: 1 }) }),
  }),
  'intake number: any number is decided when it comes': () => ({
    store: lying(() => ({ decided: () => 0 })),
    operation: (operation) => (operation.type === 'intake' ? { ...operation, lowestOpen: operation.n } : operation),
  }),
  "author's home: any cell may speak for anybody": () => ({
    operation: (operation) => (operation.type === 'intake' ? { ...operation, src: birthCell(operation.author) } : operation),
  }),
  'permission: whoever was a member once may write': () => ({ store: lying(everybodyEver()) }),
  'limit: a group takes any number of members': () => ({
    store: lying((facts) => withStates(facts, (state) => ({ ...state, membersMax: Number.MAX_SAFE_INTEGER }))),
  }),
  "outbox: a frame is forgotten at the broker's answer": () => ({
    link: (inner, store) => ({
      ...inner,
      publish: async (frame) => {
        const result = await inner.publish(frame);
        if (result === 'stored') await store.acknowledged(frame.dst, [frame.id]).catch(() => undefined);
        return result;
      },
    }),
  }),
  'owner: entries are applied from any cell': () => ({
    operation: (operation) => (operation.type === 'apply' ? asIfFromOwner(operation) : operation),
  }),
  'refusal: any cell may refuse an append': () => ({
    operation: (operation) => (operation.type === 'refused' ? { ...operation, src: deciderOf(operation) } : operation),
  }),
};

const deciderOf = (operation: Extract<Operation, { type: 'refused' }>): number =>
  'log' in operation.target ? birthCell(operation.target.log) : birthCell(operation.target.pair.low);
