import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HistoryEvent } from './history.ts';
import { checkHistory, describeViolations } from './history-checker.ts';
import { ana, copies, type Draft, draft, log, remove, replaced } from './history-draft.ts';

test('a history in which everything went well has no violation, and the checker says how much it saw', () => {
  const { violations, counts } = checkHistory(draft().history());
  assert.equal(describeViolations(violations), '');
  assert.deepEqual(counts, { sent: 3, accepted: 2, pending: 1, refused: 0, shown: 6, fetched: 0, stored: 8 });
});

test('I1: an accepted entry that is in nobody’s log is a loss', () => {
  const made = draft();
  made.add({ at: 100, device: 'ana', what: 'sent', log, clientEntryId: 15n, body: 'lost' });
  made.add({ at: 101, device: 'ana', what: 'accepted', log, epoch: 5n, seq: 5, clientEntryId: 15n });
  assert.deepEqual(made.broken(), ['I1']);
});

test('I1: an accepted place that holds another entry is a loss', () => {
  const made = draft();
  made.add({ at: 100, device: 'ana', what: 'sent', log, clientEntryId: 15n, body: 'lost' });
  made.add({ at: 101, device: 'ana', what: 'accepted', log, epoch: 5n, seq: 4, clientEntryId: 15n });
  assert.ok(made.broken().includes('I1'));
});

test('I1: a pending append that is neither decided nor refused is a loss, and a refused one is not', () => {
  const made = draft();
  made.add({ at: 100, device: 'bo', what: 'sent', log, clientEntryId: 16n, body: 'forgotten' });
  made.add({ at: 101, device: 'bo', what: 'pending', clientEntryId: 16n });
  assert.deepEqual(made.broken(), ['I1']);
  made.add({ at: 102, device: 'bo', what: 'refused', clientEntryId: 16n, code: 'not_a_member' });
  assert.deepEqual(made.broken(), []);
});

test('I1: a cell that lacks an entry of its members is a loss, and one that joined later is not', () => {
  const made = draft();
  made.dumps = copies(
    made,
    made.entries.filter(({ seq }) => seq !== 3),
  );
  assert.deepEqual(made.broken(), ['I1']);
  made.dumps = made.dumps.map((dump) => (dump.owner ? dump : { ...dump, start: 4 }));
  assert.deepEqual(made.broken(), []);
});

test('I2: an entry that nobody sent is a phantom', () => {
  const made = draft();
  made.entries.push(made.entry(5, 21n, 'who said that?'));
  made.show(made.entry(5, 21n, 'who said that?'));
  assert.deepEqual(made.broken(), ['I2']);
});

test('I2: text that changed on the way is a phantom', () => {
  const made = draft();
  made.entries = replaced(made.entries, 4, { body: 'how old are you?' });
  made.events = made.events.map((event) =>
    event.what === 'shown' && event.entry.seq === 4 ? { ...event, entry: made.entries[3]! } : event,
  );
  assert.deepEqual(made.broken(), ['I2']);
});

test('I2: what was refused and is shown all the same is a phantom', () => {
  const made = draft();
  made.add({ at: 100, device: 'bo', what: 'refused', clientEntryId: 12n, code: 'not_allowed' });
  assert.deepEqual(made.broken(), ['I2']);
});

test('I2: what was sent to a person is not refused as if one could leave a conversation of two', () => {
  const made = draft();
  made.add({ at: 100, device: 'bo', what: 'sent', peer: 7n, clientEntryId: 16n, body: 'hello' });
  made.add({ at: 101, device: 'bo', what: 'refused', clientEntryId: 16n, code: 'not_allowed' });
  assert.deepEqual(made.broken(), ['I2']);
});

test('I2: an entry in another log than it was sent to is a phantom', () => {
  const made = draft();
  made.events = made.events.map((event) => (event.what === 'sent' && event.clientEntryId === 13n ? { ...event, log: 901n } : event));
  assert.deepEqual(made.broken(), ['I2']);
});

test('I2: an append without an answer may be there once or not at all', () => {
  const made = draft();
  made.add({ at: 100, device: 'ana', what: 'sent', log, clientEntryId: 15n, body: 'answered by nobody' });
  assert.deepEqual(made.broken(), []);
  const entry = made.entry(5, 15n, 'answered by nobody');
  made.entries.push(entry);
  made.show(entry);
  assert.deepEqual(made.broken(), []);
});

test('I3: one client entry id at two places of a log is a duplicate', () => {
  const made = draft();
  made.entries.push(made.entry(5, 13n, 'how are you?'));
  made.show(made.entry(5, 13n, 'how are you?'));
  assert.deepEqual(made.broken(), ['I3']);
});

test('I3: an entry shown twice on one device is a duplicate', () => {
  const made = draft();
  made.add({ at: 100, device: 'bo', what: 'shown', entry: made.entries[3]! });
  assert.deepEqual(made.broken(), ['I3']);
});

test('I3: a retry that is accepted at another place is a duplicate', () => {
  const made = draft();
  made.add({ at: 100, device: 'ana', what: 'accepted', log, epoch: 5n, seq: 3, clientEntryId: 13n });
  assert.ok(made.broken().includes('I3'));
});

test('I3: a retry that is accepted at the same place is none', () => {
  const made = draft();
  made.add({ at: 100, device: 'ana', what: 'accepted', log, epoch: 5n, seq: 4, clientEntryId: 13n });
  assert.deepEqual(made.broken(), []);
});

test('I4: two cells with different entries at one place disagree', () => {
  const made = draft();
  made.dumps = copies(made, replaced(replaced(made.entries, 3, { ...made.entries[3]!, seq: 3 }), 4, { ...made.entries[2]!, seq: 4 }));
  assert.deepEqual(made.broken(), ['I4']);
});

test('I4: a device that sees another order than the log’s disagrees', () => {
  const made = draft();
  made.events = made.events.map((event) => {
    if (event.what !== 'shown' || event.device !== 'bo' || event.entry.seq < 3) return event;
    return { ...event, entry: { ...made.entries[event.entry.seq === 3 ? 3 : 2]!, seq: event.entry.seq } };
  });
  assert.deepEqual(made.broken(), ['I4']);
});

test('I5: a device that jumps over an entry has a silent gap', () => {
  const made = remove(draft(), (event) => event.what === 'shown' && event.device === 'bo' && event.entry.seq === 3);
  assert.deepEqual(made.broken(), ['I5']);
});

test('I5: a device that lacks the tail at the end has a silent gap, and one that was not there at the end has not', () => {
  const made = remove(draft(), (event) => event.what === 'shown' && event.device === 'bo' && event.entry.seq === 4);
  assert.deepEqual(made.broken(), ['I5']);
  made.devices[1] = { ...made.devices[1]!, settled: false };
  assert.deepEqual(made.broken(), []);
});

test('I5: a gap that was told to the user is not silent', () => {
  const made = remove(draft(), (event) => event.what === 'shown' && event.device === 'bo' && event.entry.seq === 3);
  const at = made.events.findIndex((event) => event.what === 'shown' && event.device === 'bo' && event.entry.seq === 4);
  made.events.splice(at, 0, { at: made.events[at]!.at, device: 'bo', what: 'surfaced', log });
  assert.deepEqual(made.broken(), []);
});

test('I5: a hole that stays open longer than the repair time is a violation, unless the line was down', () => {
  const late = (between: HistoryEvent['what'] | undefined): Draft => {
    const made = draft().add({ at: 1_000, device: 'bo', what: 'hole', log, seq: 5 });
    if (between === 'disconnected') made.add({ at: 1_500, device: 'bo', what: 'disconnected' });
    made.add({ at: 4_000, device: 'ana', what: 'sent', log, clientEntryId: 15n, body: 'late' });
    made.entries.push(made.entry(5, 15n, 'late'));
    return made.show(made.entry(5, 15n, 'late'));
  };
  assert.deepEqual(late(undefined).broken(), ['I5']);
  assert.deepEqual(late('disconnected').broken(), []);
});

test('I5: nothing after a removal is expected', () => {
  const made = remove(draft(), (event) => event.what === 'shown' && event.device === 'bo' && event.entry.seq === 4);
  made.add({ at: 200, device: 'bo', what: 'left', log, until: 3 });
  assert.deepEqual(made.broken(), []);
});

test('I6: an entry shown after a later one goes backwards', () => {
  const made = draft();
  const [third, fourth] = ['bo', 'bo'].map((device, n) =>
    made.events.findIndex((event) => event.what === 'shown' && event.device === device && event.entry.seq === 3 + n),
  );
  const [a, b] = [made.events[third!]!, made.events[fourth!]!];
  made.events[third!] = { ...b, at: a.at };
  made.events[fourth!] = { ...a, at: b.at };
  assert.ok(made.broken().includes('I6'));
});

test('I6: a head below what the device has seen goes backwards, and a truncation explains it', () => {
  const made = draft().add({ at: 300, device: 'bo', what: 'head', log, epoch: 5n, seq: 3 });
  assert.deepEqual(made.broken(), ['I6']);
  made.events.splice(-1, 0, { at: 299, device: 'bo', what: 'truncated', log, epoch: 6n, base: 3 });
  // No step back; but what was given up has to be shown anew.
  assert.deepEqual(made.broken(), ['I5']);
});

test('I7: a page asked for after the acceptance must have the entry, on any device of the user', () => {
  const made = draft();
  made.devices.push({ device: 'ana-phone', user: ana, cell: 'eu-1', settled: false });
  const page = (askedAt: number, seqs: readonly number[]): HistoryEvent => ({
    at: askedAt + 5,
    askedAt,
    device: 'ana-phone',
    what: 'fetched',
    log,
    from: 1,
    to: Number.POSITIVE_INFINITY,
    entries: made.entries.filter(({ seq }) => seqs.includes(seq)),
  });
  made.add(page(500, [1, 2, 3, 4]));
  assert.deepEqual(made.broken(), []);
  made.add(page(600, [1, 2, 3]));
  assert.deepEqual(made.broken(), ['I7']);
});

test('I7: a page asked for before the acceptance need not have it', () => {
  const made = draft();
  made.add({
    at: 500,
    askedAt: 0,
    device: 'ana',
    what: 'fetched',
    log,
    from: 1,
    to: Number.POSITIVE_INFINITY,
    entries: made.entries.slice(0, 1),
  });
  assert.deepEqual(made.broken(), []);
});

test('I7: a page need not have what was accepted in a place that a newer epoch gave up', () => {
  const made = draft();
  const page = { at: 505, askedAt: 500, device: 'ana', what: 'fetched' as const, log, from: 1, to: Number.POSITIVE_INFINITY };
  made.add({ at: 400, device: 'ana', what: 'accepted', log, epoch: 4n, seq: 9, clientEntryId: 11n });
  made.add({ ...page, entries: made.entries });
  assert.ok(!made.broken().includes('I7'));
});

test('I8: what one device sends keeps its order', () => {
  const made = draft();
  const at = (id: bigint): number => made.events.findIndex((event) => event.what === 'sent' && event.clientEntryId === id);
  const [first, second] = [at(11n), at(13n)];
  const [a, b] = [made.events[first]!, made.events[second]!];
  made.events[first] = { ...b, at: a.at };
  made.events[second] = { ...a, at: b.at };
  assert.deepEqual(made.broken(), ['I8']);
  made.events[first] = { ...b, at: a.at, decidedAnew: true } as HistoryEvent;
  assert.deepEqual(made.broken(), [], 'what was refused before and decided anew has no order to keep');
});

test('I8: a reply that comes before what it answers is a violation', () => {
  const made = draft();
  made.events = made.events.map((event) => (event.what === 'sent' && event.clientEntryId === 12n ? { ...event, after: 4 } : event));
  assert.deepEqual(made.broken(), ['I8']);
});

test('I8: what it answers may have been given up by a newer epoch, though its device was gone before it could be told', () => {
  const answersSeenIn = (epoch: bigint): string[] => {
    const made = draft();
    made.events = made.events.flatMap((event) => {
      if (event.what !== 'sent' || event.clientEntryId !== 12n) return [event];
      return [
        { at: event.at, device: 'bo', what: 'shown' as const, entry: { ...made.entry(4, 13n, 'c'), epoch } },
        { ...event, after: 4 },
      ];
    });
    return made.broken();
  };
  assert.ok(!answersSeenIn(4n).includes('I8'));
  assert.ok(answersSeenIn(5n).includes('I8'));
});

test('I8: a seq of another log is nothing to compare with', () => {
  const made = draft();
  made.events = made.events.map((event) =>
    event.what === 'sent' && event.clientEntryId === 12n ? { ...event, after: 4, afterLog: log + 1n } : event,
  );
  assert.deepEqual(made.broken(), []);
});

test('a hundred violations of one kind are listed as ten with their number', () => {
  const made = draft();
  for (let n = 0; n < 100; n++) {
    made.add({ at: 100 + n, device: 'ana', what: 'sent', log, clientEntryId: BigInt(1_001 + 2 * n), body: 'lost' });
    made.add({ at: 100 + n, device: 'ana', what: 'accepted', log, epoch: 5n, seq: 100 + n, clientEntryId: BigInt(1_001 + 2 * n) });
  }
  const { violations } = checkHistory(made.history());
  assert.equal(violations.length, 10);
  assert.match(describeViolations(violations), /and 90 more of this kind/);
});
