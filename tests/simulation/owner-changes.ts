// Owners change while everything else happens: any owner hands any log to any cell that keeps all of it, and the directory
// gives any log to any such cell, whether its owner is dead, cut off or well.
import { ownerOf } from '@weft/cells/delivery/log-state.ts';
import { countByDirectory, epochParts, makeEpoch } from '@weft/proto/positions.ts';
import type { Random } from '@weft/runtime/random.ts';
import { sharedLogs } from './judge.ts';
import type { MemoryCell } from './memory-cell.ts';
import type { SimulatedNode } from './simulated-node.ts';
import type { SimulatedTime } from './simulated-time.ts';

/** What of a world a scenario uses. */
export interface OwnedWorld {
  readonly time: SimulatedTime;
  readonly cells: readonly MemoryCell[];
  readonly nodes: ReadonlyMap<string, SimulatedNode>;
  readonly takeovers: ReadonlyMap<bigint, { readonly epoch: bigint; readonly owner: number }>;
  sign(log: bigint, takeover: { epoch: bigint; owner: number }): void;
}

/** `untilMs`: when all is healed. */
export type OwnerScenario = (world: OwnedWorld, of: { readonly random: Random; readonly untilMs: number }) => void;

const handoversMax = 30;
const takeoversMax = 8;

export const handovers: OwnerScenario = (world, { random, untilMs }) => {
  for (let i = 5 + random.int(handoversMax); i > 0; i--) world.time.after(random.int(untilMs), () => handOverOne(world, random));
};

export const takeovers: OwnerScenario = (world, { random, untilMs }) => {
  for (let i = 1 + random.int(takeoversMax); i > 0; i--) world.time.after(random.int(untilMs), () => takeOverOne(world, random));
};

export const handoversAndTakeovers: OwnerScenario = (world, of) => {
  handovers(world, of);
  takeovers(world, of);
};

const pick = <T>(random: Random, from: readonly T[]): T | undefined => from[random.int(Math.max(from.length, 1))];

function handOverOne(world: OwnedWorld, random: Random): void {
  const found = pick(random, sharedLogs(world.cells));
  if (!found) return;
  const { row, state } = found.owner;
  const keepers = [...state.cells].filter(([cell, { from, until }]) => cell !== ownerOf(state) && from === 1 && until === 0);
  const to = pick(random, keepers)?.[0];
  const node = [...world.nodes].find(([name, each]) => name.startsWith(`${ownerOf(state)}.`) && each.alive)?.[1];
  if (to === undefined || !node) return;
  node.delivery.applier
    .apply({ type: 'handover', log: row.log, to, toGeneration: world.cells[to - 1]?.generation ?? 1 })
    .catch(() => undefined);
}

function takeOverOne(world: OwnedWorld, random: Random): void {
  const found = pick(random, sharedLogs(world.cells));
  const whole = found?.copies.filter(({ stored, from, until }) => stored?.start === 0 && from === 1 && until === 0) ?? [];
  const copy = pick(random, whole);
  if (!found || !copy) return;
  const { row } = found.owner;
  const signed = world.takeovers.get(row.log)?.epoch ?? 0n;
  const { count } = epochParts(signed > row.epoch ? signed : row.epoch);
  const owner = copy.cell.number;
  world.sign(row.log, { epoch: makeEpoch({ count: countByDirectory(count), cell: owner, generation: copy.cell.generation }), owner });
}
