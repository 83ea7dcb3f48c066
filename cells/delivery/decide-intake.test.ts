import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Envelope } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { kinds } from './entry.ts';
import { pairOf } from './log-state.ts';
import type { IntakeOperation, Outcome, RefusedOperation } from './operations.ts';
import { groupOf, intakeOf, StagedCell, text, userOf } from './staged-cell.ts';

const ana = userOf(1, 1);
const bo = userOf(2, 2);
const cy = userOf(3, 3);
const pair = pairOf(ana, bo);
const stream = { a: pair.low, b: pair.high };

const intake = (n: number, more: Partial<IntakeOperation> = {}): IntakeOperation => ({
  ...intakeOf(
    { stream, n, log: 0n, dst: 1, author: bo, clientEntryId: BigInt(100 + n), kind: kinds.text, body: Buffer.from(`${n}`), createdMs: 0 },
    2,
  ),
  ...more,
});
const typesOf = (outcomes: readonly Outcome[]): string[] => outcomes.map((o) => (o.type === 'rejected' ? o.why : o.type));
const bodies = (cell: StagedCell): string[] => cell.entries.filter((e) => e.kind === kinds.text).map((e) => Buffer.from(e.body).toString());
const refusals = (cell: StagedCell): (string | undefined)[] =>
  (cell.writes?.outbox ?? []).flatMap(({ envelopes }) =>
    envelopes.map((bytes) => {
      const { notice } = Envelope.decode(bytes);
      return notice?.$case === 'refused' ? notice.value.code : undefined;
    }),
  );

test('numbers are decided in their order only, each once', () => {
  const cell = new StagedCell(1, [ana]);
  assert.deepEqual(typesOf(cell.decide(intake(2))), ['early']);
  assert.deepEqual(typesOf(cell.decide(intake(1), intake(3))), ['decided', 'early']);
  assert.deepEqual(typesOf(cell.decide(intake(2), intake(3), intake(1))), ['decided', 'decided', 'decided']);
  assert.deepEqual(bodies(cell), ['1', '2', '3']);
});

test('a number decided before is answered again with its entry, else with its refusal', () => {
  const cell = new StagedCell(1, [ana]);
  cell.decide(intake(1));
  const log = cell.entries.find((e) => e.clientEntryId === 101n)?.log as bigint;
  cell.decide(intake(1));
  assert.deepEqual(
    cell.writes?.outbox.map(({ dst, ranges }) => [dst, ranges]),
    [[2, [{ log, first: 2, last: 2 }]]],
  );
  assert.deepEqual(refusals(cell), []);
  cell.decide(intake(1, { clientEntryId: 999n }));
  assert.deepEqual(refusals(cell), ['not_allowed']);
});

test('a refusal that cannot be kept for its cell is not decided: the number comes again', () => {
  const cell = new StagedCell(1, [ana]);
  cell.full.add(2);
  const refused = intake(1, { kind: kinds.created });
  assert.deepEqual(typesOf(cell.decide(refused, intake(2))), ['early', 'early']);
  assert.deepEqual([refusals(cell), cell.writes?.decided], [[], []]);
  cell.full.clear();
  assert.deepEqual(typesOf(cell.decide(refused, intake(2))), ['decided', 'decided']);
  assert.deepEqual(refusals(cell), ['bad_request']);
});

test('what a later one of its author has overtaken was refused by an owner before, and stays so', () => {
  // In numbers of another life, as after a takeover: what was decided then is known by its entries alone.
  const again = (n: number, id: bigint): IntakeOperation => intake(n, { clientEntryId: id, generation: 2 });
  const taken = (before: bigint, ...then: readonly IntakeOperation[]): unknown[] => {
    const cell = new StagedCell(1, [ana]);
    cell.decide(intake(1, { clientEntryId: before }));
    cell.decide(...then);
    return [refusals(cell), bodies(cell).length];
  };
  assert.deepEqual(taken(300n, again(1, 200n), again(2, 300n)), [['not_allowed'], 1]);
  assert.deepEqual(taken(100n, again(1, 200n), again(2, 100n)), [[], 2], 'another device wrote that earlier');
  assert.deepEqual(taken(300n, again(1, 300n), again(2, 200n)), [[], 2], 'it is sent behind');
});

test('numbers below the lowest open one count as decided', () => {
  const cell = new StagedCell(1, [ana]);
  assert.deepEqual(typesOf(cell.decide(intake(5, { lowestOpen: 5 }), intake(6))), ['decided', 'decided']);
  assert.deepEqual(bodies(cell), ['5', '6']);
});

test("only the author's home speaks for the author", () => {
  const cell = new StagedCell(1, [ana]);
  assert.deepEqual(typesOf(cell.decide(intake(1, { src: 3 }))), ['foreign-author']);
  assert.equal(cell.entries.length, 0);
});

test('a stranger has no part in a pair, and another cell does not decide for it', () => {
  const cell = new StagedCell(1, [ana]);
  assert.deepEqual(typesOf(cell.decide(intake(1, { src: 3, author: cy }))), ['not-owner']);
  const elsewhere = new StagedCell(3, [cy]);
  assert.deepEqual(typesOf(elsewhere.decide(intake(1))), ['not-owner']);
});

test('a member of the past is refused, finally', () => {
  const cell = new StagedCell(1, [ana]);
  const [created] = cell.decide(groupOf(ana, []));
  const log = created?.type === 'accepted' ? created.entry.log : 0n;
  const of = { target: { log }, stream: { a: log, b: 0n } };
  assert.deepEqual(typesOf(cell.decide(intake(1, of))), ['decided']);
  assert.deepEqual(refusals(cell), ['not_a_member']);
  assert.deepEqual(typesOf(cell.decide(intake(1, of))), ['decided'], 'and again the same');
});

test('a state entry of a kind nobody knows is refused, and nothing of it is stored', () => {
  const cell = new StagedCell(1, [ana]);
  const [created] = cell.decide(groupOf(ana, [bo]));
  const log = created?.type === 'accepted' ? created.entry.log : 0n;
  cell.decide(intake(1, { target: { log }, stream: { a: log, b: 0n }, kind: 19, body: new Uint8Array() }));
  assert.deepEqual(refusals(cell), ['bad_request']);
  assert.equal(cell.rows.get(log)?.head, 1);
});

test('answers from before fit a frame however large their bodies are', () => {
  const cell = new StagedCell(1, [ana]);
  const numbers = Array.from({ length: 40 }, (_, i) => i + 1);
  cell.decide(...numbers.map((n) => intake(n)));
  cell.decide(...numbers.map((n) => intake(n)));
  assert.ok((cell.writes?.outbox.length ?? 0) >= 3, 'sixteen KiB each, 256 KiB a frame');
});

test('an append that came several times at once is answered once', () => {
  const cell = new StagedCell(1, [ana]);
  cell.decide(intake(1));
  cell.decide(intake(1), intake(1), intake(1));
  const ranges = cell.writes?.outbox.flatMap((row) => row.ranges.map(({ first, last }) => [first, last]));
  assert.deepEqual(ranges, [[2, 2]]);
});

const refused = (src: number, clientEntryId: bigint, of: { n?: number; generation?: number } = {}): RefusedOperation => ({
  type: 'refused',
  src,
  target: { pair },
  stream,
  n: 1,
  author: bo,
  clientEntryId,
  code: 'not_allowed',
  text: '',
  ...of,
});

test('a refusal of a number that the append had before closes nothing', () => {
  const home = new StagedCell(2, [bo]);
  home.decide(text({ pair }, bo, 5n));
  home.decide(refused(1, 5n, { n: 2 }), refused(1, 5n, { generation: home.generation + 1 }));
  assert.equal(home.intake.size, 1);
  home.decide(refused(1, 5n, { generation: home.generation }));
  assert.equal(home.intake.size, 0);
});

test('a refusal closes the waiting append and is told in the self log, once', () => {
  const home = new StagedCell(2, [bo]);
  home.decide(text({ pair }, bo, 5n));
  assert.deepEqual(typesOf(home.decide(refused(1, 5n), refused(1, 5n))), ['decided', 'decided']);
  assert.equal(home.intake.size, 0);
  assert.deepEqual(
    home.logEntries(bo).map(({ kind }) => kind),
    [kinds.appendRefused],
  );
});

test('an append refused twice, in two lives, leaves one entry of its refusal', () => {
  const home = new StagedCell(2, [bo]);
  for (let i = 0; i < 2; i++) {
    home.intake.set(`${bo}:5:${stream.a}:${stream.b}`, { ...text({ pair }, bo, 5n), stream, n: i + 1, log: 0n, dst: 1, createdMs: 0 });
    home.decide(refused(1, 5n, { n: i + 1 }));
  }
  assert.equal(home.intake.size, 0);
  assert.equal(home.logEntries(bo).length, 1);
});

test('only the cell that decides may refuse', () => {
  const home = new StagedCell(2, [bo]);
  home.decide(text({ pair }, bo, 5n));
  assert.deepEqual(typesOf(home.decide(refused(3, 5n))), ['not-owner']);
  assert.equal(home.intake.size, 1);
});
