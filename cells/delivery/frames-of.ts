// What one transaction sends to other cells: its entries and the answers to send again, cut into frames, and its envelopes.
import type { DecideContext } from './decide-context.ts';
import type { Entry } from './entry.ts';
import { FrameCutter } from './frame-cutter.ts';
import { isWithin, type LogState, ownerOf } from './log-state.ts';
import type { Facts, OutboxRow } from './ports.ts';

/** What a decision has collected for other cells. */
interface Decided {
  readonly facts: Pick<Facts, 'rows' | 'states'>;
  readonly context: DecideContext;
  readonly entries: readonly Entry[];
  readonly envelopes: readonly { readonly dst: number; readonly payload: Uint8Array }[];
  readonly resend: readonly { readonly dst: number; readonly log: bigint; readonly seq: number }[];
  state(log: bigint): LogState | undefined;
}

export const framesOf = (work: Decided, lane: number): OutboxRow[] => [...entryFrames(work), ...envelopeFrames(work, lane)];

function entryFrames(work: Decided): OutboxRow[] {
  const { cell: own } = work.context;
  const frames = new FrameCutter(work.context);
  for (const entry of work.entries) {
    const state = work.state(entry.log);
    if (!state || ownerOf(entry) !== own || state.kind === 'self') continue;
    for (const [cell, interval] of state.cells) {
      if (cell === own || !isWithin(interval, entry.seq)) continue;
      frames.add(cell, entry, entry.seq === interval.from ? passed(work, entry, cell) : 0);
    }
  }
  for (const { dst, log, seq } of onceEach(work.resend)) frames.addStored(dst, log, seq);
  return frames.rows();
}

/** An append that came five times within one batch is answered once: five copies may be a frame that its stream has no room for. */
function onceEach(answers: Decided['resend']): Decided['resend'] {
  if (answers.length < 2) return answers;
  return [...new Map(answers.map((answer) => [`${answer.dst}:${answer.log}:${answer.seq}`, answer])).values()];
}

/** Places between what a cell got of a log before it was out of it and its first entry now. */
function passed({ facts }: Decided, { log, seq }: Entry, cell: number): number {
  const before = facts.states.get(log)?.cells.get(cell);
  if (!before || before.from === seq) return 0;
  return seq - 1 - (before.until || (facts.rows.get(log)?.head ?? seq - 1));
}

const envelopeFrames = ({ envelopes, context }: Decided, lane: number): OutboxRow[] =>
  envelopes.map(({ dst, payload }) => ({ id: context.freshId(), dst, class: 'v', lane, ranges: [], envelopes: [payload] }));
