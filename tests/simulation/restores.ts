// A cell that is restored from a backup: its people and nodes go on, its store is again what it was (R25). What that may
// cost is noted at the moment it happens, entry by entry; nothing else may be missing in the end.
import type { Entry } from '@weft/cells/delivery/entry.ts';
import { type LogState, pairKey, streamOf } from '@weft/cells/delivery/log-state.ts';
import { refusalId } from '@weft/cells/delivery/self-entries.ts';
import { birthCell } from '@weft/proto/ids.ts';
import { epochParts, isByDirectory } from '@weft/proto/positions.ts';
import type { HistoryEvent } from '../history.ts';
import { type BaseBackup, baseBackup, restoreBackup } from './base-backup.ts';
import type { Breakable } from './breakable.ts';
import { backupMsOf, type Fault } from './fault.ts';
import { entryKey, intakeKey, type MemoryCell, type StoredLog } from './memory-cell.ts';
import { nameOf } from './simulated-node.ts';

export class Restores {
  readonly #backups = new Map<Fault, BaseBackup>();
  /** Author and id of entries accepted after the backup that no other cell held (docs/reliability.md, "What is not promised"). */
  readonly lost = new Set<string>();
  /** Those of them whose whole log is gone: who writes there is refused, and no newer epoch takes back what others had seen. */
  readonly ended = new Set<string>();
  /** Those logs: a replica of one that is restored as well gets nothing back, and its devices hold more of it than it does. */
  readonly endedLogs = new Set<bigint>();
  /** Author and id of appends that were refused after the backup, in which they wait: they are decided anew (R25). */
  readonly reopened = new Set<string>();
  /**
   * Author and id of own people's entries that a store lost. Other cells have them; but where the directory gives
   * the log to a cell that has not, nobody offers them again.
   */
  readonly #unvouched = new Map<string, Pick<Entry, 'log' | 'epoch' | 'seq'>>();
  /** Cells that were restored. */
  readonly cells = new Set<number>();
  /** Until when each of them has lacked something, by what was seen last. */
  readonly #wholeAt = new Map<number, number>();

  /** Takes the backup when its time has come. */
  schedule(world: Breakable, fault: Fault): void {
    world.time.after(backupMsOf(fault), () => {
      world.trace.add(`backup of cell ${fault.cell + 1}`);
      this.#backups.set(fault, baseBackup(world.cells[fault.cell] as MemoryCell));
    });
  }

  /**
   * What a restored cell cannot know yet, it does not tell: a page that it is asked for before it holds again what it held speaks for
   * its own entries only.
   */
  asFarAsKnown(event: HistoryEvent, home: number): HistoryEvent {
    const until = this.#wholeAt.get(home);
    if (event.what !== 'fetched' || until === undefined || event.askedAt > until + lookMs) return event;
    return { ...event, to: Math.min(event.to, event.entries.at(-1)?.seq ?? event.from - 1) };
  }

  /** One cell at a time: who lost its store again before its tails were back would lose what only it held. */
  restore(world: Breakable, fault: Fault): void {
    const cell = world.cells[fault.cell] as MemoryCell;
    const backup = this.#backups.get(fault);
    if (!backup || world.cells.some((each) => isRegaining(each, world.cells))) return world.trace.add('the restore is left out');
    for (let node = 0; node < world.shape.nodes; node++)
      if (world.nodes.get(`${cell.number}.${node}`)?.alive) world.kill(cell.number, node);
    this.#noteLost(cell, { backup, cells: world.cells });
    this.#noteLostOrphans(cell, { backup, cells: world.cells });
    this.#noteUnvouched(cell, backup);
    this.#noteReopened(cell, backup);
    this.cells.add(cell.number);
    const held = new Map([...cell.logs].map(([log, { row }]) => [log, row.head]));
    restoreBackup(cell, backup);
    this.#watch(world, cell, { held, untilMs: world.time.nowMs + wholeMsMax });
    // Where no beat came between: the operator's word (/v1/operator/restored).
    if (!world.lives.notices(cell, world.shape.nodes)) cell.raiseLife({ generation: cell.generation + 1, beat: cell.beat });
    this.#loseBroker(world, fault);
    world.trace.add(`restored cell ${cell.number} to ${(backupMsOf(fault) / 1_000).toFixed(1)} s`);
    world.time.after(fault.forMs, () => {
      for (let node = 0; node < world.shape.nodes; node++)
        if (!world.nodes.get(`${cell.number}.${node}`)?.alive) world.start(cell.number, node);
    });
  }

  /** What the cell accepted after the backup, and nobody can give back: it may have handed the log over since. */
  #noteLost(cell: MemoryCell, { backup, cells }: Loss): void {
    for (const stored of cell.logs.values()) {
      const { keys, isWhole } = lostOf(stored, { cell, backup, cells });
      for (const key of keys) this.lost.add(key);
      if (!isWhole) continue;
      this.endedLogs.add(stored.row.log);
      for (const key of keys) this.ended.add(key);
    }
  }

  /** What a newer epoch gave up, of its own people, and nobody else had got as intake yet: the backup may be of before that. */
  #noteLostOrphans(cell: MemoryCell, { cells }: Loss): void {
    for (const { log, author, clientEntryId } of cell.orphans) {
      const key = entryKey(author, clientEntryId);
      const isElsewhere = cells.some((each) => each !== cell && each.logs.get(log)?.byKey.has(key));
      if (birthCell(author) === cell.number && !isElsewhere) this.lost.add(key);
    }
  }

  #noteUnvouched(cell: MemoryCell, backup: BaseBackup): void {
    for (const stored of cell.logs.values()) {
      const from = sharedUpTo(backup.logs.get(stored.row.log), stored);
      for (const entry of stored.entries.values())
        if (entry.seq > from && birthCell(entry.author) === cell.number) this.#unvouched.set(keyOf(entry), entry);
    }
  }

  /** Those of them that a takeover gave up. */
  takenOver(cells: readonly MemoryCell[]): string[] {
    return [...this.#unvouched].flatMap(([key, { log, epoch, seq }]) => {
      const epochs = cells.flatMap((cell) => cell.logs.get(log)?.state.epochs ?? []);
      const isGivenUp = epochs.some((later) => later.base < seq && isByDirectory(epochParts(epoch).count, epochParts(later.epoch).count));
      return isGivenUp ? [key] : [];
    });
  }

  #noteReopened(cell: MemoryCell, backup: BaseBackup): void {
    for (const row of (backup.tables.get('intake') as MemoryCell['intake']).values()) {
      const { author, clientEntryId, stream, log } = row;
      const pair = { low: stream.a, high: stream.b };
      // The owner names the conversation, if it is open.
      const targets = stream.b === 0n ? [{ log }] : [{ pair }, { log: cell.pairs.get(pairKey(pair)) ?? 0n }];
      const self = cell.logs.get(author);
      const isRefused = targets.some((target) => self?.byKey.has(entryKey(author, refusalId(target, clientEntryId))));
      if (isRefused && !cell.intake.has(intakeKey(row))) this.reopened.add(entryKey(author, clientEntryId));
    }
  }

  #watch(world: Breakable, cell: MemoryCell, of: { readonly held: ReadonlyMap<bigint, number>; readonly untilMs: number }): void {
    this.#wholeAt.set(cell.number, world.time.nowMs);
    const isKept = (log: bigint): boolean => world.cells.some((each) => each !== cell && each.logs.has(log));
    const lacks = [...of.held].some(([log, head]) => (cell.logs.get(log)?.row.head ?? (isKept(log) ? 0 : head)) < head);
    if ((lacks || isRegaining(cell, world.cells)) && world.time.nowMs < of.untilMs)
      world.time.after(lookMs, () => this.#watch(world, cell, of));
  }

  /** Restored cells that other cells have not given back yet what they hold: nothing is at rest before. */
  regaining(cells: readonly MemoryCell[]): string[] {
    return cells.filter((cell) => isRegaining(cell, cells)).map(({ number }) => `cell ${number} is without what others hold`);
  }

  /** Its broker went with it, lost power, or stayed. */
  #loseBroker({ network }: Breakable, { cell, person }: Fault): void {
    if (person % 3 === 0) network.wipe(nameOf(cell + 1));
    else if (person % 3 === 1) network.cutPower(nameOf(cell + 1));
  }
}

/** How often a restored cell is looked at, and for how long: what nobody can give back does not come. */
const lookMs = 50;
const wholeMsMax = 30_000;

/** From the restore until every other cell has given back what it holds. */
function isRegaining(cell: MemoryCell, cells: readonly MemoryCell[]): boolean {
  if (cell.incarnation === 0) return false;
  // Each restore raises the generation, once a node has looked at the store.
  if (cell.generation <= cell.incarnation || cells.some(({ number }) => number !== cell.number && !cell.regained.has(number))) return true;
  return [...cell.logs.values()].some(({ row }) => row.status === 'stopped');
}

interface Loss {
  readonly backup: BaseBackup;
  readonly cells: readonly MemoryCell[];
}

function lostOf(stored: StoredLog, { cell, backup, cells }: Loss & { cell: MemoryCell }): { keys: string[]; isWhole: boolean } {
  const { log } = stored.row;
  const copies = cells.flatMap((each) => (each === cell ? [] : (each.logs.get(log) ?? [])));
  const entries = [...stored.entries.values()];
  const from = sharedUpTo(backup.logs.get(log), stored);
  // Nobody else has its beginning: there is nothing to go on from, and what others hold of it stays as it is.
  if (from === 0 && copies.every(({ start }) => start > 0)) return { keys: entries.map(keyOf), isWhole: true };
  const back = backUpTo(stored, { from, copies });
  const lost = entries.filter((entry) => entry.seq > back && !isVouchedFor(entry, stored.state, { cell, cells }));
  return { keys: lost.map(keyOf), isWhole: false };
}

/** How far the backup goes the same way: it may be of before an earlier restore, and hold what that one took. */
function sharedUpTo(backup: Pick<StoredLog, 'entries'> | undefined, { entries }: StoredLog): number {
  let seq = 0;
  while (backup?.entries.has(seq + 1) && backup.entries.get(seq + 1)?.epoch === entries.get(seq + 1)?.epoch) seq += 1;
  return seq;
}

const keyOf = ({ author, clientEntryId }: Entry): string => entryKey(author, clientEntryId);

/** How far the copies of the others continue the backup without a hole. */
function backUpTo({ entries }: StoredLog, { from, copies }: { from: number; copies: readonly StoredLog[] }): number {
  let seq = from;
  while (
    copies.some(
      (copy) => copy.start <= seq && copy.entries.has(seq + 1) && copy.entries.get(seq + 1)?.epoch === entries.get(seq + 1)?.epoch,
    )
  )
    seq += 1;
  return seq;
}

/** Its author's home is another cell and holds it, or still waits for its answer: it is offered again. */
function isVouchedFor(entry: Entry, state: LogState, { cell, cells }: { cell: MemoryCell; cells: readonly MemoryCell[] }): boolean {
  const home = cells[birthCell(entry.author) - 1];
  if (!home || home === cell) return false;
  return home.logs.get(entry.log)?.entries.has(entry.seq) === true || home.intake.has(intakeKey({ stream: streamOf(state), ...entry }));
}
