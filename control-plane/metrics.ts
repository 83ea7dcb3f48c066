import { Counter, Gauge, type Registry } from 'prom-client';

export interface Metrics {
  readonly reservations: Counter<'result'>;
  readonly published: Counter;
  readonly hubConnected: Gauge;
}

export const newMetrics = (registry: Registry): Metrics => ({
  reservations: new Counter({
    name: 'control_plane_reservations_total',
    help: 'Answered reservations of a handle, by result (reserved, taken)',
    labelNames: ['result'],
    registers: [registry],
  }),
  published: new Counter({
    name: 'control_plane_published_total',
    help: 'Messages published on the directory subjects',
    registers: [registry],
  }),
  hubConnected: new Gauge({ name: 'control_plane_hub_connected', help: '1 while a hub is connected', registers: [registry] }),
});
