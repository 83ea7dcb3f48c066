// The door of the router: where is my home, where may I live. Stateless but for the replica of the directory, on disk and in memory.
import type { AddressInfo } from 'node:net';
import { type Clock, systemClock } from '@weft/runtime/clock.ts';
import { DirectoryReplica } from '@weft/runtime/directory-replica.ts';
import { createLog, type Log } from '@weft/runtime/log.ts';
import { Health, newRegistry, startMetricsServer } from '@weft/runtime/observability.ts';
import { type Random, systemRandom } from '@weft/runtime/random.ts';
import type { RouterConfig } from './config.ts';
import { httpDoor } from './http.ts';
import { newMetrics, watchReplica } from './metrics.ts';

export interface Router extends AsyncDisposable {
  /** Ports in use, for a configuration that said 0. */
  readonly port: number;
  readonly metricsPort: number;
  /** Resolves when the cell table is known, from disk or from the directory. May never do so: bring a deadline. */
  ready(): Promise<void>;
}

export interface RouterParts {
  readonly clock?: Clock;
  readonly random?: Random;
  readonly log?: Log;
}

/** Serves at once; red on /ready until the cell table is known. Rejects when a port is taken. */
export async function startRouter(config: RouterConfig, parts: RouterParts = {}): Promise<Router> {
  const { clock = systemClock, random = systemRandom } = parts;
  const log = parts.log ?? createLog({ service: 'router', level: config.logLevel });
  const health = new Health();
  health.set('cells', false);
  const registry = newRegistry('router');

  await using opened = new AsyncDisposableStack();
  const metricsServer = opened.use(await startMetricsServer({ host: config.host, port: config.metricsPort, health, registry }));
  const replica = opened.use(
    await DirectoryReplica.open({
      address: config.directoryAddress,
      token: config.serviceToken.reveal(),
      tls: config.tls,
      publicKey: config.directoryKey,
      dataDir: config.dataDir,
      clock,
      random,
      log,
    }),
  );
  watchReplica(registry, replica);
  replica.on('rejected', (from) => log.error({ from }, 'a directory list without the signature of the directory was dropped'));
  const ready = whenCellsAreKnown(replica, health);

  const { region, requestsPerSecond, origins } = config;
  const app = httpDoor({ replica, region, requestsPerSecond, origins, clock, random, health, metrics: newMetrics(registry), log });
  opened.defer(() => app.close());
  await app.listen({ host: config.host, port: config.port });
  const port = (app.server.address() as AddressInfo).port;
  log.info({ port, region }, 'the router serves');

  const running = opened.move();
  return {
    port,
    metricsPort: metricsServer.port,
    ready: () => ready,
    async [Symbol.asyncDispose]() {
      health.draining();
      await running.disposeAsync();
    },
  };
}

/** A router is of use as soon as it knows one cell that can be reached. */
function whenCellsAreKnown(replica: DirectoryReplica, health: Health): Promise<void> {
  const known = Promise.withResolvers<void>();
  const look = (): void => {
    if (!replica.cells().some((cell) => cell.urls.length > 0)) return;
    health.set('cells', true);
    known.resolve();
    watching[Symbol.dispose]();
  };
  const watching = replica.on('change', look);
  look();
  return known.promise;
}
