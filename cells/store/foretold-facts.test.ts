import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chainStart } from '@weft/proto/chain.ts';
import { makeEpoch } from '@weft/proto/positions.ts';
import type { LogState } from '../delivery/log-state.ts';
import type { LogRow, WriteKeys } from '../delivery/ports.ts';
import { foretoldFacts } from './foretold-facts.ts';
import { KnownRows } from './known-rows.ts';
import { StateCache } from './state-cache.ts';

const here = { cell: 1, generation: 1 };
const log = 7n;
const epoch = makeEpoch({ count: 1, ...here });
const row: LogRow = { log, status: 'open', epoch, head: 5, ts: 1, ord: 1, hash: chainStart, version: 1 };
const state: LogState = {
  ...{ log, kind: 'direct', epoch, epochs: [{ epoch, base: 0 }], version: 1, title: '', membersMax: 2, creator: 1n, low: 1n, high: 2n },
  ...{ members: new Map(), cells: new Map() },
};
const append = { log, author: 1n, clientEntryId: 9n };
const keys: WriteKeys = {
  ...{ logs: [log], known: [append], refusals: [append], intakes: [append], pairs: [], decided: [], moves: [], settles: [], cuts: [] },
  ...{ targets: [], runs: [] },
};

function foretold(asked: Partial<WriteKeys> = {}, known: { readonly row?: Partial<LogRow>; readonly state?: Partial<LogState> } = {}) {
  const rows = new KnownRows(10);
  const states = new StateCache(10);
  rows.committed([{ ...row, ...known.row }]);
  states.set({ ...state, ...known.state });
  return foretoldFacts({ ...keys, ...asked }, rows, { ...here, states });
}

test('an append to a log that this node wrote last is decided on what is known of it', () => {
  const facts = foretold();
  assert.deepEqual([facts?.rows.get(log), facts?.states.get(log)], [row, state]);
  assert.equal(facts?.known(append), undefined);
  assert.notEqual(foretold({ runs: [{ log, from: 6, to: 9 }] }), undefined);
});

test('nothing is foretold where something has to be looked up', () => {
  const stream = { a: log, b: 0n };
  const asked: Partial<WriteKeys>[] = [
    { logs: [log, 8n] },
    { pairs: [{ low: 1n, high: 2n }] },
    { decided: [{ stream, cell: 2, generation: 1 }] },
    ...[{ moves: [log] }, { settles: [log] }, { cuts: [{ log, above: 3 }] }, { targets: [{ log, seq: 2 }] }],
    { intakes: [{ ...append, stream }] },
    // It overlaps the head.
    { runs: [{ log, from: 5, to: 9 }] },
  ];
  for (const each of asked) assert.equal(foretold(each), undefined, Object.keys(each).join());
});

test('nothing is foretold of a log that is or was anybody else’s, or whose state is another version’s', () => {
  const elsewhere = makeEpoch({ count: 1, cell: 2, generation: 1 });
  const handedBack = makeEpoch({ count: 3, ...here });
  const before = makeEpoch({ count: 1, cell: 1, generation: 0 });
  for (const other of [elsewhere, handedBack, before])
    assert.equal(foretold({}, { row: { epoch: other }, state: { epoch: other } }), undefined);
  for (const known of [{ row: { status: 'intake' } }, { row: { version: 2 } }, { state: { epoch: elsewhere } }] as const)
    assert.equal(foretold({}, known), undefined);
});
