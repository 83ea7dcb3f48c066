// Judges one simulated run: the history checker's invariants, and what it cannot know because it sees no state: who might
// write, how many members, what every copy and every table must look like once all is quiet.
import { type Entry, isContent, isOwnership, kinds } from '@weft/cells/delivery/entry.ts';
import { ownedUpTo } from '@weft/cells/delivery/epochs.ts';
import { type LogState, ownerOf, stateAfter, stateAfterCreation } from '@weft/cells/delivery/log-state.ts';
import type { Mark } from '@weft/cells/delivery/marks.ts';
import { Refused } from '@weft/proto/gen/weft/client/v1/client.ts';
import type { DeviceRecord, HistoryEvent, LogDump, SeenEntry } from '../history.ts';
import { checkHistory, describeViolations } from '../history-checker.ts';
import { entryKey, type MemoryCell, type StoredLog } from './memory-cell.ts';
import { isFurther, sameMark } from './memory-tables.ts';
import type { Restores } from './restores.ts';

const seenOf = (entry: Entry): SeenEntry => ({
  log: entry.log,
  epoch: entry.epoch,
  seq: entry.seq,
  author: entry.author,
  clientEntryId: entry.clientEntryId,
  content: isContent(entry.kind),
  // State entries are compared by their ids: a client holds them decoded.
  body: isContent(entry.kind) ? Buffer.from(entry.body).toString('base64') : '',
});

interface Shared {
  readonly owner: StoredLog;
  readonly copies: readonly {
    readonly cell: MemoryCell;
    readonly stored: StoredLog | undefined;
    readonly from: number;
    readonly until: number;
  }[];
}

/** Every log but the self logs, with its owner's copy and those the owner's state says there must be. */
export function sharedLogs(cells: readonly MemoryCell[]): Shared[] {
  const found: Shared[] = [];
  for (const cell of cells) {
    for (const owner of cell.logs.values()) {
      if (owner.state.kind === 'self' || ownerOf(owner.state) !== cell.number) continue;
      const copies = [...owner.state.cells]
        .filter(([number]) => number !== cell.number)
        .map(([number, { from, until }]) => {
          const keeper = cells.find((each) => each.number === number) as MemoryCell;
          return { cell: keeper, stored: keeper.logs.get(owner.row.log), from, until };
        });
      found.push({ owner, copies });
    }
  }
  return found;
}

/** What cells went through that lets their copies differ from what is due, where all their people have left a log. */
export interface Pardons {
  /** Cells that were restored. What their backup does not know of such a log they need not get again: nobody there may read it. */
  readonly restored: ReadonlySet<number>;
  /** Log and cell, "log/cell", that the directory ever gave it to: to own it the cell gets all that there is, in time or not. */
  readonly given: ReadonlySet<string>;
}

/** What still has to happen; empty when every copy is whole and nothing waits. */
export function unsettled(cells: readonly MemoryCell[], { restored, given }: Pardons): string[] {
  const found: string[] = [];
  for (const cell of cells) {
    for (const [dst, rows] of cell.outbox)
      if (rows.size > 0) found.push(`cell ${cell.number}: ${rows.size} frames to ${dst} without acknowledgement`);
    const untold = cell.waitingMarks().length;
    if (untold > 0) found.push(`cell ${cell.number}: ${untold} marks untold`);
    if (cell.intake.size > 0) found.push(`cell ${cell.number}: ${cell.intake.size} appends undecided`);
    if (cell.behind.size > 0) found.push(`cell ${cell.number}: behind in ${[...cell.behind.keys()].join(', ')}`);
  }
  for (const { owner, copies } of sharedLogs(cells)) {
    for (const { cell, stored, until } of copies) {
      const due = until === 0 ? owner.row.head : until;
      // A former owner without members keeps what it gave.
      const wasOwner = until !== 0 && stored !== undefined && (ownedUpTo(stored.state.epochs, cell.number) ?? 0) >= due;
      const head = stored?.row.head ?? 0;
      const isPardoned = head < due ? stored === undefined && restored.has(cell.number) : given.has(`${owner.row.log}/${cell.number}`);
      if (head !== due && !wasOwner && !(until !== 0 && isPardoned))
        found.push(`cell ${cell.number}: log ${owner.row.log} at ${head} of ${due}`);
    }
  }
  return found;
}

function dumpsOf(cells: readonly MemoryCell[]): LogDump[] {
  const dump = (cell: MemoryCell, stored: StoredLog, of: { owner: boolean; start: number; until: number }): LogDump => ({
    cell: String(cell.number),
    log: stored.row.log,
    ...of,
    entries: [...stored.entries.values()].filter(({ seq }) => seq >= of.start).map(seenOf),
  });
  return sharedLogs(cells).flatMap(({ owner, copies }) => {
    const home = cells.find((cell) => cell.number === ownerOf(owner.state)) as MemoryCell;
    const kept = copies.flatMap(({ cell, stored, from, until }) =>
      stored ? [dump(cell, stored, { owner: false, start: from, until: until === 0 ? Number.POSITIVE_INFINITY : until })] : [],
    );
    return [dump(home, owner, { owner: true, start: 1, until: Number.POSITIVE_INFINITY }), ...kept];
  });
}

/** Who may write and how many may be in, entry by entry of the owner's copy; dense, ordered, counted. */
function wrongInLog({ owner }: Shared): string[] {
  const found: string[] = [];
  const { log } = owner.row;
  let state: LogState | undefined;
  let [ts, ord] = [0, 0];
  for (let seq = 1; seq <= owner.row.head; seq++) {
    const entry = owner.entries.get(seq);
    if (!entry) return [...found, `log ${log} has no ${seq}, its head is ${owner.row.head}`];
    ord += isContent(entry.kind) ? 1 : 0;
    if (entry.ord !== ord || entry.ts < ts) found.push(`log ${log} seq ${seq}: ord ${entry.ord}, ts ${entry.ts}`);
    ts = entry.ts;
    if (state && !isOwnership(entry.kind) && !state.members.has(entry.author))
      found.push(`I10: log ${log} seq ${seq} is by ${entry.author}, no member`);
    if (entry.kind === kinds.created) state = stateAfterCreation(entry);
    else if (!isContent(entry.kind)) state = state && stateAfter(state, entry);
    if (!state) return [...found, `log ${log} seq ${seq} leaves no state`];
    if (state.members.size > state.membersMax) found.push(`limit: log ${log} seq ${seq} makes ${state.members.size} members`);
  }
  return found;
}

/**
 * Refusals that only the author's self log tells: of what was accepted, given up by a newer epoch, and offered again by an author
 * who may not write any more. The SDK does not go back on an acceptance; what it showed it has taken back.
 */
function refusedAtHome(cells: readonly MemoryCell[], devices: readonly DeviceRecord[]): HistoryEvent[] {
  const deviceOf = new Map(devices.map(({ user, device }) => [user, device]));
  return cells.flatMap((cell) =>
    [...cell.logs.values()]
      .flatMap(({ entries }) => [...entries.values()].filter(({ kind }) => kind === kinds.appendRefused))
      .map(({ log, body }) => {
        const { clientEntryId, code } = Refused.decode(body);
        return { at: 0, device: deviceOf.get(log) ?? '', what: 'refused' as const, clientEntryId, code };
      }),
  );
}

const membersOf = (state: LogState): string => [...state.members.keys()].map(String).sort().join(' ');

function wrongInCopies({ owner, copies }: Shared): string[] {
  const found: string[] = [];
  for (const { cell, stored, from, until } of copies) {
    if (!stored) continue;
    const where = `cell ${cell.number}'s copy of log ${owner.row.log}`;
    if (stored.row.status !== 'open') found.push(`${where} is ${stored.row.status}`);
    if (stored.row.head === owner.row.head && Buffer.compare(stored.row.hash, owner.row.hash) !== 0)
      found.push(`I17: ${where} has another hash at its head`);
    if (until === 0 && membersOf(stored.state) !== membersOf(owner.state)) found.push(`${where} has other members than the owner`);
    if (until === 0 && stored.state.version !== owner.state.version) found.push(`${where} has version ${stored.state.version}`);
    if (stored.start >= from) found.push(`${where} begins after ${stored.start}, not ${from - 1}`);
  }
  return found;
}

/** Everybody's list of logs is what the owners' members say. */
function wrongLists(cells: readonly MemoryCell[], shared: readonly Shared[]): string[] {
  const found: string[] = [];
  const people = cells.flatMap((cell) =>
    [...cell.logs.values()].filter(({ state }) => state.kind === 'self').map(({ state }) => ({ cell, user: state.low })),
  );
  for (const { owner } of shared) {
    for (const { cell, user } of people) {
      const listed = cell.userLogs.get(user)?.get(owner.row.log)?.until === 0;
      if (listed !== owner.state.members.has(user)) found.push(`user ${user} has log ${owner.row.log} ${listed ? '' : 'not '}listed`);
    }
  }
  return found;
}

/**
 * Marks are the same wherever they are kept, in cells that were in the log from the beginning (I11). A restored cell goes back to
 * those of its backup, and says and hears nothing of it before they move again: so it may be behind, and nobody else.
 */
export function wrongMarks(cells: readonly MemoryCell[], restored: ReadonlySet<number>): string[] {
  const found: string[] = [];
  for (const { owner } of sharedLogs(cells)) {
    const { log } = owner.row;
    const whole = cells.filter(({ number }) => owner.state.cells.get(number)?.from === 1 && owner.state.cells.get(number)?.until === 0);
    for (const [user, { home }] of owner.state.members) {
      const key = `${log}:${user}`;
      const own = cells.find(({ number }) => number === home)?.marks.get(key);
      for (const cell of whole) {
        const kept = cell.marks.get(key);
        const isForgotten = (restored.has(home) && isBehind(own, kept)) || (restored.has(cell.number) && own && isBehind(kept, own));
        if (kept && !isForgotten && (!own || !sameMark(own, kept)))
          found.push(`I11: cell ${cell.number} has another mark of ${user} in log ${log} than its home`);
      }
    }
  }
  return found;
}

/** In both: what was seen is what was delivered at least. */
const isBehind = (mark: Mark | undefined, other: Mark | undefined): boolean =>
  other !== undefined &&
  (mark === undefined ||
    (!isFurther(mark.seenEpoch, mark.seen, other.seenEpoch, other.seen) &&
      !isFurther(mark.deliveredEpoch, mark.delivered, other.deliveredEpoch, other.delivered)));

export interface Run {
  readonly cells: readonly MemoryCell[];
  readonly devices: readonly DeviceRecord[];
  readonly events: readonly HistoryEvent[];
  readonly restores: Restores;
  readonly pardons: Pardons;
  /** Author and id of what its owner may have refused and accepted. */
  readonly forgeries: { ofOwners(cells: readonly MemoryCell[]): readonly string[] };
}

/** What a device was told of entries that a restore took is true no more, nor is a refusal of what was decided anew. */
function withoutLost(events: readonly HistoryEvent[], { cells, devices, restores, forgeries }: Run): HistoryEvent[] {
  const { ended, reopened } = restores;
  const lost = new Set([...restores.lost, ...restores.takenOver(cells)]);
  const userOf = new Map(devices.map(({ device, user }) => [device, user]));
  const taken = [...reopened].filter((key) => cells.some(({ logs }) => [...logs.values()].some(({ byKey }) => byKey.has(key))));
  const decidedAnew = new Set(taken);
  const forged = new Set(forgeries.ofOwners(cells));
  return events.flatMap((event): HistoryEvent[] => {
    if (event.what !== 'accepted' && event.what !== 'pending' && event.what !== 'refused' && event.what !== 'sent') return [event];
    const key = entryKey(userOf.get(event.device) ?? 0n, event.clientEntryId);
    // What a restore took, and another one finds again, comes after what was written since.
    if (event.what === 'sent') return [decidedAnew.has(key) || lost.has(key) ? { ...event, decidedAnew: true } : event];
    const isOver = event.what === 'refused' ? ended.has(key) || decidedAnew.has(key) || forged.has(key) : lost.has(key);
    return isOver ? [] : [event];
  });
}

/** Everything that is wrong, as lines. */
export function judge(run: Run): string[] {
  const { cells, devices, restores } = run;
  const told = withoutLost([...run.events, ...refusedAtHome(cells, devices)], run);
  const { violations } = checkHistory({ devices, events: told, dumps: dumpsOf(cells), repairMsMax: 2_000 });
  const shared = sharedLogs(cells);
  return [
    ...(violations.length > 0 ? [describeViolations(violations)] : []),
    ...unsettled(cells, run.pardons),
    ...shared.flatMap(wrongInLog),
    ...shared.flatMap(wrongInCopies),
    ...wrongLists(cells, shared),
    ...wrongMarks(cells, restores.cells),
  ];
}
