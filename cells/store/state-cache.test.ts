import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LogState } from '../delivery/log-state.ts';
import { StateCache } from './state-cache.ts';

const stateOf = (log: bigint, version = 1): LogState => ({
  ...{ log, kind: 'group', epoch: 1n, epochs: [], version, title: '', membersMax: 8, creator: 1n, low: 0n, high: 0n },
  ...{ members: new Map(), cells: new Map() },
});
const known = (states: StateCache, logs: readonly bigint[]): readonly bigint[] => logs.filter((log) => states.get(log) !== undefined);

test('beyond the bound the state used longest ago is forgotten', () => {
  const states = new StateCache(2);
  states.set(stateOf(1n));
  states.set(stateOf(2n));
  assert.equal(states.get(1n)?.version, 1);
  states.set(stateOf(3n));
  assert.deepEqual(known(states, [1n, 2n, 3n]), [1n, 3n]);
  states.set(stateOf(1n, 2));
  states.set(stateOf(4n));
  assert.deepEqual(known(states, [1n, 2n, 3n, 4n]), [1n, 4n]);
  assert.equal(states.get(1n)?.version, 2);
});

test('what was taken out makes room', () => {
  const states = new StateCache(2);
  for (const log of [1n, 2n]) states.set(stateOf(log));
  states.delete(2n);
  states.set(stateOf(3n));
  assert.deepEqual(known(states, [1n, 2n, 3n]), [1n, 3n]);
});
