// The node's place in the fabric: buses, seal, delivery, and the duties it may do for its cell.
import { randomBytes } from 'node:crypto';
import { CellBus } from '@weft/runtime/nats-cell-bus.ts';
import { FabricBus } from '@weft/runtime/nats-fabric-bus.ts';
import { closeRedis, openRedis } from '@weft/runtime/redis.ts';
import { Sealer } from '@weft/runtime/seal.ts';
import type { Registry } from 'prom-client';
import { CellDelivery } from './cell-delivery.ts';
import { openCellDuties } from './cell-duties.ts';
import type { CellConfig } from './config.ts';
import type { CellBase, Opening } from './ground.ts';
import { cellLimits } from './limits.ts';
import { BookKeeper } from './link/book-keeper.ts';
import { BookMetrics } from './link/book-metrics.ts';
import { SealedLink } from './link/sealed-link.ts';
import { type CellMetrics, newMetrics } from './metrics.ts';
import { Peers } from './peers.ts';
import { SessionsWatch } from './sessions-watch.ts';
import { sideTables } from './store/side-tables.ts';

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
    nonce: () => randomBytes(8).readBigUInt64BE(),
    cell: cell.name,
    generation: cell.generation,
    requestMsMax: cellLimits.requestMsMax,
    nameOf: peers.nameOf,
    numberOf: peers.numberOf,
    rejected,
    log,
  });
  const sessionsWatch = new SessionsWatch();
  const tables = sideTables((statement) => options.pool.query(statement));
  const delivery: CellDelivery = opened.use(
    new CellDelivery({
      ...options,
      tables,
      link,
      cellBus,
      peers,
      metrics: () => metrics,
      freshId: () => options.ids.next(),
      onSessionsEnded: (ended) => sessionsWatch.end(ended),
    }),
  );
  opened.use(replica.on('change', () => bus.setPeers(peerNames())));
  // What the directory said while the buses were opened.
  bus.setPeers(peerNames());
  opened.use(replica.on('rejected', (from) => rejected('directory', from, 'bad-signature')));
  opened.use(bus.subscribeDirectory((bytes) => void replica.offer(bytes)));
  const books = openBooks(options, { bus, link, delivery, peers, metrics });
  opened.use(openCellDuties({ ...options, inboundBytesMax: config.inboundBytesMax, tables, bus, link, delivery, peers, metrics, books }));
  opened.use(clock.every(cellLimits.beatEveryMs, () => delivery.beats.send(peers.others().map((each) => each.number))));
  return { peers, delivery, metrics, sessionsWatch, redis, books };
}

interface BookParts {
  readonly bus: FabricBus;
  readonly link: SealedLink;
  readonly delivery: CellDelivery;
  readonly peers: Peers;
  readonly metrics: CellMetrics;
}

/** Kept by the node that holds the duty; the others only hear. */
function openBooks(options: FabricOptions, { bus, link, delivery, peers, metrics }: BookParts): BookKeeper {
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
