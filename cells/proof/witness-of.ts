// Which cell keeps the owner's word on a log: one that keeps the log too, else one that everybody finds by the log's id.
import type { LogState } from '../delivery/log-state.ts';

const replicasOf = (state: LogState, owner: number): number[] =>
  [...state.cells].filter(([cell, { until }]) => cell !== owner && until === 0).map(([cell]) => cell);

/** Undefined in a fabric of one cell. `others`: cells that are open, the owner may be among them. */
export function witnessOf(state: LogState, owner: number, others: readonly number[]): number | undefined {
  const replicas = replicasOf(state, owner);
  const from = (replicas.length > 0 ? replicas : others.filter((cell) => cell !== owner)).toSorted((a, b) => a - b);
  return from[Number(state.log % BigInt(Math.max(1, from.length)))];
}

/** Every cell that is told of a signed head: those that keep the log, or the witness alone. */
export function keepersOf(state: LogState, owner: number, others: readonly number[]): number[] {
  const replicas = replicasOf(state, owner);
  if (replicas.length > 0) return replicas;
  const witness = witnessOf(state, owner, others);
  return witness === undefined ? [] : [witness];
}
