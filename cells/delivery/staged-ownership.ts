// What a staged cell asks of others to get its logs to where it may give seqs, and how they answer.
import { KeptRequest, TailRequest } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { fromWire, toWire } from '../wire/entry-codec.ts';
import { hashOf } from './chain-of.ts';
import { ownerOf } from './log-state.ts';
import { Ownership, type OwnershipOptions } from './ownership.ts';
import { foldState } from './snapshot.ts';
import { chain, type StagedCell } from './staged-cell.ts';
import { TailServer } from './tail-server.ts';

function fail(what: unknown): never {
  throw what instanceof Error ? what : new Error(String(what));
}

export const rowOf = (cell: StagedCell, log: bigint) => {
  const [row, state] = [cell.rows.get(log), cell.states.get(log)];
  return row && state ? { row, state, start: (cell.logEntries(log)[0]?.seq ?? row.head + 1) - 1 } : undefined;
};

export const serverOf = (cell: StagedCell): TailServer =>
  new TailServer({
    store: {
      readRow: async (log: bigint) => rowOf(cell, log),
      readRange: async (log: bigint, from: number, to: number) => cell.logEntries(log).filter(({ seq }) => seq >= from && seq <= to),
    } as never,
    takeover: () => undefined,
    kept: async (owner) => [...cell.rows.values()].filter((row) => ownerOf(row) === owner) as never,
    limits: { pullEntriesMax: 100, pullBytesMax: 100_000, keptPageRows: 100 },
    toWire,
    refused: () => fail('the owner may ask'),
  });

/** What a restored cell 1 asks of others, of which each is there; `back`: what another of its nodes has written down. */
export function ownershipOf(
  owner: StagedCell,
  others: readonly StagedCell[],
  back: Map<number, boolean>,
  more: Partial<OwnershipOptions> = {},
): Ownership {
  return new Ownership({
    cell: owner.number,
    generation: owner.generation,
    store: {
      readRow: async (log: bigint) => rowOf(owner, log),
      unsettled: async () => [...owner.rows.values()].filter(({ status }) => status !== 'open'),
    } as never,
    link: {
      request: async (number, what, bytes) => {
        const server = serverOf(others.find((each) => each.number === number) as StagedCell);
        return what === 'tail'
          ? server.tail(owner.number, TailRequest.decode(bytes))
          : server.kept(owner.number, KeptRequest.decode(bytes));
      },
    },
    others: () => others.map(({ number }) => number),
    generationOf: (cell) => others.find(({ number }) => number === cell)?.generation ?? 0,
    takeover: (log) => owner.takeovers.get(log),
    regained: { read: async () => new Map(back), regained: async (cell) => void back.set(cell, false) },
    apply: async (operation) => owner.decide(operation)[0] as never,
    compare: async () => [],
    stateAt: async (log, seq) => {
      const entries = owner.logEntries(log).filter((entry) => entry.seq <= seq);
      const [state, last] = [foldState(entries), entries.at(-1)];
      return state && last && { state, start: seq, ts: last.ts, ord: last.ord, hash: hashOf(chain, last) ?? fail('no hash'), floor: 0 };
    },
    want: () => undefined,
    takeOwn: () => undefined,
    fromWire,
    limits: { unsettledMax: 10, tailPagesMax: 10 },
    failed: (error) => fail(error),
    ...more,
  });
}
