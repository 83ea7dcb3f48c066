import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type LinkBook, verdictOf } from './link-books.ts';
import { linkSummary, linkTable } from './screen.ts';

const book: LinkBook = { dst: 'us-1', accepted: 1_234_567, applied: 1_234_560, waiting: 5, refused: 2, heard: true, alarms: {} };
const link = { from: 'eu-1', to: 'us-1', shown: 86_400, backlog: 1, oldestMs: 0, p50: 2.04, p99: 250 };

test('a link in balance is ticked, one that is not names how much and where, one that is silent is left open', () => {
  assert.equal(verdictOf(book), '✓');
  assert.equal(verdictOf({ ...book, alarms: { outbox: 3, stream: 1 } }), 'Δ3 outbox, Δ1 stream');
  assert.equal(verdictOf({ ...book, heard: false }), '–');
  assert.equal(verdictOf(undefined), '–');
});

test('the link lines carry the books within 100 columns', () => {
  const lines = linkTable([link, link], 100, () => ({ ...book, alarms: { replica: 12 } }));
  assert.match(lines[0] ?? '', /accepted +applied +waiting +refused +books/);
  assert.match(lines[1] ?? '', /1234567 +1234560 +5 +2 +Δ12 replica$/);
  assert.ok(lines.every((line) => line.length < 100));
  assert.equal(linkTable([link], 100).join().includes('accepted'), false);
});

test('the summary says whether the books balance', () => {
  assert.match(
    linkSummary([link], () => book),
    /, the books balance$/,
  );
  assert.match(
    linkSummary([link], () => ({ ...book, alarms: { outbox: 1 } })),
    /, books: Δ1 outbox \(eu-1 → us-1\)$/,
  );
  assert.match(
    linkSummary([link], () => undefined),
    /backlog 1$/,
  );
});
