// What one transaction sends to other cells: its entries and the answers to send again, cut into frames, and its envelopes.
import type { Entry } from './entry.ts';
import { FrameCutter } from './frame-cutter.ts';
import { ownerOf } from './log-state.ts';
import type { OutboxRow } from './ports.ts';
import type { WorkingSet } from './working-set.ts';

export const framesOf = (work: WorkingSet, lane: number): OutboxRow[] => [...entryFrames(work), ...envelopeFrames(work, lane)];

function entryFrames(work: WorkingSet): OutboxRow[] {
  const { cell: own } = work.context;
  const frames = new FrameCutter(work.context);
  for (const entry of work.entries) {
    const state = work.state(entry.log);
    if (!state || ownerOf(entry) !== own || state.kind === 'self') continue;
    for (const [cell, interval] of state.cells) {
      if (cell === own || entry.seq < interval.from || (interval.until !== 0 && entry.seq > interval.until)) continue;
      frames.add(cell, entry, entry.seq === interval.from ? passed(work, entry, cell) : 0);
    }
  }
  for (const { dst, log, seq } of work.resend) frames.addStored(dst, log, seq);
  return frames.rows();
}

/** Places between what a cell got of a log before it was out of it and its first entry now. */
function passed({ facts }: WorkingSet, { log, seq }: Entry, cell: number): number {
  const before = facts.states.get(log)?.cells.get(cell);
  if (!before || before.from === seq) return 0;
  return seq - 1 - (before.until || (facts.rows.get(log)?.head ?? seq - 1));
}

const envelopeFrames = ({ envelopes, context }: WorkingSet, lane: number): OutboxRow[] =>
  envelopes.map(({ dst, payload }) => ({ id: context.freshId(), dst, class: 'v', lane, ranges: [], envelopes: [payload] }));
