// Every guard of delivery, switched off in a running node: something is lost, doubled, reordered or let through, and seen.
// The same in the simulation, over many seeds: simulation-mutations.test.ts. The hub's permissions and the seal have theirs in
// nats-permissions.test.ts and seal-injection.test.ts, the order of pushes in nodes.test.ts.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { IntakeFrame } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { startFabric, type TestFabric } from './harness.ts';
import { HostileCell } from './hostile-cell.ts';
import type { RawClient } from './raw-client.ts';
import { until } from './until.ts';

/** With its guards a lost frame is made up for within 3 s: sent again after 2 s, or pulled. Without one it is looked for this long. */
const unrepairedMs = 4_000;
let fabric: TestFabric;

before(async () => {
  fabric = await startFabric({ cells: ['eu-1', 'us-1'] });
});

after(() => fabric?.stop());

/** Both nodes with these failpoints, and nothing under way between them. */
async function arm(eu: string, us: string): Promise<void> {
  await settled();
  const wanted = Object.entries({ 'node-eu-1-a': eu, 'node-us-1-a': us });
  await Promise.all(
    wanted.map(async ([node, failpoints]) => {
      fabric.fabric.configure(node, failpoints === '' ? {} : { WEFT_FAILPOINTS: failpoints });
      await fabric.fabric.stop(node);
      await fabric.fabric.start(node);
    }),
  );
  // A cell that has just met another compares all they share, and would heal what is to be broken.
  await until('the cells have met', async () => (await fabric.metric('node-us-1-a', 'cells_link_comparisons_total')) > 0);
}

async function settled(): Promise<void> {
  for (const cell of ['eu-1', 'us-1'])
    await until(`nothing is under way from ${cell}`, async () => {
      const [row] = await fabric.sql(cell, 'select (select count(*) from outbox) + (select count(*) from intake) as n');
      return row?.n === 0n;
    });
}

let groups = 0;

/** A group of two people of eu-1, which owns it, and one of us-1; new people for each. */
async function group(membersMax = 0): Promise<{ ana: RawClient; ben: RawClient; uma: RawClient; log: bigint }> {
  groups += 1;
  const [ana, ben] = [await fabric.client(`ana${groups}`, 'eu-1'), await fabric.client(`ben${groups}`, 'eu-1')];
  const uma = await fabric.client(`uma${groups}`, 'us-1');
  const log = await ana.createGroup(membersMax === 0 ? [ben.user, uma.user] : [ben.user], membersMax);
  return { ana, ben, uma, log };
}

const seqsOf = async (cell: string, log: bigint): Promise<number[]> =>
  (await fabric.sql(cell, 'select seq from entries where log_id = $1 order by seq', [log])).map(({ seq }) => Number(seq));
const textsOf = async (cell: string, log: bigint): Promise<string[]> =>
  (await fabric.sql(cell, 'select body from entries where log_id = $1 and kind = 9 order by seq', [log])).map(({ body }) => String(body));

/** Ana's first word is lost on its way to the other cell, a second follows; resolves once that was handed to it. */
async function firstWordLost(forgetOutbox: boolean): Promise<bigint> {
  const { ana, log } = await group();
  await until('the other cell has the group', async () => (await seqsOf('us-1', log)).length > 0, 15_000);
  await ana.accepted({ log }, 'first');
  if (forgetOutbox) await fabric.sql('eu-1', 'delete from outbox');
  await ana.accepted({ log }, 'second');
  return log;
}

/** The frame that opens the group is the first, so the second is swallowed. */
const swallows = 'swallow-frame:2';

test('a lost frame is made up for while every guard is on', async () => {
  await arm('no-beat-heads', swallows);
  const log = await firstWordLost(false);
  await until('the second word is there', async () => (await seqsOf('us-1', log)).length === 3);
});

test('attempt number: a frame that was lost after the broker had it never comes again', async () => {
  await arm('no-beat-heads,no-attempt-number', swallows);
  const { ana, log } = await group();
  await until('the other cell has the group', async () => (await seqsOf('us-1', log)).length > 0, 15_000);
  await ana.accepted({ log }, 'lost');
  await assert.rejects(
    until('it is made up for', async () => (await seqsOf('us-1', log)).length === 2, unrepairedMs),
    /not within/,
  );
  await fabric.sql('eu-1', 'delete from outbox');
});

test('pull: a hole whose frame is not sent again stays for ever', async () => {
  await arm('', `${swallows},no-pull`);
  const log = await firstWordLost(true);
  await until('the hole is noted', async () => (await fabric.sql('us-1', 'select 1 from behind where log_id = $1', [log])).length === 1);
  await assert.rejects(
    until('it is filled', async () => (await seqsOf('us-1', log)).length === 3, unrepairedMs),
    /not within/,
  );
});

test('contiguous apply: what lies beyond a hole is taken for its next entry, so the chain breaks and the log stops', async () => {
  await arm('', `${swallows},no-contiguous-apply`);
  const log = await firstWordLost(false);
  const frozen = async (): Promise<boolean> =>
    (await fabric.sql('us-1', 'select 1 from logs where log_id = $1 and status = 2', [log])).length > 0;
  await until('the log is frozen', frozen);
  assert.deepEqual(await seqsOf('us-1', log), [1]);
  await fabric.sql('eu-1', 'delete from outbox');
});

test('intake number: what overtakes a lost frame is decided first', async () => {
  await arm('swallow-frame,no-intake-number', '');
  const { uma, log } = await group();
  await uma.toldUpTo(log, 1);
  // Frames of their own, so that one of them can be lost: an append is pending once it is committed, and then sent.
  for (const text of ['first', 'second']) assert.equal((await uma.append({ log }, text)).$case, 'pending');
  await uma.toldUpTo(log, 3);
  assert.deepEqual(await textsOf('eu-1', log), ['second', 'first']);
});

test('author’s home: a cell speaks for another cell’s person', async () => {
  await arm('', 'no-author-home');
  const [uma, udo] = [await fabric.client('uma', 'us-1'), await fabric.client('udo', 'us-1')];
  const log = await uma.createGroup([udo.user]);
  await using hostile = await HostileCell.open(fabric, 'eu-1');
  const said = {
    low: 0n,
    high: 0n,
    n: 1n,
    lowestOpen: 1n,
    author: udo.user,
    clientEntryId: 77n,
    kind: 9,
    body: Buffer.from('not udo'),
    peerHome: 0,
    epoch: 0n,
  };
  await hostile.send('us-1', 'i', IntakeFrame.encode({ intakes: [{ ...said, log }] }).finish());
  await uma.toldUpTo(log, 2);
  assert.deepEqual(await textsOf('us-1', log), ['not udo']);
});

test('limit and permission: a full group takes one more, and who was removed goes on writing', async () => {
  await arm('no-limit', '');
  const full = await group(2);
  assert.equal((await full.ana.changeMembers(full.log, { add: [full.uma.user] })).$case, 'done');
  await arm('no-permission', '');
  const { ana, ben, log } = await group();
  await ben.accepted({ log }, 'a member');
  assert.equal((await ana.changeMembers(log, { remove: [ben.user] })).$case, 'done');
  assert.equal((await ben.append({ log }, 'no member')).$case, 'accepted');
});

test('acknowledge after the commit: what was accepted is not there', async () => {
  await arm('no-commit-before-answer', '');
  const { ana, log } = await group();
  await fabric.sql('eu-1', "alter table entries add constraint fails check (body <> 'fails'::bytea) not valid");
  assert.equal((await ana.accepted({ log }, 'fails')).seq, 2n);
  // While the constraint stands: a commit that is tried only after the answer would find it gone.
  assert.deepEqual(await seqsOf('eu-1', log), [1]);
  await fabric.sql('eu-1', 'alter table entries drop constraint fails');
  await fabric.sql('eu-1', 'delete from outbox');
});

test('dedupe: an append that is sent again is two entries', async () => {
  await arm('no-dedupe', '');
  const [unique] = await fabric.sql('eu-1', "select conname from pg_constraint where conrelid = 'entries'::regclass and contype = 'u'");
  await fabric.sql('eu-1', `alter table entries drop constraint ${unique?.conname}`);
  const { ana, log } = await group();
  const id = ana.freshEntryId();
  const seqs = [await ana.accepted({ log }, 'once', id), await ana.accepted({ log }, 'once', id)].map(({ seq }) => seq);
  assert.deepEqual(seqs, [2n, 3n]);
});
