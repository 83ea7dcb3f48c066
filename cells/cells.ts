// The door of a cell: one node, from its configuration to serving.
//
// 1. SQL: schema, whose store it is, node number. Without it nothing can be promised, so it is waited for.
// 2. Directory replica (from disk if need be), keys, buses: none of them has to answer for the node to serve its people.
// 3. Delivery, accounts, doors. Ready.
// Leaving is the reverse: stop accepting, tell the sockets where to go, flush, close.
import { mkdir } from 'node:fs/promises';
import { type Clock, systemClock } from '@weft/runtime/clock.ts';
import { createLog, type Log } from '@weft/runtime/log.ts';
import { Health, newRegistry, startMetricsServer, watchPool } from '@weft/runtime/observability.ts';
import type pg from 'pg';
import { compareHomes } from './compare-homes.ts';
import type { CellConfig } from './config.ts';
import { openDoors } from './doors.ts';
import { openFabric } from './fabric.ts';
import { openBase } from './ground.ts';

export interface CellNode extends AsyncDisposable {
  /** Resolves once the node serves. */
  ready(): Promise<void>;
}

export interface CellParts {
  readonly clock?: Clock;
  readonly log?: Log;
  readonly signal?: AbortSignal;
}

export async function startCellNode(config: CellConfig, parts: CellParts = {}): Promise<CellNode> {
  const clock = parts.clock ?? systemClock;
  const log = parts.log ?? createLog({ service: 'cells', cell: config.cell.name, node: config.node, level: config.logLevel });
  const health = new Health();
  health.set('sql', false);
  const registry = newRegistry('cells');
  await using opened = new AsyncDisposableStack();
  opened.use(await startMetricsServer({ host: config.host, port: config.metricsPort, health, registry }));
  await mkdir(config.dataDir, { recursive: true });

  const base = await openBase(config, { clock, log, opened, signal: parts.signal });
  watchPool(registry, base.pool);
  const fabric = await openFabric({ config, clock, log, opened, registry, ...base });
  const { generation, homesGeneration } = base.life.life;
  if (homesGeneration < generation) await compareHomes({ ...base, clock, log, cell: base.cell.number, generation, signal: parts.signal });
  const doors = await openDoors({ config, clock, log, opened, health, ...base, ...fabric });
  opened.use(watchStore(base.pool, { clock, health, log }));
  health.set('sql', true);
  log.info({ port: config.port, node: base.node.number, generation: base.cell.generation }, 'the node serves');

  const running = opened.move();
  return {
    ready: async () => undefined,
    async [Symbol.asyncDispose]() {
      health.draining();
      await doors.leave();
      await running.disposeAsync();
    },
  };
}

const storeCheckMs = 1_000;

/** Ready only while the store answers: without it nothing can be accepted. */
function watchStore(pool: pg.Pool, { clock, health, log }: { clock: Clock; health: Health; log: Log }): Disposable {
  let answers = true;
  const saw = (answered: boolean, error?: unknown): void => {
    health.set('sql', answered);
    if (answered !== answers) log.warn({ err: error }, answered ? 'the store answers again' : 'the store does not answer: no new sockets');
    answers = answered;
  };
  return clock.every(storeCheckMs, () => {
    pool.query('select 1').then(
      () => saw(true),
      (error: unknown) => saw(false, error),
    );
  });
}
