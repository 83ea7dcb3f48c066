import type { DirectoryReplica } from '@weft/runtime/directory-replica.ts';
import { Counter, Gauge, type Registry } from 'prom-client';

export interface Metrics {
  readonly requests: Counter<'route' | 'status'>;
}

export const newMetrics = (registry: Registry): Metrics => ({
  requests: new Counter({
    name: 'router_requests_total',
    help: 'Answered requests, by route and status',
    labelNames: ['route', 'status'],
    registers: [registry],
  }),
});

/** What the replica holds, read when the metrics are. */
export function watchReplica(registry: Registry, replica: DirectoryReplica): void {
  const gauge = (name: string, help: string, value: () => number): void => {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(value());
      },
    });
  };
  gauge('router_directory_fresh', '1 while the replica holds all of the directory', () => (replica.fresh ? 1 : 0));
  gauge('router_directory_users', 'Users in the replica', () => replica.userCount);
  gauge('router_directory_users_left_out', 'Users that did not fit into the replica', () => replica.usersLeftOut);
  gauge('router_directory_rejected', 'Lists without the signature of the directory, dropped', () => replica.rejected);
}
