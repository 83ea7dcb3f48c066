import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { makeEpoch } from '@weft/proto/positions.ts';
import type { Entry } from './entry.ts';
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

describe('an epoch that began while the client was away', () => {
  test('is not believed to begin before the entry that was pushed first: the page tells where', () => {
    const restored = makeEpoch({ count: 1, cell: 1, generation: 2 });
    const view = new LogView(7n);
    const taken: Entry[] = [];
    view.anchor(0, 0n);
    for (let seq = 1; seq <= 6; seq++) view.offer(entryAt(seq), 0, taken);
    view.noteHead({ epoch: restored, seq: 4 });
    view.offer(entryAt(5, restored), 0, taken);
    assert.equal(view.head, 6);
    assert.ok(view.behind, 'a page is asked for');
    for (const { epoch, base } of view.learnEpochs(
      [
        { epoch: 1n, base: 0 },
        { epoch: restored, base: 3 },
      ],
      restored,
    ))
      view.truncate({ epoch, base });
    assert.equal(view.head, 3);
    view.offer(entryAt(4, restored), 0, taken);
    assert.equal(view.head, 4);
  });

  test('does not let in what was held back of the one before', () => {
    const view = new LogView(7n);
    const taken: Entry[] = [];
    view.anchor(0, 1n);
    view.offer(entryAt(3), 0, taken);
    view.noteHead({ epoch: 2n, seq: 4 });
    for (const { epoch, base } of view.learnEpochs(
      [
        { epoch: 1n, base: 0 },
        { epoch: 2n, base: 2 },
      ],
      2n,
    ))
      view.truncate({ epoch, base });
    for (const entry of [entryAt(1), entryAt(2), entryAt(3, 2n)]) view.offer(entry, 0, taken);
    assert.deepEqual(
      taken.map(({ text }) => text),
      ['1:1', '1:2', '2:3'],
    );
  });

  test('is not taken up from an entry that waits for those before it: what is told next says where it began', () => {
    const view = new LogView(7n);
    const taken: Entry[] = [];
    view.anchor(0, 1n);
    for (let seq = 1; seq <= 3; seq++) view.offer(entryAt(seq), 0, taken);
    view.offer(entryAt(6, 3n), 0, taken);
    for (const [epoch, base] of [
      [2n, 1],
      [3n, 4],
    ] as const)
      view.truncate({ epoch, base });
    assert.deepEqual([view.head, view.epoch], [1, 3n]);
  });

  test('begins where the page says, though it was told where two lists parted and no more', () => {
    const view = new LogView(7n);
    const taken: Entry[] = [];
    view.anchor(0, 1n);
    for (let seq = 1; seq <= 3; seq++) view.offer(entryAt(seq), 0, taken);
    view.truncate({ epoch: 2n, base: 1 });
    const begins = [
      { epoch: 1n, base: 0 },
      { epoch: 2n, base: 2 },
    ];
    assert.deepEqual(view.learnEpochs(begins, 2n), []);
    for (const entry of [entryAt(2), entryAt(3, 2n)]) view.offer(entry, 0, taken);
    assert.equal(view.head, 3);
  });

  test('is not believed of an entry in the place of one that is held, while a page is to tell', () => {
    const view = new LogView(7n);
    const taken: Entry[] = [];
    view.anchor(0, 1n);
    for (let seq = 1; seq <= 5; seq++) view.offer(entryAt(seq), 0, taken);
    view.noteHead({ epoch: 2n, seq: 4 });
    assert.deepEqual([view.offer(entryAt(5, 2n), 0, taken), view.head], [undefined, 5]);
    const begins = [
      { epoch: 1n, base: 0 },
      { epoch: 2n, base: 2 },
    ];
    for (const { epoch, base } of view.learnEpochs(begins, 2n)) view.truncate({ epoch, base });
    assert.equal(view.head, 2);
  });

  test('is not believed to go on from what is held, where it was told to begin above that: the page tells', () => {
    const view = new LogView(7n);
    const taken: Entry[] = [];
    view.anchor(0, 1n);
    for (const entry of [entryAt(1), entryAt(2), entryAt(3, 2n), entryAt(4, 2n)]) view.offer(entry, 0, taken);
    // Its owner was restored to before the second epoch, and begins the third one behind the first.
    assert.equal(view.asksWhereBegan({ epoch: 3n, base: 6 }), true);
    assert.ok(view.behind);
    assert.deepEqual(taken.splice(0).length, 4);
    const begins = [
      { epoch: 1n, base: 0 },
      { epoch: 3n, base: 6 },
    ];
    for (const { epoch, base } of view.learnEpochs(begins, 3n)) view.truncate({ epoch, base });
    for (let seq = 3; seq <= 7; seq++) view.offer(entryAt(seq, seq === 7 ? 3n : 1n), 0, taken);
    assert.deepEqual(
      taken.map(({ seq, epoch }) => [seq, epoch]),
      [3, 4, 5, 6, 7].map((seq) => [seq, seq === 7 ? 3n : 1n]),
    );
  });

  test('is not believed to follow another epoch than the one held at its base', () => {
    const view = new LogView(7n);
    view.anchor(0, 1n);
    for (const entry of [entryAt(1), entryAt(2), entryAt(3, 2n), entryAt(4, 2n)]) view.offer(entry, 0, []);
    for (const begin of [
      { epoch: 4n, base: 4, after: 2n },
      { epoch: 4n, base: 3, after: 2n },
      { epoch: 4n, base: 2, after: 1n },
      { epoch: 4n, base: 6, after: 2n },
    ])
      assert.equal(view.asksWhereBegan(begin), false);
    // What ended the second epoch was left out: its last entries, or all of them, were given up.
    for (const begin of [
      { epoch: 4n, base: 4, after: 3n },
      { epoch: 4n, base: 3, after: 1n },
    ]) {
      assert.equal(view.asksWhereBegan(begin), true);
      assert.ok(view.behind);
    }
    const begins = [
      { epoch: 1n, base: 0 },
      { epoch: 4n, base: 3 },
    ];
    assert.deepEqual(view.learnEpochs(begins, 4n), [{ epoch: 4n, base: 2 }, begins[1]], 'back to the last entry that stands');
  });

  test('takes nothing back of what is held of it', () => {
    const view = new LogView(7n);
    view.anchor(0, 1n);
    for (const entry of [entryAt(1), entryAt(2), entryAt(3, 2n)]) view.offer(entry, 0, []);
    // Told once more, to a device that left the log meanwhile and is in it again.
    view.leave(3);
    view.stay();
    assert.equal(view.asksWhereBegan({ epoch: 3n, base: 2, after: 2n }), false, 'an epoch that goes on from one that is held');
    assert.equal(view.truncate({ epoch: 2n, base: 2, after: 1n }), undefined);
    assert.equal(view.head, 3);
  });

  test('is asked about where an entry of it comes in a place of which nothing is in memory', () => {
    const view = new LogView(7n);
    view.anchor(0, 1n);
    for (let seq = 1; seq <= 4; seq++) view.offer(entryAt(seq), 0, []);
    view.leave(5);
    view.stay();
    assert.deepEqual([view.offer(entryAt(3, 2n), 0, []), view.epoch, view.behind], [undefined, 1n, true]);
  });

  test('leaves nothing of what is in memory, where none of that stands', () => {
    const view = new LogView(7n);
    view.anchor(4, 1n);
    for (let seq = 5; seq <= 8; seq++) view.offer(entryAt(seq, 3n), 0, []);
    const begins = [
      { epoch: 1n, base: 0 },
      { epoch: 2n, base: 6 },
      { epoch: 4n, base: 9 },
    ];
    assert.deepEqual(view.learnEpochs(begins, 4n)[0], { epoch: 4n, base: 4 });
  });

  test('is asked for again when the page was read before the push that told it', () => {
    const view = new LogView(7n);
    view.anchor(0, 1n);
    for (let seq = 1; seq <= 4; seq++) view.offer(entryAt(seq), 0, []);
    assert.equal(view.asksWhereBegan({ epoch: 3n, base: 4, after: 2n }), true);
    const begins = [
      { epoch: 1n, base: 0 },
      { epoch: 2n, base: 3 },
    ];
    for (const begin of view.learnEpochs(begins, 2n)) view.truncate(begin);
    assert.deepEqual([view.head, view.epoch, view.behind], [3, 2n, true]);
    for (const begin of view.learnEpochs([...begins, { epoch: 3n, base: 4 }], 3n)) view.truncate(begin);
    assert.deepEqual([view.head, view.epoch, view.behind], [3, 3n, false]);
  });

  test('is believed at once where it was told to begin at or below what is held', () => {
    const view = new LogView(7n);
    view.anchor(0, 1n);
    for (let seq = 1; seq <= 4; seq++) view.offer(entryAt(seq), 0, []);
    assert.deepEqual(
      [view.asksWhereBegan({ epoch: 2n, base: 4 }), view.asksWhereBegan({ epoch: 2n, base: 3 }), view.behind],
      [false, false, false],
    );
  });
});
