// A cell's servers lose their power under load, once; `npm run powercut` does more.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeViolations } from './history-checker.ts';
import { powercutLacks } from './powercut/lacks.ts';
import { cutPower } from './powercut/power.ts';

const lacks = powercutLacks();
const skip = lacks.length > 0 && lacks.join('; ');
const load = { seed: 1, perSecond: 100, say: () => undefined };

test('the power of PostgreSQL and broker is cut under load, and nothing accepted is lost', { skip }, async (t) => {
  const { violations, accepted, forgotten, recoveryMs } = await cutPower({ ...load, cuts: 1, brokerSync: '2m', syncs: true });
  t.diagnostic(`${accepted} accepted; the broker forgot ${forgotten.join(', ')} messages; recovered in ${recoveryMs.join(', ')} ms`);
  assert.equal(describeViolations(violations), '');
});

test('a PostgreSQL that answers before it has synced is found out by one cut', { skip }, async (t) => {
  const { violations } = await cutPower({ ...load, cuts: 1, brokerSync: '10s', syncs: false });
  t.diagnostic(
    violations
      .map(({ invariant, text }) => `${invariant}: ${text}`)
      .join('; ')
      .slice(0, 400),
  );
  assert.ok(
    violations.some(({ invariant }) => ['I1', 'I7'].includes(invariant)),
    describeViolations(violations) || 'nothing was missed',
  );
});
