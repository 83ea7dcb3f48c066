import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClientFrame, Entry, Page, ServerFrame } from '@weft/proto/gen/weft/client/v1/client.ts';
import { checkHistory, describeViolations } from './history-checker.ts';
import { coveredBy, type DeviceRecorder, dumpByHistory, HistoryRecorder, seenEntry } from './history-recorder.ts';

const log = 700n;
const [ana, bo] = [1n, 2n];
const entry = (seq: number, author: bigint, text: string): Entry => ({
  log,
  epoch: 5n,
  seq: BigInt(seq),
  ts: 1n,
  author,
  clientEntryId: BigInt(1_000 + seq),
  ord: BigInt(seq),
  flags: 0,
  body: { $case: 'text', value: text },
});
const push = (...entries: Entry[]): ServerFrame => ({ re: 0n, event: { $case: 'push', value: { entries } } });
const append = (id: bigint, clientEntryId: bigint, text: string): ClientFrame => ({
  id,
  request: {
    $case: 'append',
    value: { target: { $case: 'log', value: log }, clientEntryId, followedBy: [], content: { $case: 'text', value: text } },
  },
});
const accepted = (re: bigint, seq: number): ServerFrame => ({
  re,
  event: { $case: 'accepted', value: { log, epoch: 5n, seq: BigInt(seq), ts: 1n, clientEntryId: BigInt(1_000 + seq), ord: BigInt(seq) } },
});
const joined = (device: DeviceRecorder): void => {
  const self: Entry = {
    ...entry(1, ana, ''),
    log: 1n,
    body: { $case: 'logJoined', value: { log, kind: 'LOG_KIND_DIRECT', peer: bo, from: 1n } },
  };
  device.incoming(push(self));
};
const page = (entries: Entry[], end: boolean): Page => ({ log, head: undefined, entries, visibleFrom: 1n, end, pending: [], epochs: [] });
const reader =
  (all: Entry[]) =>
  async ({ from }: { from: bigint }): Promise<Page> =>
    page(all.filter(({ seq }) => seq >= from).slice(0, 2), all.at(-1)!.seq < from + 2n);

test('what two devices send and are shown becomes a history without violations', async () => {
  let now = 0;
  const recorder = new HistoryRecorder(() => now++);
  const [a, b] = [recorder.device({ device: 'a', user: ana, cell: 'eu-1' }), recorder.device({ device: 'b', user: bo, cell: 'us-1' })];
  const all = [entry(1, ana, 'one'), entry(2, bo, 'two'), entry(3, ana, 'three')];
  for (const device of [a, b]) {
    device.connected();
    joined(device);
    device.settled = true;
  }
  a.outgoing(append(2n, 1_001n, 'one'));
  a.incoming(accepted(2n, 1));
  b.incoming(push(all[0]!));
  b.replies(1_002n, 1);
  b.outgoing(append(2n, 1_002n, 'two'));
  b.incoming(accepted(2n, 2));
  a.incoming(push(all[1]!, all[1]!));
  a.outgoing(append(3n, 1_003n, 'three'));
  assert.deepEqual(b.incoming(push(all[2]!)), []);
  a.incoming(accepted(3n, 3));
  const dumps = [
    await dumpByHistory(reader(all), { cell: 'eu-1', log, owner: true }),
    await dumpByHistory(reader(all), { cell: 'us-1', log, owner: false }),
  ];
  const { violations, counts } = checkHistory(recorder.history(dumps));
  assert.equal(describeViolations(violations), '');
  assert.deepEqual(counts, { sent: 3, accepted: 3, pending: 0, refused: 0, shown: 8, fetched: 0, stored: 6 });
  assert.equal(a.head(log), 3);
});

test('an entry beyond the next is held, asked for, and shown in order once the page came', () => {
  const recorder = new HistoryRecorder();
  const device = recorder.device({ device: 'b', user: bo, cell: 'us-1' });
  joined(device);
  device.incoming(push(entry(1, ana, 'one')));
  assert.deepEqual(device.incoming(push(entry(3, ana, 'three'))), [{ log, from: 2 }]);
  assert.equal(device.head(log), 1);
  device.outgoing({ id: 9n, request: { $case: 'readHistory', value: { log, from: 2n, before: 0n, limit: 50 } } });
  device.incoming({ re: 9n, event: { $case: 'page', value: page([entry(2, ana, 'two')], false) } });
  assert.equal(device.head(log), 3);
  const kinds = recorder.history([]).events.map((event) => (event.what === 'shown' ? `shown ${event.entry.seq}` : event.what));
  assert.deepEqual(kinds.slice(3), ['shown 1', 'hole', 'fetched', 'shown 2', 'shown 3']);
});

test('a Welcome whose head is beyond what is held says what to fetch, also after a cut', () => {
  const device = new HistoryRecorder().device({ device: 'b', user: bo, cell: 'us-1' });
  joined(device);
  device.incoming(push(entry(1, ana, 'one')));
  device.disconnected();
  const heads = [{ log, epoch: 5n, seq: 4n, ord: 4n, ts: 1n }];
  const welcome = {
    user: bo,
    session: 1n,
    cell: 'us-1',
    node: 'b',
    limits: undefined,
    heartbeatMs: 10_000,
    heads,
    complete: true,
    digest: 0n,
    cursor: new Uint8Array(),
    tokenEnds: 0n,
    selfLog: 1n,
  };
  assert.deepEqual(device.incoming({ re: 1n, event: { $case: 'welcome', value: welcome } }), [{ log, from: 2 }]);
});

test('an append that was answered by a fault that says never is recorded as refused, and one that says later is not', () => {
  const recorder = new HistoryRecorder();
  const device = recorder.device({ device: 'a', user: ana, cell: 'eu-1' });
  const fault = (re: bigint, code: string, retry: 'RETRY_NEVER' | 'RETRY_LATER'): ServerFrame => ({
    re,
    event: { $case: 'fault', value: { code, text: '', retry, afterMs: 0 } },
  });
  device.outgoing(append(2n, 1_001n, 'one'));
  device.incoming(fault(2n, 'busy', 'RETRY_LATER'));
  device.outgoing(append(3n, 1_001n, 'one'));
  device.incoming(fault(3n, 'not_a_member', 'RETRY_NEVER'));
  assert.deepEqual(
    recorder.history([]).events.map(({ what }) => what),
    ['sent', 'sent', 'refused'],
  );
});

test('a page speaks for exactly the range it was asked for', () => {
  const ask = (from: bigint, before: bigint) => ({ log, from, before, limit: 2 });
  const two = [entry(4, ana, ''), entry(5, ana, '')];
  assert.deepEqual(coveredBy(ask(4n, 0n), page(two, false)), { from: 4, to: 5 });
  assert.deepEqual(coveredBy(ask(4n, 0n), page(two, true)), { from: 4, to: Number.POSITIVE_INFINITY });
  assert.deepEqual(coveredBy(ask(0n, 6n), page(two, false)), { from: 4, to: 5 });
  assert.deepEqual(coveredBy(ask(0n, 0n), page(two, true)), { from: 1, to: Number.POSITIVE_INFINITY });
});

test('state entries compare by their kind and value, and are nobody’s text', () => {
  const added = (home: number): Entry => ({
    ...entry(2, ana, ''),
    body: { $case: 'membersAdded', value: { members: [{ user: bo, home, from: 2n }] } },
  });
  assert.deepEqual(seenEntry(added(1)), seenEntry(added(1)));
  assert.notEqual(seenEntry(added(1)).body, seenEntry(added(2)).body);
  assert.equal(seenEntry(added(1)).content, false);
});
