// The short list of faults, with people who use the real SDK.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { faults } from './catalogue.ts';
import { type Fault, nameOf } from './fault.ts';
import { lookAtMachine, reasonAgainst } from './machine.ts';
import type { Trial } from './result.ts';
import { Stage } from './stage.ts';
import { runTrial } from './trial.ts';

const lacks = lookAtMachine();
const placed = !lacks.has('namespaces');
/** Half the ordinary times: the whole list is to fit into minutes. */
const pace = 0.5;
let stage: Stage;
let trials = 0;

before(async () => {
  stage = await Stage.open({ cells: ['eu-1', 'eu-2', 'us-1'], nodes: { 'eu-1': 2, 'eu-2': 1, 'us-1': 2 }, placed });
});

after(async () => {
  await stage?.[Symbol.asyncDispose]();
});

function tryOut(fault: Fault): Promise<Trial> {
  trials += 1;
  const options = { stage, fault, seed: trials, label: `s${trials}`, signal: new AbortController().signal, pace };
  // Without a control cell latency is measured and not judged.
  return runTrial({ ...options, say: () => undefined });
}

for (const fault of faults.filter(({ short }) => short)) {
  test(`${nameOf(fault)}: ${fault.text}`, { skip: reasonAgainst(lacks, fault.needs) ?? false }, async (t) => {
    const { violations, notes, recoveryMs, appendsPerSecond } = await tryOut(fault);
    t.diagnostic([`${appendsPerSecond} appends/s, recovered in ${recoveryMs} ms`, ...notes].join('; '));
    assert.deepEqual(violations, []);
  });
}

test('an entry that is taken out of a replica behind everybody’s back is found', async () => {
  const planted: Fault = {
    ...{ id: 'X1', variant: 'planted', text: 'an entry vanishes', needs: [], suffers: [], aims: [], holdMs: 1_000 },
    inject: async ({ crowd }) => {
      const [log] = crowd.talks.filter(({ members }) => members.length > 2).map(({ conversation }) => conversation);
      const [head] = await stage.sql('us-1', 'select head from logs where log_id = $1', [log]);
      await stage.sql('us-1', 'delete from entries where log_id = $1 and seq = $2', [log, Number(head?.head) - 1]);
      return undefined;
    },
  };
  const { result, violations } = await tryOut(planted);
  assert.equal(result, 'violated');
  assert.ok(violations.some(({ invariant, text }) => invariant === 'I1' && text.includes('us-1 lacks 1 entries')));
});

test('a fault that fails half-way is a violation, and leaves nothing stopped or frozen', async () => {
  const broken: Fault = {
    ...{ id: 'X2', variant: 'broken', text: 'stops a node and fails', needs: [], suffers: [], aims: [] },
    inject: async () => {
      await stage.fabric.stop('node-us-1-a');
      stage.fabric.freeze('hub-us');
      throw new Error('half-way');
    },
  };
  const { violations } = await tryOut(broken);
  assert.deepEqual(violations, [{ invariant: 'I15', text: 'half-way' }]);
  assert.deepEqual(
    stage.fabric.servers().filter(({ state }) => state !== 'running'),
    [],
  );
});
