// 63-bit ids: 41 bits of milliseconds since 2026-01-01T00:00Z, 12 bits birth cell, 5 bits node, 5 bits counter.
// The birth cell is a routing hint: only users and logs that moved need a directory entry.

export type UserId = bigint & { readonly __user: unique symbol };
export type LogId = bigint & { readonly __log: unique symbol };
export type SessionId = bigint & { readonly __session: unique symbol };
/** Number of a cell, 1..4095; never reused. */
export type CellNumber = number & { readonly __cell: unique symbol };

/** 2026-01-01T00:00:00Z in milliseconds since the Unix epoch. */
export const idEpochMs = 1_767_225_600_000;
export const cellNumberMax = 4_095;
export const nodeNumberMax = 31;
export const idCounterMax = 31;

export const user = (id: bigint): UserId => id as UserId;
export const log = (id: bigint): LogId => id as LogId;
export const session = (id: bigint): SessionId => id as SessionId;

export function cellNumber(value: number): CellNumber {
  if (!Number.isInteger(value) || value < 1 || value > cellNumberMax)
    throw new RangeError(`a cell number is 1..${cellNumberMax}, not ${value}`);
  return value as CellNumber;
}

/** Cell in which a user or log was born. */
export const birthCell = (id: bigint): CellNumber => Number((id >> 10n) & 0xfffn) as CellNumber;

/** Milliseconds since the Unix epoch at which the id was made. */
export const idTimeMs = (id: bigint): number => Number(id >> 22n) + idEpochMs;

export function makeId(timeMs: number, cell: number, node: number, counter: number): bigint {
  return (BigInt(timeMs - idEpochMs) << 22n) | (BigInt(cell) << 10n) | (BigInt(node) << 5n) | BigInt(counter);
}

/** A client's entry id: 41 bits of milliseconds since 2026-01-01, 22 random bits. Never 0. */
export function makeClientEntryId(nowMs: number, random22: number): bigint {
  return (BigInt(nowMs - idEpochMs) << 22n) | BigInt(random22 & 0x3fffff);
}

/** `p` of a log: its write lane and the last token of its frames' subject. No rule depends on it. */
export const lanes = 4;
export const laneOf = (id: bigint): number => Number(((id >> 22n) ^ (id >> 5n) ^ id) & 3n);
