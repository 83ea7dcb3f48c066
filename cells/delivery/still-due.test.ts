import assert from 'node:assert/strict';
import { test } from 'node:test';
import { birthCell } from '@weft/proto/ids.ts';
import { ana, bo, OwnedLog } from './owned-log.ts';
import type { LogStore } from './ports.ts';
import { userOf } from './staged-cell.ts';
import { stillDue } from './still-due.ts';

/** Cell 2's copy of a log that it took over, with cell 1 in this interval of it. */
function takenOver(until: number) {
  const f = new OwnedLog();
  f.takeOver(2);
  f.cell(2).decide({ type: 'settle', log: f.log });
  f.say(2);
  const { state } = { state: f.cell(2).states.get(f.log) };
  assert.ok(state);
  const cells = new Map(state.cells).set(1, { from: 1, until });
  const store = { readRow: async () => ({ state: { ...state, cells } }) } as unknown as Pick<LogStore, 'readRow'>;
  return { entries: f.cell(2).logEntries(f.log), store, homeOf: birthCell };
}

const seqs = async (until: number): Promise<number[]> => {
  const { entries, ...of } = takenOver(until);
  return (await stillDue(entries, 1, of)).map(({ seq }) => seq);
};

test('what stands now at places of an epoch that was given up goes to no cell that was out of the log by then', async () => {
  assert.deepEqual(await seqs(0), [1, 2, 3, 4]);
  assert.deepEqual(await seqs(3), [1, 2, 3]);
});

test('an answer goes to its author’s home, whoever is in the log', async () => {
  const { entries, ...of } = takenOver(3);
  const last = entries.at(-1);
  assert.ok(last?.author === bo);
  assert.deepEqual(await stillDue([{ ...last, author: ana }], 1, of), [{ ...last, author: ana }]);
  assert.deepEqual(await stillDue([{ ...last, author: userOf(3, 2) }], 1, of), []);
});

test('of a log in its first epoch nothing is read', async () => {
  const f = new OwnedLog();
  const store = { readRow: () => assert.fail('no place of it was given up') };
  const entries = f.cell(1).logEntries(f.log);
  assert.equal(await stillDue(entries, 2, { store, homeOf: birthCell }), entries);
});
