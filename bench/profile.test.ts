import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hottest } from './profile.ts';

test('own time is summed by function, and idle time is no time', () => {
  const frame = (functionName: string, url = '') => ({ functionName, url, lineNumber: 4 });
  const nodes = [
    { id: 1, callFrame: frame('(idle)') },
    { id: 2, callFrame: frame('decide', 'file:///x/cells/delivery/decide.ts') },
    { id: 3, callFrame: frame('decide', 'file:///x/cells/delivery/decide.ts') },
    { id: 4, callFrame: frame('(garbage collector)') },
  ];
  const found = hottest({ nodes, samples: [1, 2, 3, 4], timeDeltas: [9_000, 2_000, 1_000, 1_000] }, 2);
  assert.deepEqual(found, [
    { where: 'decide delivery/decide.ts:5', ms: 3, share: 0.75 },
    { where: '(garbage collector)', ms: 1, share: 0.25 },
  ]);
});
