// The door of the control plane: the directory, its log of changes, and whoever may ask.
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { type Clock, systemClock } from '@weft/runtime/clock.ts';
import { serveGrpc } from '@weft/runtime/grpc.ts';
import { createLog, type Log } from '@weft/runtime/log.ts';
import { migrate } from '@weft/runtime/migrate.ts';
import { Health, newRegistry, startMetricsServer, watchPool } from '@weft/runtime/observability.ts';
import { openPool } from '@weft/runtime/sql.ts';
import { ChangePublisher } from './change-publisher.ts';
import type { ControlPlaneConfig } from './config.ts';
import { directoryService } from './directory-service.ts';
import { HubConnection } from './hub-connection.ts';
import { limits } from './limits.ts';
import { newMetrics } from './metrics.ts';
import { seedCells } from './seed-cells.ts';
import { newSigner } from './signer.ts';

export interface ControlPlane extends AsyncDisposable {
  /** Ports in use, for a configuration that said 0. */
  readonly port: number;
  readonly metricsPort: number;
  /** Resolves when it serves; it does when {@link startControlPlane} resolved. */
  ready(): Promise<void>;
}

export interface ControlPlaneParts {
  readonly clock?: Clock;
  readonly log?: Log;
}

/** Migrates, seeds the cell table from the plan and serves. Rejects when its database is away or a port is taken; no hub is needed. */
export async function startControlPlane(config: ControlPlaneConfig, parts: ControlPlaneParts = {}): Promise<ControlPlane> {
  const clock = parts.clock ?? systemClock;
  const log = parts.log ?? createLog({ service: 'control-plane', level: config.logLevel });
  const health = new Health();
  health.set('sql', false);
  health.set('grpc', false);
  const registry = newRegistry('control-plane');
  const metrics = newMetrics(registry);
  const signer = newSigner(Buffer.from(config.signSeed.reveal(), 'base64url'));

  await using opened = new AsyncDisposableStack();
  const metricsServer = opened.use(await startMetricsServer({ host: config.host, port: config.metricsPort, health, registry }));
  const pool = openPool(config.pgUrl.reveal(), limits.sessionsMax, { name: 'directory', log });
  opened.defer(() => pool.end());
  watchPool(registry, pool);
  const done = await migrate(pool, [join(import.meta.dirname, 'store', 'migrations')], clock, `control-plane-${randomUUID()}`);
  if (done.length > 0) log.info({ migrations: done }, 'the schema was changed');
  await seedCells(pool, config.cells);

  const hub = opened.use(new HubConnection({ urls: config.hubUrls, seed: config.nkeySeed.reveal(), clock, log }));
  const publisher = opened.use(new ChangePublisher({ pool, hub, signer, clock, log, health, metrics }));
  const service = directoryService({ pool, signer, now: () => clock.now(), changed: () => publisher.poke(), metrics });
  const server = opened.use(
    await serveGrpc({ host: config.host, port: config.port, services: [service], tokens: config.tokens, tls: config.tls, log, health }),
  );
  health.set('grpc', true);
  log.info({ port: server.port, cells: config.cells.length }, 'the directory serves');

  const running = opened.move();
  return {
    port: server.port,
    metricsPort: metricsServer.port,
    ready: () => Promise.resolve(),
    async [Symbol.asyncDispose]() {
      health.draining();
      await running.disposeAsync();
    },
  };
}
