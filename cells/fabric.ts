// The node's place in the fabric: buses, seal, delivery, and the duties it may do for its cell.
import { lanes } from '@weft/proto/ids.ts';
import { CellBus } from '@weft/runtime/nats-cell-bus.ts';
import type { PartitionConsumer } from '@weft/runtime/nats-consumer.ts';
import { FabricBus } from '@weft/runtime/nats-fabric-bus.ts';
import { closeRedis, openRedis } from '@weft/runtime/redis.ts';
import { Sealer } from '@weft/runtime/seal.ts';
import type { Registry } from 'prom-client';
import { CellDelivery } from './cell-delivery.ts';
import type { CellConfig } from './config.ts';
import type { CellBase, Opening } from './ground.ts';
import { cellLimits } from './limits.ts';
import { BookKeeper } from './link/book-keeper.ts';
import { BookMetrics } from './link/book-metrics.ts';
import { Duties } from './link/duties.ts';
import { boundOutbox } from './link/outbox-bound.ts';
import { type OpenedFrame, SealedLink } from './link/sealed-link.ts';
import { type CellMetrics, newMetrics } from './metrics.ts';
import { Stamps } from './passport/stamps.ts';
import { Peers } from './peers.ts';
import { SessionsWatch } from './sessions-watch.ts';

export interface FabricOptions extends Opening, CellBase {
  readonly config: CellConfig;
  readonly registry: Registry;
}

export interface CellFabric {
  readonly peers: Peers;
  readonly delivery: CellDelivery;
  readonly metrics: CellMetrics;
  readonly sessionsWatch: SessionsWatch;
  readonly redis: ReturnType<typeof openRedis>;
  readonly books: BookKeeper;
  readonly stamps: Stamps;
}

export async function openFabric(options: FabricOptions): Promise<CellFabric> {
  const { config, clock, log, opened, cell, keys, replica, registry } = options;
  const peers = opened.use(
    new Peers({ replica, keys, clock, log, own: { ...config.cell, generation: cell.generation, url: config.publicUrl } }),
  );
  const redis = openRedis(config.redisUrl.reveal(), log);
  opened.defer(() => closeRedis(redis));
  const peerNames = (): string[] => peers.others().map((each) => each.name);
  const bus = opened.use(
    await FabricBus.open({ url: config.nats.url, password: config.nats.fabricPassword.reveal(), cell: cell.name, peers: peerNames(), log }),
  );
  const cellBus = opened.use(
    await CellBus.open({ url: config.nats.url, password: config.nats.cellPassword.reveal(), cell: cell.name, log }),
  );
  const sealer = new Sealer({
    cell: cell.name,
    ownKeys: () => keys.all('seal').map((key) => ({ version: key.version, privateKey: key.privateKey, sealsFromMs: key.startsMs })),
    peerKeys: peers.sealKeysOf,
    generation: () => cell.generation,
    clock,
  });
  const metrics = newMetrics(registry, {
    sockets: () => sessionsWatch.sockets(),
    users: () => delivery.hub.userCount,
    waiting: () => delivery.waiting,
  });
  const rejected = (what: string, src: string, why: string): void => {
    metrics.rejected.inc({ src, what, why });
    log.error({ src, what, why }, 'what came from another cell did not open');
  };
  const link = new SealedLink({
    bus,
    sealer,
    cell: cell.name,
    generation: cell.generation,
    requestMsMax: cellLimits.requestMsMax,
    nameOf: peers.nameOf,
    numberOf: peers.numberOf,
    rejected,
    log,
  });
  const sessionsWatch = new SessionsWatch();
  const stamps = openStamps(options);
  const delivery: CellDelivery = opened.use(
    new CellDelivery({
      ...options,
      link,
      cellBus,
      peers,
      metrics: () => metrics,
      freshId: () => options.ids.next(),
      onSessionsEnded: (ended) => sessionsWatch.end(ended),
      traced: (frame, what) => stamps.sent(frame, what),
    }),
  );
  opened.use(replica.on('change', () => bus.setPeers(peerNames())));
  // What the directory said while the buses were opened.
  bus.setPeers(peerNames());
  opened.use(replica.on('rejected', (from) => rejected('directory', from, 'bad-signature')));
  opened.use(bus.subscribeDirectory((bytes) => void replica.offer(bytes)));
  const books = openBooks(options, { bus, link, delivery, peers, metrics });
  opened.use(openDuties(options, { bus, link, delivery, peers, metrics, books, stamps }));
  opened.use(clock.every(cellLimits.beatEveryMs, () => delivery.beats.send(peers.others().map((each) => each.number))));
  return { peers, delivery, metrics, sessionsWatch, redis, books, stamps };
}

interface DutyParts {
  readonly bus: FabricBus;
  readonly link: SealedLink;
  readonly delivery: CellDelivery;
  readonly peers: Peers;
  readonly metrics: CellMetrics;
  readonly books: BookKeeper;
  readonly stamps: Stamps;
}

function openStamps({ clock, pool, cell, node, log, opened }: FabricOptions): Stamps {
  const failed = (error: unknown): void => log.warn({ err: error }, 'what became of some frames could not be written down');
  return opened.use(new Stamps({ clock, query: (statement) => pool.query(statement), cell: cell.number, node: node.number, failed }));
}

/** Kept by the node that holds the duty; the others only hear. */
function openBooks(options: FabricOptions, { bus, link, delivery, peers, metrics }: Omit<DutyParts, 'books' | 'stamps'>): BookKeeper {
  const told = new BookMetrics({ cell: options.cell, peers, log: options.log, metrics: () => metrics });
  const books = new BookKeeper({
    clock: options.clock,
    link,
    pool: options.pool,
    cell: options.cell.number,
    node: options.node.number,
    oldestInboundMs: () => bus.oldestInboundMs(),
    brokerHas: (frame) => delivery.relay.brokerHas(frame),
    tell: (links) => told.tell(links),
  });
  options.opened.use(link.hearSignals((src, what, bytes) => books.hear(src, what, bytes)));
  return books;
}

/** Sending again and pulling for the whole cell, one lease; applying, one lease per partition. */
function openDuties(
  { leases, clock, log, config, store, pool }: FabricOptions,
  { bus, link, delivery, peers, metrics, books, stamps }: DutyParts,
): Duties {
  const duties = new Duties({
    leases,
    clock,
    leaseMs: cellLimits.leaseMs,
    leaseEveryMs: cellLimits.leaseEveryMs,
    failed: (error, duty) => log.warn({ err: error, duty }, 'a duty of the cell failed; trying again'),
  });
  duties.add({
    name: 'resend',
    everyMs: cellLimits.resendEveryMs,
    run: async () => {
      for (const { number } of peers.others()) {
        await delivery.relay.resend(number);
        await delivery.intakeRelay.resend(number);
      }
    },
  });
  duties.add({
    name: 'marks',
    everyMs: cellLimits.marksEveryMs,
    run: async () => {
      for (const { number } of peers.others()) await delivery.marks.tell(number);
    },
  });
  duties.add({
    name: 'pull',
    everyMs: cellLimits.pullEveryMs,
    run: async () => {
      for (const { log: behind, src } of await store.behind(cellLimits.earlyMax)) delivery.puller.want(behind, src);
    },
  });
  duties.add({
    name: 'outbox',
    everyMs: cellLimits.outboxCountEveryMs,
    run: () =>
      boundOutbox({
        pool,
        rowsMax: cellLimits.outboxRowsMax,
        log,
        nameOf: peers.nameOf,
        counted: (dst, rows) => metrics.outbox.set({ dst }, rows),
      }),
  });
  duties.add({
    name: 'books',
    everyMs: cellLimits.booksEveryMs,
    run: () => books.keep(peers.others().map(({ number }) => number)),
    held: (held) => (held ? undefined : books.letGo()),
  });
  duties.add({
    name: 'digest',
    everyMs: cellLimits.pullEveryMs,
    run: async () => {
      for (const src of delivery.links.due()) {
        const behind = await delivery.requests.antiEntropy.compare(src);
        delivery.links.compared(src);
        if (behind > 0) log.warn({ src: peers.nameOf(src), behind }, 'logs were behind their owner');
      }
    },
  });
  const ensured = bus.ensureInbound({ maxBytes: config.inboundBytesMax, replicas: 1 });
  // Rejects only when the bus is closed.
  ensured.catch(() => undefined);
  for (let p = 0; p < lanes; p++) addPartition(duties, p, { bus, link, delivery, stamps });
  return duties;
}

/** The broker is told once everything is committed. */
function stamped(frame: OpenedFrame, stamps: Stamps): OpenedFrame {
  const done = stamps.taken(frame);
  return {
    ...frame,
    ack: () => {
      done();
      frame.ack();
    },
  };
}

function addPartition(duties: Duties, p: number, { bus, link, delivery, stamps }: Omit<DutyParts, 'peers' | 'metrics' | 'books'>): void {
  let consumer: PartitionConsumer | undefined;
  duties.add({
    name: `apply/${p}`,
    everyMs: cellLimits.leaseEveryMs,
    run: async () => undefined,
    held: (held) => {
      if (held) {
        consumer = bus.consumePartition(p, (frame) => {
          const openedFrame = link.open(frame);
          if (openedFrame) delivery.applier.take(openedFrame.cls === 'e' ? stamped(openedFrame, stamps) : openedFrame);
        });
        return;
      }
      consumer?.[Symbol.asyncDispose]().catch(() => undefined);
      consumer = undefined;
    },
  });
}
