import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProofReport } from '@weft/client/judge.ts';
import { audit } from './audit.ts';

const report: ProofReport = { kind: 'rewritten', log: 7n, from: 3, to: 4, agreed: 'owner', repaired: false };

test('a history that is said to be wrong is a violation', () => {
  assert.deepEqual(audit([{ name: 'ana', reports: [report] }]), [
    { invariant: 'I17', text: 'ana says that log 7 is rewritten from 3 to 4, right up to owner' },
  ]);
});

test('what was lost or changed on the way here is none', () => {
  const onTheWay: ProofReport[] = [
    { ...report, repaired: true },
    { ...report, kind: 'missing' },
  ];
  assert.deepEqual(audit([{ name: 'ana', reports: onTheWay }]), []);
});
