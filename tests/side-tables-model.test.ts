// What the simulator keeps in memory beside the logs, held to SQL: marks and leases.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { furthestOfEach, keyOf, type Mark } from '@weft/cells/delivery/marks.ts';
import { sideTables } from '@weft/cells/store/side-tables.ts';
import { startTestPostgres, type TestServer } from '@weft/local/test-servers.ts';
import { type Lease, Leases } from '@weft/runtime/lease.ts';
import { seededRandom } from '@weft/runtime/random.ts';
import { MemoryCell, type StoredLog } from './simulation/memory-cell.ts';
import { MemoryLeases, MemoryTables } from './simulation/memory-tables.ts';
import { ProcessClock, SimulatedTime } from './simulation/simulated-time.ts';
import { StoreCell } from './store-cell.ts';

const nowMs = 1_800_000_000_000;
const logs = [1n, 2n, 3n];

let postgres: TestServer;
before(async () => {
  postgres = await startTestPostgres({ fast: true });
});
after(async () => {
  await postgres?.stop();
});

/** What a statement returns is in no order. */
const byKey = (marks: readonly Mark[]): Map<string, Mark> => new Map(marks.map((mark) => [keyOf(mark), mark]));

test('marks in memory are merged, wait while their user is out of the log, and go as in SQL', async () => {
  await using real = await StoreCell.open(postgres, 'sides');
  const theirs = sideTables((statement) => real.pool.query(statement));
  const cell = new MemoryCell(1);
  const reach = async (): Promise<void> => undefined;
  const clock = new ProcessClock(new SimulatedTime(), nowMs, 0);
  const mine = new MemoryTables({ cell, clock, reach });
  const random = seededRandom(3);
  const join = async (log: bigint, user: bigint): Promise<void> => {
    const stored = cell.logs.get(log) as StoredLog;
    stored.state = { ...stored.state, members: new Map([...stored.state.members, [user, { home: 1, from: 1 }]]) };
    await real.pool.query('insert into members (log_id, user_id, home, from_seq) values ($1, $2, 1, 1)', [log, user]);
  };
  for (const log of logs) {
    cell.addSelfLog(log, 1n);
    await join(log, log);
  }
  const mark = (): Mark => ({
    log: BigInt(1 + random.int(3)),
    user: BigInt(1 + random.int(3)),
    deliveredEpoch: BigInt(1 + random.int(2)),
    delivered: random.int(9),
    seenEpoch: BigInt(random.int(2)),
    seen: random.int(9),
  });
  const cameBack: Mark[] = [];
  for (let i = 0; i < 200; i++) {
    // Until then the marks of everybody else wait for them to be in these logs.
    if (i === 100) for (const log of logs) for (const user of logs) if (user !== log) await join(log, user);
    const [one, dst] = [mark(), 2 + random.int(2)];
    assert.deepEqual(await mine.mergeMarks([one]), await theirs.mergeMarks([one]), `merge ${i}`);
    const [other, dsts] = [mark(), random.next() < 0.2 ? [] : [dst, 4]];
    const set = furthestOfEach([{ mark: other, dsts }, ...Array.from({ length: random.int(4) }, () => ({ mark: mark(), dsts }))]);
    assert.deepEqual(byKey(await mine.setMarks(set)), byKey(await theirs.setMarks(set)), `set ${i}`);
    const waiting = await mine.readWaitingMarks(dst, 4);
    assert.deepEqual(waiting, await theirs.readWaitingMarks(dst, 4), `waiting ${i}`);
    const ofOthers = waiting.filter(({ log, user }) => log !== user);
    if (i < 100) assert.deepEqual(ofOthers, []);
    else cameBack.push(...ofOthers);
    const told = random.next() < 0.5 ? waiting.slice(0, 2) : [mark()];
    await Promise.all([mine.toldMarks(dst, told), theirs.toldMarks(dst, told)]);
  }
  assert.deepEqual(await mine.readWaitingMarks(2, 99), await theirs.readWaitingMarks(2, 99));
  assert.ok(cameBack.length > 0);
});

async function heldEach(leases: Pick<Leases, 'holdEach'>, names: readonly string[]): Promise<Map<string, Lease | undefined>> {
  const known = new Map<string, Lease | undefined>();
  await leases.holdEach(names, 3_000, (name, lease) => known.set(name, lease));
  return new Map([...known].sort(([a], [b]) => (a < b ? -1 : 1)));
}

test('leases in memory are held, kept and taken as in SQL', async () => {
  await using real = await StoreCell.open(postgres, 'leases');
  const time = new SimulatedTime();
  const cell = new MemoryCell(1);
  const random = seededRandom(4);
  const holders = ['a', 'b'].map((holder) => {
    const clock = new ProcessClock(time, nowMs, 0);
    const mine = new MemoryLeases({ cell, clock, holder, reach: async () => undefined });
    return { clock, mine, theirs: new Leases({ pool: real.pool, clock, holder }) };
  });
  for (let i = 0; i < 120; i++) {
    const { mine, theirs, clock } = holders[random.int(2)] as (typeof holders)[number];
    if (random.next() < 0.4) clock.step(random.int(4_000) - 500);
    const names = ['x', 'y', 'z'].filter(() => random.next() < 0.6);
    if (random.next() < 0.1) await Promise.all([mine.release('x'), theirs.release('x')]);
    else if (random.next() < 0.5) assert.deepEqual(await heldEach(mine, names), await heldEach(theirs, names), `step ${i}`);
    else assert.deepEqual(await mine.tryHold('x', 3_000), await theirs.tryHold('x', 3_000), `step ${i}`);
  }
});
