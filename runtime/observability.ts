// What a process tells its supervisor and its operators: /live, /ready and /metrics.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type pg from 'pg';
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { runtimeLimits as limits } from './limits.ts';

export interface HealthReport {
  readonly ready: boolean;
  readonly draining: boolean;
  /** The parts that keep the process from serving. */
  readonly not_ready: readonly string[];
}

/** Ready when at least one part was named and every named part is ready, until it drains; it never becomes ready again after that. */
export class Health {
  readonly #parts = new Map<string, boolean>();
  #draining = false;

  /** Name a part as not ready before it is opened: an unnamed part is not waited for. */
  set(part: string, ready: boolean): void {
    this.#parts.set(part, ready);
  }

  draining(): void {
    this.#draining = true;
  }

  get ready(): boolean {
    return !this.#draining && this.#parts.size > 0 && this.#notReady().length === 0;
  }

  report(): HealthReport {
    return { ready: this.ready, draining: this.#draining, not_ready: this.#notReady() };
  }

  #notReady(): string[] {
    const parts = [...this.#parts].filter(([, ready]) => !ready).map(([part]) => part);
    return this.#parts.size === 0 ? ['start'] : parts;
  }
}

export interface HealthAnswer {
  readonly status: 200 | 503;
  /** JSON text. */
  readonly body: string;
}

/** The answer to `GET /live` or `GET /ready`, for every door that serves them; undefined for other paths. */
export function answerHealth(health: Health, path: string): HealthAnswer | undefined {
  if (path === '/live') return { status: 200, body: '{"live":true}' };
  if (path === '/ready') return { status: health.ready ? 200 : 503, body: JSON.stringify(health.report()) };
  return undefined;
}

/** A registry of its own with Node's default metrics; every metric carries the label `service`. */
export function newRegistry(service: string): Registry {
  const registry = new Registry();
  registry.setDefaultLabels({ service });
  collectDefaultMetrics({ register: registry });
  return registry;
}

/** Gauges of a pool's sessions, read when the metrics are: `sql_pool_sessions{pool,state}` with state `open`, `idle` and `waiting` (for one). */
export function watchPool(registry: Registry, pool: pg.Pool): void {
  const name = pool.options.application_name ?? 'weft';
  const existing = registry.getSingleMetric('sql_pool_sessions') as PoolGauge | undefined;
  const gauge = existing ?? newPoolGauge(registry);
  gauge.pools.set(name, pool);
}

type PoolGauge = Gauge<'pool' | 'state'> & { pools: Map<string, pg.Pool> };

function newPoolGauge(registry: Registry): PoolGauge {
  const pools = new Map<string, pg.Pool>();
  const gauge = new Gauge({
    name: 'sql_pool_sessions',
    help: 'Sessions of a SQL pool: open, idle, and callers waiting for one',
    labelNames: ['pool', 'state'],
    registers: [registry],
    collect() {
      for (const [name, pool] of pools) {
        this.set({ pool: name, state: 'open' }, pool.totalCount);
        this.set({ pool: name, state: 'idle' }, pool.idleCount);
        this.set({ pool: name, state: 'waiting' }, pool.waitingCount);
      }
    },
  });
  return Object.assign(gauge, { pools });
}

export interface MetricsServerOptions {
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  readonly health: Health;
  readonly registry: Registry;
}

export interface MetricsServer extends AsyncDisposable {
  readonly port: number;
}

/** Serves GET /live, /ready and /metrics. Rejects when the port is taken. */
export async function startMetricsServer(options: MetricsServerOptions): Promise<MetricsServer> {
  const server = createServer(
    { maxHeaderSize: limits.metricsHeaderBytesMax, requestTimeout: limits.metricsRequestMsMax },
    (request, response) => {
      const send = (status: number, type: string, body: string): void => {
        response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' });
        response.end(request.method === 'HEAD' ? undefined : body);
      };
      request.resume();
      if (request.method !== 'GET' && request.method !== 'HEAD') return send(405, 'text/plain', 'only GET');
      const path = (request.url ?? '/').split('?', 1)[0] ?? '/';
      const answer = answerHealth(options.health, path);
      if (answer !== undefined) return send(answer.status, 'application/json', answer.body);
      if (path !== '/metrics') return send(404, 'text/plain', 'there are /live, /ready and /metrics');
      options.registry.metrics().then(
        (text) => send(200, options.registry.contentType, text),
        (error: unknown) => send(500, 'text/plain', String(error)),
      );
    },
  );
  await listen(server, options.host, options.port);
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
