// The books of the links: what one write transaction adds to the running sums of the cells it has to do with. Counted are
// places in logs, by the cell whose epoch gave them: it is the same at both ends, whoever hands the entry on.
//
// accepted  the owner gave the place, and the destination is due to get it; for intake: a number was given at home
// settled   its frame was acknowledged by the destination, or dropped because the outbox was full (R28)
// applied   the destination's run has reached it; for intake: it came back as an entry
// refused   intake that the owner refused
//
// What a newer epoch gives up leaves the books at both ends: accepted where it was given, applied where it was held. What a
// restored owner takes back from its replicas is stored anew, and so accepted anew: its books are of one piece with its logs.
import { laneOf } from '@weft/proto/ids.ts';
import { epochParts } from '@weft/proto/positions.ts';
import type { Entry } from './entry.ts';
import type { LogState } from './log-state.ts';
import type { Facts, Writes } from './ports.ts';

export type BookClass = 'entries' | 'intake';
export type BookColumn = 'accepted' | 'settled' | 'applied' | 'refused' | 'dropped';

export interface BookCount {
  /** Number of the cell at the link's other end. */
  readonly peer: number;
  readonly class: BookClass;
  readonly what: BookColumn;
  readonly lane: number;
  n: number;
}

type Counted = Pick<Writes, 'entries' | 'outbox' | 'intake' | 'reopened'> & Partial<Pick<Writes, 'created' | 'truncated'>>;
type Known = Pick<Facts, 'rows' | 'states' | 'above'>;

/** What a transaction of `cell` on `lane` counts; closed intake is counted where its rows go. */
export function countsOf(writes: Counted, facts: Known, { cell, lane }: { cell: number; lane: number }): BookCount[] {
  const counts = new Counts();
  for (const { dst, due = 0, lane: frameLane } of writes.outbox)
    counts.add({ peer: dst, class: 'entries', what: 'accepted', lane: frameLane }, due);
  const starts = new Map(
    [...writes.reopened, ...(writes.created ?? []).map(({ row, start }) => ({ log: row.log, start }))].map((s) => [s.log, s.start]),
  );
  const cuts = new Map((writes.truncated ?? []).map(({ log, base }) => [log, base]));
  const headBefore = (log: bigint): number | undefined => cuts.get(log) ?? facts.rows.get(log)?.head;
  for (const [log, base] of cuts) giveUp(facts.above(log), { log, base, cell, cells: facts.states.get(log)?.cells ?? new Map() }, counts);
  let epoch = 0n;
  let owner = cell;
  for (const entry of writes.entries) {
    if (entry.epoch !== epoch) {
      epoch = entry.epoch;
      owner = epochParts(epoch).cell;
    }
    // What is kept below a run that began anew was counted with the places that were passed.
    const passed = Math.max(headBefore(entry.log) ?? 0, starts.get(entry.log) ?? 0);
    if (owner !== cell && entry.seq > passed) counts.add({ peer: owner, class: 'entries', what: 'applied', lane: laneOf(entry.log) }, 1);
  }
  for (const { log, start } of writes.reopened) {
    const before = facts.rows.get(log);
    // Places that were never due here count as passed at both ends. What an older run has below its head was counted with it.
    if (before)
      counts.add(
        { peer: epochParts(before.epoch).cell, class: 'entries', what: 'applied', lane: laneOf(log) },
        Math.max(0, start - (headBefore(log) ?? 0)),
      );
  }
  for (const { dst } of writes.intake) counts.add({ peer: dst, class: 'intake', what: 'accepted', lane }, 1);
  return counts.all();
}

interface GivenUp {
  readonly log: bigint;
  readonly base: number;
  readonly cell: number;
  readonly cells: LogState['cells'];
}

function giveUp(above: readonly Entry[], { log, base, cell, cells }: GivenUp, counts: Counts): void {
  const lane = laneOf(log);
  for (const { seq, epoch } of above) {
    if (seq <= base) continue;
    const owner = epochParts(epoch).cell;
    if (owner !== cell) counts.add({ peer: owner, class: 'entries', what: 'applied', lane }, -1);
    else
      for (const [peer, { from, until }] of cells)
        if (peer !== cell && seq >= from && (until === 0 || seq <= until))
          counts.add({ peer, class: 'entries', what: 'accepted', lane }, -1);
  }
}

class Counts {
  readonly #counts = new Map<string, BookCount>();

  add(key: Omit<BookCount, 'n'>, n: number): void {
    if (n === 0) return;
    const text = `${key.peer}:${key.class}:${key.what}:${key.lane}`;
    const known = this.#counts.get(text);
    if (known) known.n += n;
    else this.#counts.set(text, { ...key, n });
  }

  all(): BookCount[] {
    return [...this.#counts.values()];
  }
}
