// A log in three staged cells: what their decisions make of it when its owner changes.
import { chainStart } from '@weft/proto/chain.ts';
import { Envelope } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { countByDirectory, epochParts, makeEpoch } from '@weft/proto/positions.ts';
import { hashOf } from './chain-of.ts';
import type { Entry } from './entry.ts';
import type { ApplyOperation } from './operations.ts';
import { foldState } from './snapshot.ts';
import { chain, groupOf, intakeOf, StagedCell, text, userOf } from './staged-cell.ts';

export const [ana, bo, cy] = [userOf(1, 1), userOf(2, 1), userOf(3, 1)];

function expect(holds: boolean | object | undefined): asserts holds {
  if (!holds) throw new Error('the staged log is not as it was made');
}

/** A group of one user in each of three cells, owned by cell 1, with the same run everywhere. */
export class OwnedLog {
  readonly cells = [new StagedCell(1, [ana]), new StagedCell(2, [bo]), new StagedCell(3, [cy])] as const;
  readonly log: bigint;

  constructor() {
    const [created] = this.cells[0].decide(groupOf(ana, [bo, cy]));
    expect(created?.type === 'accepted');
    this.log = (created as { entry: Entry }).entry.log;
    this.say(1, 'first');
    this.follow(1, 2, 3);
  }

  cell(number: number): StagedCell {
    return this.cells[number - 1] as StagedCell;
  }

  readonly chain = chain;
  #ids = 100n;
  say(cell: number, _what = ''): bigint {
    const author = [ana, bo, cy][cell - 1] as bigint;
    this.#ids += 1n;
    this.cell(cell).decide(text({ log: this.log }, author, this.#ids));
    return this.#ids;
  }

  /** Gives the other cells what the owner has and they lack. */
  follow(owner: number, ...cells: number[]): void {
    for (const number of cells) {
      const cell = this.cell(number);
      const head = cell.rows.get(this.log)?.head ?? 0;
      const entries = this.cell(owner)
        .logEntries(this.log)
        .filter((e) => e.seq > head);
      if (entries.length > 0) cell.decide({ type: 'apply', src: owner, log: this.log, entries });
    }
  }

  /** Open intake of a cell goes to whom it is addressed to, again and again until decided. */
  decideIntake(from: number): void {
    const cell = this.cell(from);
    for (;;) {
      const rows = [...cell.intake.values()].sort((a, b) => a.n - b.n);
      const first = rows[0];
      if (!first) return;
      const operation = { ...intakeOf(first, from, first.n), generation: cell.generation };
      const [outcome] = this.cell(first.dst).decide(operation);
      expect(outcome?.type === 'decided');
      if (first.dst !== from) this.follow(first.dst, from);
    }
  }

  handOver(from: number, to: number) {
    return this.cell(from).decide({ type: 'handover', log: this.log, to, toGeneration: this.cell(to).generation })[0];
  }

  /** Hands the log over, tells these cells, and lets the new owner give seqs. */
  give(from: number, to: number, ...told: number[]): void {
    this.handOver(from, to);
    this.follow(from, to, ...told);
    this.cell(to).decide({ type: 'settle', log: this.log });
  }

  /** Lets the directory sign, and the new owner begin. */
  takeOver(to: number, ...heard: number[]) {
    const count = countByDirectory(epochParts(this.cell(to).rows.get(this.log)?.epoch ?? 0n).count);
    const signed = { epoch: makeEpoch({ count, cell: to, generation: this.cell(to).generation }), owner: to };
    for (const cell of [to, ...heard]) this.cell(cell).takeovers.set(this.log, signed);
    return this.cell(to).decide({ type: 'begin', log: this.log })[0];
  }

  /** What a pull from `owner` brings a cell, as the puller asks for it. */
  pull(owner: number, cell: number, at: number) {
    return this.cell(cell).decide(this.page(owner, cell, at))[0];
  }

  page(owner: number, cell: number, at: number): ApplyOperation {
    const of = this.cell(owner);
    const { row, state } = { row: of.rows.get(this.log), state: of.states.get(this.log) };
    expect(row && state);
    const entries = of.logEntries(this.log);
    const folded = foldState(entries.filter((e) => e.seq <= at));
    const last = entries.find((e) => e.seq === at);
    expect(folded && last);
    const snapshot = { state: folded, start: at, ts: last.ts, ord: last.ord, hash: hashOf(this.chain, last) ?? chainStart, floor: 0 };
    return {
      type: 'apply',
      src: owner,
      log: this.log,
      entries: entries.filter((e) => e.seq > at),
      snapshot,
      epochs: state.epochs,
      ...((this.cell(cell).rows.get(this.log)?.head ?? 0) > at ? { cut: at } : {}),
      leaving: [ana, bo, cy],
    };
  }

  shown(cell: number): string[] {
    return this.cell(cell)
      .logEntries(this.log)
      .sort((a, b) => a.seq - b.seq)
      .map((e) => `${e.seq}@${epochParts(e.epoch).count}:${e.kind}:${e.author === 0n ? '' : e.clientEntryId}`);
  }

  notices(cell: number): Envelope[] {
    return (this.cell(cell).writes?.outbox ?? []).flatMap(({ envelopes }) => envelopes.map((bytes) => Envelope.decode(bytes)));
  }
}
