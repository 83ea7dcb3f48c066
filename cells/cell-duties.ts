// What a node does for its whole cell while it holds the lease: sending again, telling marks, pulling what is behind,
// counting the outbox, comparing digests, applying each partition of the inbound stream.
import { lanes } from '@weft/proto/ids.ts';
import type { Clock } from '@weft/runtime/clock.ts';
import type { Leases } from '@weft/runtime/lease.ts';
import type { Log } from '@weft/runtime/log.ts';
import type { FabricBus } from '@weft/runtime/nats-fabric-bus.ts';
import { applyDuty, type PartitionBus } from './apply-duty.ts';
import type { CellDelivery } from './cell-delivery.ts';
import { type CellLimits, cellLimits } from './limits.ts';
import type { BookKeeper } from './link/book-keeper.ts';
import { Duties } from './link/duties.ts';
import { boundOutbox } from './link/outbox-bound.ts';
import type { OpenedFrame, SealedLink } from './link/sealed-link.ts';
import type { CellMetrics } from './metrics.ts';
import type { KnownPeers } from './peers.ts';
import type { SideTables } from './store/side-tables.ts';
import type { CellStore } from './store/sql-log-store.ts';

/** The part of the bus that is used. */
export interface InboundBus extends PartitionBus, Pick<FabricBus, 'ensureInbound'> {}

export interface CellDutiesOptions {
  readonly leases: Pick<Leases, 'holdEach' | 'release'>;
  readonly clock: Clock;
  readonly log: Log;
  /** Number of this cell. */
  readonly cell: number;
  readonly inboundBytesMax: number;
  /** Frames that may wait for a destination, and how often they are counted. */
  readonly outbox: { readonly rowsMax: number; readonly countMs: number };
  readonly store: Pick<CellStore, 'behind'>;
  readonly tables: SideTables;
  readonly bus: InboundBus;
  readonly link: Pick<SealedLink, 'open'>;
  readonly delivery: CellDelivery;
  readonly peers: KnownPeers;
  readonly metrics: { readonly outbox: Pick<CellMetrics['outbox'], 'set'>; readonly compared: Pick<CellMetrics['compared'], 'inc'> };
  /** Makes the cell's work queue or brings it up to date. */
  readonly ensureJobs: () => Promise<void>;
  readonly books: Pick<BookKeeper, 'keep' | 'letGo'>;
  /** Notes when a frame came and when it was committed. */
  readonly stamped: (frame: OpenedFrame) => OpenedFrame;
  readonly limits?: CellLimits;
}

/** Sending again and pulling for the whole cell, one lease; applying, one lease per partition. */
export function openCellDuties(options: CellDutiesOptions): Duties {
  const { leases, clock, log, store, tables, bus, delivery, peers, metrics, limits = cellLimits } = options;
  const duties = new Duties({
    leases,
    clock,
    leaseMs: limits.leaseMs,
    leaseEveryMs: limits.leaseEveryMs,
    failed: (error, duty) => log.warn({ err: error, duty }, 'a duty of the cell failed; trying again'),
  });
  duties.add({
    name: 'resend',
    everyMs: limits.resendEveryMs,
    run: async () => {
      for (const { number } of peers.others()) {
        await delivery.relay.resend(number);
        await delivery.intakeRelay.resend(number);
      }
      await delivery.intakeRelay.resend(options.cell);
    },
    held: (held) => delivery.relay.sweeps(held),
  });
  duties.add({ name: 'owner', everyMs: limits.unsettledEveryMs, run: () => delivery.ownership.run() });
  duties.add({
    name: 'marks',
    everyMs: limits.marksEveryMs,
    run: async () => {
      if (delivery.waiting > limits.marksShedAbove) return;
      for (const { number } of peers.others()) await delivery.marks.tell(number);
    },
  });
  duties.add({ name: 'witness', everyMs: limits.headsWitnessEveryMs, run: () => delivery.proof.witness.keep() });
  duties.add({ name: 'witness/forget', everyMs: limits.headsForgetEveryMs, run: () => delivery.proof.witness.forget() });
  duties.add({
    name: 'pull',
    everyMs: limits.pullEveryMs,
    run: async () => {
      if (delivery.waiting > limits.pullsShedAbove) return;
      for (const row of await store.behind(limits.earlyMax)) delivery.puller.want(row.log, row.src, row);
    },
  });
  duties.add({
    name: 'outbox',
    everyMs: options.outbox.countMs,
    run: () =>
      boundOutbox({
        tables,
        rowsMax: options.outbox.rowsMax,
        log,
        nameOf: peers.nameOf,
        counted: (dst, rows) => metrics.outbox.set({ dst }, rows),
      }),
  });
  duties.add({
    name: 'books',
    everyMs: limits.booksEveryMs,
    run: () => options.books.keep(peers.others().map(({ number }) => number)),
    held: (held) => (held ? undefined : options.books.letGo()),
  });
  // Nobody works from it yet: media and moderation will. Made again should the broker lose it.
  duties.add({ name: 'jobs', everyMs: limits.jobsEnsureEveryMs, run: options.ensureJobs });
  duties.add({
    name: 'digest',
    everyMs: limits.pullEveryMs,
    run: async () => {
      for (const src of delivery.links.due()) {
        const { length: behind } = await delivery.requests.antiEntropy.compare(src);
        delivery.links.compared(src);
        metrics.compared.inc({ src: peers.nameOf(src) ?? String(src) });
        if (behind > 0) log.warn({ src: peers.nameOf(src), behind }, 'logs were behind their owner');
      }
    },
  });
  const ensured = bus.ensureInbound({ maxBytes: options.inboundBytesMax, replicas: 1 });
  // Rejects only when the bus is closed.
  ensured.catch(() => undefined);
  for (let p = 0; p < lanes; p++) duties.add(applyDuty(p, { ...options, everyMs: limits.leaseEveryMs }));
  return duties;
}
