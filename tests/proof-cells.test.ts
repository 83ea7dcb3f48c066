// The same over real cells with the real SDK: rows that change under a cell are reported with the hop that still had it right.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Conversation } from '@weft/client/conversation.ts';
import type { ProofReport } from '@weft/client/judge.ts';
import { nodeSha256 } from '@weft/client/sha256-node.ts';
import { Weft } from '@weft/client/weft.ts';
import { startFabric, type TestFabric } from './harness.ts';
import { until } from './until.ts';

const heartbeatMs = 5_000;
let fabric: TestFabric;

interface Person {
  readonly weft: Weft;
  readonly cell: string;
  readonly reports: ProofReport[];
}

async function person(handle: string, region: string): Promise<Person> {
  const weft = await Weft.signUp({
    router: fabric.url(`router-${region}`),
    handle,
    password: 'a long enough passphrase',
    region,
    ports: { sha256: nodeSha256 },
  });
  await weft.live();
  const reports: ProofReport[] = [];
  weft.on('proof', (report) => reports.push(report));
  weft.on('entry', () => undefined);
  const cell = `${region}-1`;
  assert.equal(weft.state.cell, cell);
  return { weft, cell, reports };
}

before(async () => {
  fabric = await startFabric({ cells: ['eu-1', 'us-1'], env: { 'node-*': { WEFT_HEARTBEAT_MS: String(heartbeatMs) } } });
});
after(async () => {
  await fabric?.stop();
});

/** What was reported first within a heartbeat of the reading, looked for by log and seq. */
async function reportAt({ weft, reports }: Person, log: bigint, seq: number, before = 0): Promise<ProofReport> {
  const at = (report: ProofReport): boolean => report.log === log && report.from <= seq && report.to >= seq;
  const startMs = performance.now();
  const lines: string[] = [];
  const cancel = weft.on('state', ({ name }) => lines.push(name));
  const { entries } = await weft.conversation(log).history({ before, limit: 20 });
  await until('it is reported', () => reports.some(at)).catch((error: unknown) => {
    const shown = entries.map(({ seq, prev }) => (prev ? `${seq}` : `${seq} unproved`));
    const told = reports.map(({ kind, from, to }) => `${kind} ${from} to ${to}`);
    throw new Error(`${String(error)}; shown ${shown}; told ${told}; connection ${lines}`);
  });
  cancel();
  assert.ok(performance.now() - startMs <= heartbeatMs);
  return reports.find(at) as ProofReport;
}

async function talk(from: Person, to: Person, words: number): Promise<bigint> {
  const conversation: Conversation = await from.weft.createGroup('a talk', [to.weft.me]);
  const sent = Array.from({ length: words }, (_, i) => conversation.send(`word ${i}`));
  for (const { accepted } of sent) await accepted;
  const log = conversation.log ?? 0n;
  await until('all is heard', () => to.weft.conversation(log).head === words + 1);
  return log;
}

test('talk across cells is proved as it comes, raises nothing, and both members hold the same', async () => {
  const [ana, bo] = [await person('ana', 'eu'), await person('bo', 'us')];
  const log = await talk(ana, bo, 150);
  await until('both can say what they hold', () => ana.weft.proofOf(log, 151) !== undefined && bo.weft.proofOf(log, 151) !== undefined);
  const [hers, his] = [ana.weft.proofOf(log, 151), bo.weft.proofOf(log, 151)];
  assert.ok(hers && his);
  assert.equal(ana.weft.compare(his), 'same');
  assert.equal(hers.number, his.number);
  assert.equal(ana.weft.compare({ ...his, hash: new Uint8Array(32) }), 'different');
  await bo.weft.conversation(log).history({ limit: 200 });
  assert.deepEqual([...ana.reports, ...bo.reports], []);
  await ana.weft.close();
  await bo.weft.close();
});

test('a row rewritten in the replica, one in the owner’s store and one taken away are reported, each by its name', async () => {
  const [cy, di] = [await person('cy', 'eu'), await person('di', 'us')];
  const cases = [
    { reader: di, change: 'update entries set body = $2 where log_id = $1 and seq = 8', kind: 'rewritten' },
    { reader: cy, change: 'update entries set body = $2 where log_id = $1 and seq = 8', kind: 'rewritten' },
    { reader: di, change: 'delete from entries where log_id = $1 and seq = 8 and body <> $2', kind: 'missing' },
  ];
  for (const { reader, change, kind } of cases) {
    const log = await talk(cy, di, 10);
    await fabric.sql(reader.cell, change, [log, Buffer.from('words that nobody said')]);
    const report = await reportAt(reader, log, 8);
    assert.deepEqual([report.kind, report.agreed, report.repaired], [kind, 'owner', false]);
  }
  await cy.weft.close();
  await di.weft.close();
});

test('a row rewritten far below the head is reported when somebody reads back to it, and what lies above is not', async () => {
  const [ed, fay] = [await person('ed', 'eu'), await person('fay', 'us')];
  const log = await talk(ed, fay, 300);
  await fabric.sql(fay.cell, 'update entries set body = $2 where log_id = $1 and seq = 70', [log, Buffer.from('words that nobody said')]);
  await fay.weft.conversation(log).history({ before: 170, limit: 40 });
  const report = await reportAt(fay, log, 70, 80);
  assert.deepEqual([report.kind, report.from, report.agreed, report.repaired], ['rewritten', 70, 'owner', false]);
  assert.ok(fay.reports.every(({ to }) => to < 128));
  await ed.weft.close();
  await fay.weft.close();
});
