// Owners change while everything else happens: any owner hands any log to any cell that keeps all of it, and the directory
// gives any log to any such cell, whether its owner is dead, cut off or well.
import { ownerOf } from '@weft/cells/delivery/log-state.ts';
import type { LogRow } from '@weft/cells/delivery/ports.ts';
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
/** When, after all is healed, an operator looks whether every takeover that was signed could begin. */
const operatorLooksMs = [2_000, 6_000];

export const handovers: OwnerScenario = (world, { random, untilMs }) => {
  for (let i = 5 + random.int(handoversMax); i > 0; i--) world.time.after(random.int(untilMs), () => handOverOne(world, random));
};

export const takeovers: OwnerScenario = (world, { random, untilMs }) => {
  for (let i = 1 + random.int(takeoversMax); i > 0; i--) world.time.after(random.int(untilMs), () => takeOverOne(world, random));
  for (const afterMs of operatorLooksMs) world.time.after(untilMs + afterMs, () => signAgain(world));
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
  signFor(world, found.owner.row, copy.cell);
}

function signFor(world: OwnedWorld, { log, epoch }: Pick<LogRow, 'log' | 'epoch'>, { number, generation }: MemoryCell): void {
  const signed = world.takeovers.get(log)?.epoch ?? 0n;
  const { count } = epochParts(signed > epoch ? signed : epoch);
  world.sign(log, { epoch: makeEpoch({ count: countByDirectory(count), cell: number, generation }), owner: number });
}

/** The cell that was to own it was restored since, and keeps it from a later place only: another one that keeps all of it is signed for. */
function signAgain(world: OwnedWorld): void {
  for (const [log, { owner, epoch }] of world.takeovers) {
    const stored = world.cells[owner - 1]?.logs.get(log);
    if (!stored || stored.start === 0 || stored.row.epoch >= epoch) continue;
    const whole = world.cells.find((cell) => cell.logs.get(log)?.start === 0);
    if (whole) signFor(world, stored.row, whole);
  }
}
