// What a cell cannot store, for whatever reason, stops nothing but itself (R27). The cells' own PostgreSQL is told to refuse
// certain rows, as a bug or a broken index would.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Entry } from '@weft/proto/gen/weft/client/v1/client.ts';
import { startFabric, type TestFabric } from './harness.ts';
import { rejections } from './hostile-cell.ts';
import type { RawClient } from './raw-client.ts';
import { until } from './until.ts';

let fabric: TestFabric;
let ana: RawClient;
let bo: RawClient;
let cleo: RawClient;

before(async () => {
  fabric = await startFabric({ cells: ['eu-1', 'us-1'] });
  ana = await fabric.client('ana', 'eu-1');
  [bo, cleo] = [await fabric.client('bo', 'us-1', { encoding: 'json' }), await fabric.client('cleo', 'us-1')];
});

after(() => fabric?.stop());

/** A cell that cannot store such entries; healed at the end. */
async function refusing(cell: string, condition: string): Promise<AsyncDisposable> {
  await fabric.sql(cell, `alter table entries add constraint poison check (not (${condition})) not valid`);
  return { [Symbol.asyncDispose]: async () => void (await fabric.sql(cell, 'alter table entries drop constraint poison')) };
}

const statusOf = async (cell: string, log: bigint): Promise<unknown> =>
  (await fabric.sql(cell, 'select status from logs where log_id = $1', [log]))[0]?.status;

const poisoned = async (node: string, src: string): Promise<number> => (await rejections(fabric, node)).get(`operation poison ${src}`) ?? 0;

/** What an unreadable entry keeps, as values that compare. */
const headerOf = ({ flags, body, bodyHash, prev, ...header }: Entry): unknown => ({ ...header, prev: Buffer.from(prev ?? []) });

test('content that fails three times keeps its place as an unreadable entry, and what follows it is shown', async () => {
  const log = await ana.createGroup([bo.user, cleo.user]);
  await bo.toldUpTo(log, 1);
  await using _refusing = await refusing('us-1', "kind = 9 and body = 'poison'::bytea");
  // One of its own people among them: its append waits no longer once its place is known.
  const sent = [await ana.accepted({ log }, 'before'), await ana.accepted({ log }, 'poison')];
  assert.equal((await bo.append({ log }, 'poison')).$case, 'pending');
  sent.push(await ana.accepted({ log }, 'after'));
  await Promise.all([bo.toldUpTo(log, 5), cleo.toldUpTo(log, 5)]);
  const owners = await ana.history(log);
  for (const reader of [bo, cleo]) {
    for (const shown of [await reader.history(log), reader.pushed().filter((entry) => entry.log === log)]) {
      assert.deepEqual(shown.map(headerOf), owners.map(headerOf));
      const texts = shown.slice(1).map(({ body, flags }) => [body?.$case === 'text' ? body.value : body, flags]);
      for (const [text, flags] of texts) assert.equal(flags, text === '' ? 3 : 0);
      assert.deepEqual(texts.map(([text]) => text).sort(), ['', '', 'after', 'before']);
    }
  }
  assert.deepEqual([(await poisoned('node-us-1-a', 'eu-1')) > 0, await statusOf('us-1', log)], [true, 0]);
  const [waiting] = await fabric.sql('us-1', 'select (select count(*) from intake) as intake, (select count(*) from behind) as behind');
  assert.deepEqual({ ...waiting }, { intake: 0n, behind: 0n });
});

test('a state entry that fails three times freezes the log in that cell, and in no other', async () => {
  const log = await ana.createGroup([bo.user]);
  await bo.toldUpTo(log, 1);
  await using _refusing = await refusing('us-1', `kind = 17 and log_id = ${log}`);
  assert.equal((await ana.changeMembers(log, { add: [cleo.user] })).$case, 'done');
  await until('the log is frozen', async () => (await statusOf('us-1', log)) === 2);
  assert.equal(await bo.faultOf({ $case: 'append', value: appendTo(log) }), 'log_frozen');
  const { seq } = await ana.accepted({ log }, 'goes on');
  assert.equal(seq, 3n);
  assert.deepEqual(
    (await bo.history(log)).map((entry) => entry.seq),
    [1n],
  );
});

test('an intake that fails three times at its owner is refused, and what was sent after it is decided', async () => {
  const log = await ana.createGroup([bo.user]);
  await bo.toldUpTo(log, 1);
  await using _refusing = await refusing('eu-1', "kind = 9 and body = 'poison'::bytea");
  const id = bo.freshEntryId();
  for (const [text, clientEntryId] of [
    ['before', bo.freshEntryId()],
    ['poison', id],
    ['after', bo.freshEntryId()],
  ] as const)
    assert.equal((await bo.append({ log }, text, clientEntryId)).$case, 'pending');
  await ana.toldUpTo(log, 3);
  const refused = await bo.next('refused', { where: (value) => value.clientEntryId === id });
  assert.equal(refused.code, 'bad_request');
  assert.deepEqual(
    ana.told(log).map(({ text }) => text),
    ['', 'before', 'after'],
  );
});

function appendTo(log: bigint) {
  return {
    target: { $case: 'log' as const, value: log },
    clientEntryId: bo.freshEntryId(),
    followedBy: [],
    content: { $case: 'text' as const, value: 'hello' },
  };
}
