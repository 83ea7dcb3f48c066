// Metrics of a cell's node. Labels are cells and kinds, never users or logs.
import { Counter, Gauge, type Registry } from 'prom-client';

export interface CellMetrics {
  readonly lags: Counter;
  readonly socketsRefused: Counter<'status'>;
  readonly committed: Counter<'kind'>;
  readonly transactions: Counter<'what'>;
  readonly frames: Counter<'dst' | 'what'>;
  readonly applied: Counter<'src'>;
  readonly pulled: Counter<'src'>;
  readonly compared: Counter<'src'>;
  readonly outbox: Gauge<'dst'>;
  /** Entries a link's books do not account for, after ten seconds. Alarm on anything above 0. */
  readonly unbalanced: Gauge<'src' | 'dst' | 'hop'>;
  readonly books: Gauge<'src' | 'dst' | 'what'>;
  readonly intakeBytes: Gauge<'dst'>;
  /** What came from another cell and was not believed. Alarm on any increase. */
  readonly rejected: Counter<'src' | 'what' | 'why'>;
}

/** What the delivery counts. */
export type DeliveryMetrics = {
  readonly [M in 'committed' | 'transactions' | 'frames' | 'applied' | 'pulled' | 'rejected']: Pick<CellMetrics[M], 'inc'>;
};

export function newMetrics(
  registry: Registry,
  read: { sockets: () => number; users: () => number; nodes: () => number; waiting: () => number },
): CellMetrics {
  const registers = [registry];
  const gauge = (name: string, help: string, value: () => number): void => {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(value());
      },
    });
  };
  gauge('cells_sockets', 'Open client sockets', read.sockets);
  gauge('cells_users_online', 'Users with a socket on this node', read.users);
  gauge('cells_nodes_heard', 'Other nodes of this cell heard of lately', read.nodes);
  gauge('cells_lane_operations_waiting', 'Operations that wait for a transaction', read.waiting);
  return {
    ...socketMetrics(registers),
    committed: new Counter({
      name: 'cells_entries_committed_total',
      help: 'Entries written by this node',
      labelNames: ['kind'],
      registers,
    }),
    transactions: new Counter({ name: 'cells_transactions_total', help: 'Write transactions', labelNames: ['what'], registers }),
    frames: new Counter({ name: 'cells_link_frames_total', help: 'Frames to other cells', labelNames: ['dst', 'what'], registers }),
    applied: new Counter({
      name: 'cells_link_entries_applied_total',
      help: 'Entries applied from other cells',
      labelNames: ['src'],
      registers,
    }),
    pulled: new Counter({
      name: 'cells_link_entries_pulled_total',
      help: 'Entries pulled from their owner',
      labelNames: ['src'],
      registers,
    }),
    compared: new Counter({
      name: 'cells_link_comparisons_total',
      help: 'Comparisons of all logs shared with a cell',
      labelNames: ['src'],
      registers,
    }),
    outbox: new Gauge({ name: 'cells_outbox_frames', help: 'Frames that wait for an acknowledgement', labelNames: ['dst'], registers }),
    unbalanced: new Gauge({
      name: 'weft_link_books_unbalanced',
      help: 'Entries of a link that are neither applied nor waiting nor refused for ten seconds, and the hop where they went missing',
      labelNames: ['src', 'dst', 'hop'],
      registers,
    }),
    books: new Gauge({
      name: 'weft_link_books_entries',
      help: 'Books of a link since the store began: accepted, applied, waiting, refused',
      labelNames: ['src', 'dst', 'what'],
      registers,
    }),
    intakeBytes: new Gauge({
      name: 'cells_intake_bytes',
      help: 'Appends that wait for the decision of another cell',
      labelNames: ['dst'],
      registers,
    }),
    rejected: new Counter({
      name: 'cells_rejected_total',
      help: 'What came from another cell and was not believed',
      labelNames: ['src', 'what', 'why'],
      registers,
    }),
  };
}

function socketMetrics(registers: Registry[]): Pick<CellMetrics, 'lags' | 'socketsRefused'> {
  return {
    lags: new Counter({ name: 'cells_socket_lags_total', help: 'Sockets that read too slowly and lost pushes', registers }),
    socketsRefused: new Counter({
      name: 'cells_sockets_refused_total',
      help: 'Sockets that were refused before they opened, by HTTP status',
      labelNames: ['status'],
      registers,
    }),
  };
}
