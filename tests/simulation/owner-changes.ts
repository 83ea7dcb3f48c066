// Owners change while everything else happens: logs are handed over, cells die and their logs are taken over.
import { ownerOf } from '@weft/cells/delivery/log-state.ts';
import { countByDirectory, epochParts, makeEpoch } from '@weft/proto/positions.ts';
import type { CellProcess } from './cell-process.ts';
import type { Breakable } from './faults.ts';
import { sharedLogs } from './judge.ts';

/** What happens to owners in one run, beside its faults. */
export type OwnerScenario = (world: OwnedWorld, chaosMs: number) => void;

/** What of a world its scenario uses. */
export interface OwnedWorld extends Breakable {
  readonly takeovers: ReadonlyMap<bigint, { readonly epoch: bigint; readonly owner: number }>;
  someNode(cell: number): CellProcess | undefined;
  sign(log: bigint, takeover: { epoch: bigint; owner: number }): void;
}

const handoversMax = 30;
const takeoversMax = 8;

/** Any owner gives any log to any cell that keeps all of it, at any time. */
export const handovers: OwnerScenario = (world, chaosMs) => {
  const { random, time } = world;
  for (let i = 5 + random.int(handoversMax); i > 0; i--) time.after(random.int(chaosMs), () => handOverOne(world));
};

function handOverOne(world: OwnedWorld): void {
  const found = world.pick(sharedLogs(world.cells));
  if (!found) return;
  const { row, state } = found.owner;
  const to = world.pick([...state.cells].filter(([cell, { from, until }]) => cell !== ownerOf(state) && from === 1 && until === 0));
  const process = world.someNode(ownerOf(state));
  if (!to || !process) return;
  world.trace(`hand over ${row.log} from ${ownerOf(state)} to ${to[0]}`);
  process.handOver(row.log, to[0]).then(
    (outcome) => world.trace(`handed over ${row.log}: ${outcome.type}`),
    () => undefined,
  );
}

/** The directory gives any log to any cell that keeps all of it, whether its owner is dead, cut off or well: nobody is asked. */
export const takeovers: OwnerScenario = (world, chaosMs) => {
  const { random, time } = world;
  for (let i = 1 + random.int(takeoversMax); i > 0; i--) time.after(random.int(chaosMs), () => takeOverOne(world));
};

function takeOverOne(world: OwnedWorld): void {
  const found = world.pick(sharedLogs(world.cells));
  if (!found) return;
  const { row, state } = found.owner;
  const copy = world.pick(found.copies.filter(({ stored, from, until }) => stored?.start === 0 && from === 1 && until === 0));
  if (!copy) return;
  const signed = world.takeovers.get(row.log);
  const last = signed && signed.epoch > row.epoch ? signed.epoch : row.epoch;
  const { number: cell, generation } = copy.cell;
  const epoch = makeEpoch({ count: countByDirectory(epochParts(last).count), cell, generation });
  world.trace(`take over ${row.log} from ${ownerOf(state)} by ${cell}`);
  world.sign(row.log, { epoch, owner: cell });
}

export const handoversAndTakeovers: OwnerScenario = (world, chaosMs) => {
  handovers(world, chaosMs);
  takeovers(world, chaosMs);
};
