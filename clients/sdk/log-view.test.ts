import assert from 'node:assert/strict';
import { describe, it, test } from 'node:test';
import fc from 'fast-check';
import type { Entry } from './entry.ts';
import { clientLimits as limits } from './limits.ts';
import { LogView } from './log-view.ts';

const entryAt = (seq: number, epoch = 1n): Entry => ({
  log: 7n,
  epoch,
  seq,
  ts: seq,
  author: 1n,
  id: BigInt(seq),
  ord: seq,
  readable: true,
  kind: 'text',
  text: `${epoch}:${seq}`,
  body: { $case: 'text', value: `${epoch}:${seq}` },
});

/** The owner's log: it grows, and now and then a new epoch gives up its end. */
interface Owner {
  epoch: bigint;
  entries: Entry[];
}

type Act =
  /** The owner adds, and each entry's push is lost, sent, or sent twice. */
  | { readonly do: 'grow'; readonly copies: readonly number[] }
  /** The owner begins a new epoch `back` entries below its head, and the client is told (Truncated is in line with the pushes). */
  | { readonly do: 'truncate'; readonly back: number }
  | { readonly do: 'wait'; readonly ms: number }
  /** An old page arrives again. */
  | { readonly do: 'repeat'; readonly back: number };

const acts: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 1, maxLength: 6 }).map((copies) => ({ do: 'grow' as const, copies })),
  },
  {
    weight: 1,
    arbitrary: fc.integer({ min: 0, max: 4 }).map((back) => ({ do: 'truncate' as const, back })),
  },
  { weight: 2, arbitrary: fc.integer({ min: 1, max: 400 }).map((ms) => ({ do: 'wait' as const, ms })) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 20 }).map((back) => ({ do: 'repeat' as const, back })) },
);

/** The client's side: what catch-up does with a view, without the network. */
class Reader {
  readonly view = new LogView(7n);
  readonly shown: Entry[] = [];
  nowMs = 0;

  take(entry: Entry): void {
    const taken: Entry[] = [];
    const cut = this.view.offer(entry, this.nowMs, taken);
    if (cut !== undefined) {
      this.truncate(entry.epoch, cut);
      this.view.offer(entry, this.nowMs, taken);
    }
    for (const each of taken) {
      assert.equal(each.seq, (this.shown.at(-1)?.seq ?? 0) + 1, 'a hole, a duplicate or a step back');
      this.shown.push(each);
    }
  }

  truncate(epoch: bigint, base: number): void {
    if (this.view.truncate({ epoch, base })) this.shown.length = Math.min(this.shown.length, base);
  }

  noteHead(epoch: bigint, seq: number): void {
    const cut = this.view.noteHead({ epoch, seq });
    if (cut === undefined) return;
    this.truncate(epoch, cut);
    this.view.noteHead({ epoch, seq });
  }

  /** One round of repair. */
  repair(owner: Owner): void {
    const from = this.view.gap(this.nowMs);
    if (from === undefined) return;
    for (const entry of owner.entries.slice(from - 1, from - 1 + 5)) this.take(entry);
    this.noteHead(owner.epoch, owner.entries.length);
    if (owner.entries.length < from) this.view.forgetKnown(owner.entries.length);
  }
}

/** Owner, reader and what flies between them. */
class Walk {
  readonly owner: Owner = { epoch: 1n, entries: [] };
  readonly reader = new Reader();
  readonly #flying: Entry[] = [];
  readonly #roll: (below: number) => number;

  constructor(roll: (below: number) => number) {
    this.#roll = roll;
    this.reader.view.wanted = true;
    this.reader.view.anchor(0, 0n);
  }

  act(act: Act): void {
    if (act.do === 'grow') for (const copies of act.copies) this.#grow(copies);
    else if (act.do === 'truncate') this.#truncate(act.back);
    else if (act.do === 'repeat') for (const entry of this.owner.entries.slice(-act.back - 1)) this.reader.take(entry);
    else this.reader.nowMs += act.ms;
    this.#land(this.#roll(4));
    this.reader.repair(this.owner);
  }

  /** A healthy connection: everything lands, the cell names the head, the hold runs out, ranges are read. */
  heal(): void {
    this.#land(this.#flying.length);
    this.#grow(0);
    for (let round = 0; round < 200; round++) {
      this.reader.noteHead(this.owner.epoch, this.owner.entries.length);
      this.reader.nowMs += limits.holdMs;
      this.reader.repair(this.owner);
    }
  }

  #grow(copies: number): void {
    const entry = entryAt(this.owner.entries.length + 1, this.owner.epoch);
    this.owner.entries.push(entry);
    for (let i = 0; i < copies; i++) this.#flying.push(entry);
  }

  #truncate(back: number): void {
    const base = Math.max(0, this.owner.entries.length - back);
    this.owner.entries.length = base;
    this.owner.epoch += 1n;
    this.reader.truncate(this.owner.epoch, base);
  }

  /** So many of those that fly land, in any order. */
  #land(count: number): void {
    for (let left = count; left > 0 && this.#flying.length > 0; left--) {
      const [entry] = this.#flying.splice(this.#roll(this.#flying.length), 1);
      if (entry !== undefined) this.reader.take(entry);
    }
  }
}

describe('the view of a log', () => {
  it('shows exactly the owner’s log, in order, whatever is lost, doubled, reordered or given up', () => {
    fc.assert(
      fc.property(fc.array(acts, { maxLength: 60 }), fc.infiniteStream(fc.nat(1_000)), (acted, dice) => {
        const walk = new Walk((below) => (dice.next().value ?? 0) % below);
        for (const act of acted) walk.act(act);
        walk.heal();
        const { owner, reader } = walk;
        assert.deepEqual(
          reader.shown.map(({ text }) => text),
          owner.entries.map(({ text }) => text),
        );
        assert.deepEqual(reader.view.entries, owner.entries);
        assert.equal(reader.view.behind, false);
      }),
      { numRuns: 1_000 },
    );
  });

  it('holds what is beyond a hole for 300 ms, then asks for exactly what is missing', () => {
    const reader = new Reader();
    reader.view.anchor(3, 1n);
    reader.shown.push(entryAt(1), entryAt(2), entryAt(3));
    reader.take(entryAt(6));
    assert.equal(reader.view.gap(limits.holdMs - 1), undefined);
    assert.equal(reader.view.gap(limits.holdMs), 4);
    reader.take(entryAt(5));
    reader.take(entryAt(4));
    assert.deepEqual([reader.view.head, reader.view.behind], [6, false]);
  });

  it('asks at once for what the cell itself names', () => {
    const view = new LogView(7n);
    view.wanted = true;
    view.anchor(3, 1n);
    view.noteHead({ epoch: 1n, seq: 9 });
    assert.equal(view.gap(0), 4);
  });

  it('jumps to the head it is told when nobody listens', () => {
    const view = new LogView(7n);
    view.noteHead({ epoch: 1n, seq: 9 }, true);
    assert.deepEqual([view.head, view.start, view.behind], [9, 10, false]);
    view.noteHead({ epoch: 1n, seq: 12 });
    assert.deepEqual([view.head, view.behind], [12, false]);
  });

  it('asks where a newer epoch begins whose head is below what it holds, and takes nothing of the older one for it', () => {
    const reader = new Reader();
    reader.view.wanted = true;
    reader.view.anchor(0, 1n);
    for (let seq = 1; seq <= 8; seq++) reader.take(entryAt(seq));
    reader.noteHead(2n, 6);
    assert.deepEqual([reader.view.behind, reader.view.head], [true, 8]);
    const begins = [1, 2].map((epoch) => ({ epoch: BigInt(epoch), base: epoch === 1 ? 0 : 4 }));
    for (const { epoch, base } of reader.view.learnEpochs(begins, 2n)) reader.truncate(epoch, base);
    assert.equal(reader.view.head, 4);
    reader.noteHead(2n, 6);
    assert.equal(reader.view.gap(0), 5);
    for (const seq of [5, 6]) reader.take(entryAt(seq, 2n));
    assert.deepEqual([reader.view.head, reader.view.behind, reader.view.epoch], [6, false, 2n]);
  });

  it('joins older pages to what it holds, and keeps a bounded number of entries', () => {
    const reader = new Reader();
    reader.view.anchor(10, 1n);
    reader.view.prepend([entryAt(8), entryAt(9), entryAt(10)]);
    reader.view.prepend([entryAt(5), entryAt(6)]);
    assert.deepEqual([reader.view.start, reader.view.range(9, 10)?.length, reader.view.range(7, 10)], [8, 2, undefined]);
    for (let seq = 1; seq <= 10; seq++) reader.shown.push(entryAt(seq));
    for (let seq = 11; seq < 11 + 3 * limits.viewEntriesMax; seq++) reader.take(entryAt(seq));
    assert.ok(reader.view.entries.length <= 2 * limits.viewEntriesMax);
    assert.equal(reader.view.entries.at(-1)?.seq, reader.view.head);
    assert.equal(reader.view.entries[0]?.seq, reader.view.start);
  });

  it('is not left by the end of an older membership', () => {
    const reader = new Reader();
    reader.view.anchor(6, 1n);
    assert.equal(reader.view.leave(6), false);
    assert.equal(reader.view.left, false);
    assert.equal(reader.view.leave(9), true);
    assert.equal(reader.view.left, true);
  });

  it('keeps nothing of a log that was left, and begins anew when joined again', () => {
    const reader = new Reader();
    reader.view.anchor(0, 1n);
    reader.take(entryAt(1));
    reader.view.leave(Number.POSITIVE_INFINITY);
    reader.take(entryAt(2));
    assert.deepEqual([reader.view.entries.length, reader.view.behind], [0, false]);
    reader.view.anchor(8, 1n);
    reader.shown.length = 0;
    for (let seq = 1; seq <= 8; seq++) reader.shown.push(entryAt(seq));
    reader.take(entryAt(9));
    assert.equal(reader.view.head, 9);
  });
});

test('an epoch that was given up whole hides nothing of what an older one gave in its place', () => {
  const reader = new Reader();
  reader.view.anchor(0, 1n);
  for (const seq of [1, 2]) reader.take(entryAt(seq, 1n));
  reader.truncate(3n, 2);
  for (const seq of [3, 4]) reader.take(entryAt(seq, 3n));
  // A later owner took in what the first one had given meanwhile.
  reader.truncate(5n, 2);
  reader.truncate(5n, 4);
  for (const [seq, epoch] of [
    [3, 1n],
    [4, 1n],
    [5, 5n],
  ] as const)
    reader.take(entryAt(seq, epoch));
  assert.deepEqual(
    reader.shown.map(({ seq, epoch }) => [seq, epoch]),
    [
      [1, 1n],
      [2, 1n],
      [3, 1n],
      [4, 1n],
      [5, 5n],
    ],
  );
});
