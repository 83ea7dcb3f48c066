// A node checks each new session against the life of its store (R25), while its own beats go on.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { cellLimits } from '@weft/cells/limits.ts';
import { StoreLife } from '@weft/cells/store-life.ts';
import { silentLog } from '@weft/runtime/log.ts';
import { ManualClock } from '@weft/runtime/manual-clock.ts';
import type pg from 'pg';
import { until } from './until.ts';

const folder = mkdtempSync(join(tmpdir(), 'weft-life-'));
after(() => rmSync(folder, { recursive: true }));

/** A database whose beat counts on, and whose look at it can be held back. */
class Store {
  generation = 1;
  beat = 5;
  held: Promise<void> = Promise.resolve();

  readonly query = async (query: pg.QueryConfig | string): Promise<{ rows: object[]; command?: string }> => {
    const { text = '', values = [] } = typeof query === 'string' ? { text: query } : query;
    if (text.includes('pg_control_system')) return { rows: [{ id: 'one' }] };
    if (text.includes('update cell set generation')) [this.generation, this.beat] = values.map(Number) as [number, number];
    if (text.includes('for update')) return { rows: [{ generation: BigInt(this.generation), beat: BigInt(this.beat) }] };
    if (text.includes('update cell set beat')) return { rows: [{ beat: BigInt(++this.beat) }] };
    const found = { generation: BigInt(this.generation), beat: BigInt(this.beat), raised_ms: 0n, homes_generation: 1n };
    await this.held;
    return { rows: [found], command: text.toUpperCase() };
  };

  readonly connect = async () => ({ query: this.query, release: () => undefined, on: () => undefined, off: () => undefined });
}

const open = (store: Store, clock: ManualClock, fenced: string[], node: string): Promise<StoreLife> =>
  StoreLife.open({
    pool: store as unknown as pg.Pool,
    clock,
    log: silentLog(),
    dataDir: join(folder, node),
    cell: 1,
    directory: () => 1,
    fenced: (why) => fenced.push(why),
  });

test('a beat that is counted while a new session is looked at does not make its store another one', async () => {
  const [clock, store, fenced]: [ManualClock, Store, string[]] = [new ManualClock(1_800_000_000_000), new Store(), []];
  await using life = await open(store, clock, fenced, 'a');
  const { promise, resolve } = Promise.withResolvers<void>();
  store.held = promise;
  const checked = life.check(store as unknown as pg.Client);
  await clock.advance(cellLimits.lifeBeatMs);
  await until('the beat is counted', () => store.beat === 6);
  await new Promise((turn) => setImmediate(turn));
  resolve();
  await checked;
  assert.deepEqual(fenced, []);
});

test('a session that leads to a store behind the last beat ends the node', async () => {
  const [clock, store, fenced]: [ManualClock, Store, string[]] = [new ManualClock(1_800_000_000_000), new Store(), []];
  await using life = await open(store, clock, fenced, 'b');
  store.beat = 3;
  await assert.rejects(life.check(store as unknown as pg.Client));
  assert.equal(fenced.length, 1);
});

test('a store that is taken back to before a node stopped in order is noticed, though no beat was due in between', async () => {
  const [clock, store, fenced]: [ManualClock, Store, string[]] = [new ManualClock(1_800_000_000_000), new Store(), []];
  const life = await open(store, clock, fenced, 'c');
  const backup = store.beat;
  await life[Symbol.asyncDispose]();
  store.beat = backup;
  await using next = await open(store, clock, fenced, 'c');
  assert.equal(next.life.generation, 2);
});
