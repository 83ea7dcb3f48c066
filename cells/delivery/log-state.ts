// What must be known of a log to decide on it: kind, owner, members, the cells that keep it. Immutable; a state entry
// makes a new state with the next version. The locked row's version tells whether a cached state is current (R7).
import { Created, Handover, type Member, MembersAdded, MembersRemoved } from '@weft/proto/gen/weft/client/v1/client.ts';
import { type EpochStart, epochParts } from '@weft/proto/positions.ts';
import { type Entry, kinds } from './entry.ts';
import { withEpoch } from './epochs.ts';

export type LogKind = 'direct' | 'group' | 'self';

export interface MemberState {
  /** Number of the home cell. */
  readonly home: number;
  /** First seq this member may read. */
  readonly from: number;
}

export interface CellInterval {
  /** First seq the cell gets. */
  readonly from: number;
  /** Last seq the cell gets; 0 while it has members. */
  readonly until: number;
}

export const isWithin = (interval: CellInterval | undefined, seq: number): boolean =>
  interval !== undefined && seq >= interval.from && (interval.until === 0 || seq <= interval.until);

export interface LogState {
  readonly log: bigint;
  readonly kind: LogKind;
  readonly epoch: bigint;
  /** All epochs, oldest first; the last is the current one. */
  readonly epochs: readonly EpochStart[];
  /** Rises with every change of this state. */
  readonly version: number;
  readonly title: string;
  readonly membersMax: number;
  readonly creator: bigint;
  /** The pair of a direct conversation; of a self log, the user and 0. */
  readonly low: bigint;
  readonly high: bigint;
  readonly members: ReadonlyMap<bigint, MemberState>;
  readonly cells: ReadonlyMap<number, CellInterval>;
}

export const ownerOf = (state: { readonly epoch: bigint }): number => epochParts(state.epoch).cell;

/** What names a log before it has an id: the two users of a direct conversation, lower id first. */
export interface Pair {
  readonly low: bigint;
  readonly high: bigint;
}

/** What names a group before it has an id: its creator and, negative, the id of the creating append. */
export const groupPair = (creator: bigint, clientEntryId: bigint): Pair => ({ low: creator, high: -clientEntryId });
export const isGroupPair = (pair: Pair): boolean => pair.high < 0n;

export const pairOf = (a: bigint, b: bigint): Pair => (a < b ? { low: a, high: b } : { low: b, high: a });
export const pairKey = (pair: Pair): string => `${pair.low}:${pair.high}`;

/** Intake and its decisions are numbered per stream: a direct conversation's pair, else the log. */
export interface Stream {
  readonly a: bigint;
  readonly b: bigint;
}

export const streamOf = (state: LogState): Stream => (state.kind === 'direct' ? { a: state.low, b: state.high } : { a: state.log, b: 0n });
export const streamOfPair = (pair: Pair): Stream => ({ a: pair.low, b: pair.high });
export const streamKey = (stream: Stream): string => `${stream.a}:${stream.b}`;

const protoKinds = { LOG_KIND_DIRECT: 'direct', LOG_KIND_GROUP: 'group', LOG_KIND_SELF: 'self' } as const;

/** The state after a log's first entry, or undefined when the body is not a usable `Created`. */
export function stateAfterCreation(entry: Entry): LogState | undefined {
  const created = decodeBody(() => Created.decode(entry.body));
  if (!created || created.kind === 'LOG_KIND_UNSPECIFIED' || created.kind === 'UNRECOGNIZED' || created.members.length === 0)
    return undefined;
  const kind = protoKinds[created.kind as keyof typeof protoKinds];
  const members = new Map(created.members.map((m) => [m.user, { home: m.home, from: entry.seq }]));
  const ids = [...members.keys()].sort((x, y) => (x < y ? -1 : 1));
  if (kind === 'direct' && ids.length !== 2) return undefined;
  return {
    log: entry.log,
    kind,
    epoch: entry.epoch,
    epochs: [{ epoch: entry.epoch, base: 0 }],
    version: 1,
    title: created.title,
    membersMax: created.membersMax,
    creator: entry.author,
    low: kind === 'group' ? 0n : (ids[0] as bigint),
    high: kind === 'direct' ? (ids[1] as bigint) : 0n,
    members,
    cells: cellsOf(members, new Map(), entry.seq),
  };
}

/** The state after a later state entry. Undefined when the body cannot be understood: the log must freeze (R27). */
export function stateAfter(state: LogState, entry: Entry): LogState | undefined {
  if (entry.kind === kinds.membersAdded) {
    const added = decodeBody(() => MembersAdded.decode(entry.body));
    return added && withMembers(state, addTo(state.members, added.members, entry.seq), entry.seq);
  }
  if (entry.kind === kinds.membersRemoved) {
    const removed = decodeBody(() => MembersRemoved.decode(entry.body));
    if (!removed) return undefined;
    const members = new Map(state.members);
    for (const user of removed.users) members.delete(user);
    return withMembers(state, members, entry.seq);
  }
  if (entry.kind === kinds.handover) {
    const handover = decodeBody(() => Handover.decode(entry.body));
    return handover && handover.epoch > entry.epoch ? withOwner(state, { epoch: handover.epoch, base: entry.seq }) : undefined;
  }
  if (entry.kind === kinds.takeover) return withOwner(state, { epoch: entry.epoch, base: entry.seq - 1 });
  return undefined;
}

function withOwner(state: LogState, start: EpochStart): LogState {
  const epochs = withEpoch(state.epochs, start);
  return { ...state, version: state.version + 1, epochs, epoch: epochs.at(-1)?.epoch ?? state.epoch };
}

function addTo(members: ReadonlyMap<bigint, MemberState>, added: readonly Member[], seq: number): Map<bigint, MemberState> {
  const next = new Map(members);
  for (const m of added) if (!next.has(m.user)) next.set(m.user, { home: m.home, from: seq });
  return next;
}

const withMembers = (state: LogState, members: ReadonlyMap<bigint, MemberState>, seq: number): LogState => ({
  ...state,
  version: state.version + 1,
  members,
  cells: cellsOf(members, state.cells, seq),
});

/** Cells with members get everything from the entry that brought the first; the entry that takes the last is their last (R18). */
function cellsOf(
  members: ReadonlyMap<bigint, MemberState>,
  before: ReadonlyMap<number, CellInterval>,
  seq: number,
): Map<number, CellInterval> {
  const homes = new Set([...members.values()].map((m) => m.home));
  const cells = new Map<number, CellInterval>();
  for (const [cell, interval] of before) {
    const gone = interval.until === 0 && !homes.has(cell);
    cells.set(cell, gone ? { from: interval.from, until: seq } : interval);
  }
  for (const home of homes) {
    const interval = cells.get(home);
    if (interval?.until !== 0) cells.set(home, { from: seq, until: 0 });
  }
  return cells;
}

/** Users who became or stopped being members between two states. */
export function membershipChange(before: LogState | undefined, after: LogState): { readonly joined: bigint[]; readonly left: bigint[] } {
  const joined = [...after.members.keys()].filter((u) => !before?.members.has(u));
  const left = before ? [...before.members.keys()].filter((u) => !after.members.has(u)) : [];
  return { joined, left };
}

function decodeBody<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch {
    return undefined;
  }
}

/** Members whose home is this cell. */
export const ownMembers = (state: LogState, cell: number): bigint[] =>
  [...state.members].filter(([, member]) => member.home === cell).map(([user]) => user);
