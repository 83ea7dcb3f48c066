// The node's place in the fabric: buses, seal, delivery, and the duties it may do for its cell.
import { randomBytes } from 'node:crypto';
import { linkLimits } from '@weft/runtime/link-limits.ts';
import { CellBus } from '@weft/runtime/nats-cell-bus.ts';
import { FabricBus } from '@weft/runtime/nats-fabric-bus.ts';
import { closeRedis, openRedis } from '@weft/runtime/redis.ts';
import { Sealer } from '@weft/runtime/seal.ts';
import type { Registry } from 'prom-client';
import { CellDelivery } from './cell-delivery.ts';
import { openCellDuties } from './cell-duties.ts';
import type { CellConfig } from './config.ts';
import type { CellBase, Opening } from './ground.ts';
import { GuardlessLink, overtakenPushes } from './guards-off.ts';
import { cellLimits } from './limits.ts';
import { BookKeeper } from './link/book-keeper.ts';
import { BookMetrics } from './link/book-metrics.ts';
import { SealedLink, type SealedLinkOptions } from './link/sealed-link.ts';
import { Waiting } from './link/waiting.ts';
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
  const { config, clock, log, opened, cell, keys, replica, registry, failpoints } = options;
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
    nodes: () => delivery.pushes.peers,
    waiting: () => delivery.waiting,
  });
  const rejected = (what: string, src: string, why: string): void => {
    metrics.rejected.inc({ src, what, why });
    log.error({ src, what, why }, 'what came from another cell did not open');
  };
  const link = openLink(options, { bus, sealer, peers, rejected });
  const waiting = opened.use(openWaiting(options, peers, metrics));
  const sessionsWatch = new SessionsWatch(options.node.number);
  const tables = sideTables((statement) => options.pool.query(statement));
  const delivery: CellDelivery = opened.use(
    new CellDelivery({
      ...options,
      tables,
      link,
      cellBus: failpoints.any ? overtakenPushes(cellBus, failpoints) : cellBus,
      peers,
      waiting,
      metrics: () => metrics,
      freshId: () => options.ids.next(),
      onSessionsEnded: (ended) => sessionsWatch.end(ended),
      onSessionsOpened: (sessions, at) => sessionsWatch.openedElsewhere(sessions, at),
    }),
  );
  opened.use(replica.on('change', () => bus.setPeers(peerNames())));
  // What the directory said while the buses were opened.
  bus.setPeers(peerNames());
  opened.use(replica.on('rejected', (from) => rejected('directory', from, 'bad-signature')));
  opened.use(bus.subscribeDirectory((bytes) => void replica.offer(bytes)));
  const books = openBooks(options, { bus, link, delivery, peers, metrics });
  const outbox = { rowsMax: config.waiting.outboxRowsMax, countMs: config.waiting.outboxCountMs };
  const { inboundBytesMax } = config;
  const ensureJobs = (): Promise<void> => cellBus.ensureJobs({ maxBytes: linkLimits.jobsBytesMax, replicas: 1 });
  opened.use(openCellDuties({ ...options, inboundBytesMax, outbox, ensureJobs, tables, bus, link, delivery, peers, metrics, books }));
  opened.use(clock.every(cellLimits.beatEveryMs, () => delivery.beats.send(peers.others().map((each) => each.number))));
  return { peers, delivery, metrics, sessionsWatch, redis, books };
}

interface LinkParts extends Pick<SealedLinkOptions, 'bus' | 'sealer' | 'rejected'> {
  readonly peers: Peers;
}

function openLink({ cell, log, failpoints }: FabricOptions, { bus, sealer, peers, rejected }: LinkParts): SealedLink {
  const options: SealedLinkOptions = {
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
  };
  return failpoints.any ? new GuardlessLink(options, failpoints) : new SealedLink(options);
}

function openWaiting({ pool, clock, config, log }: FabricOptions, peers: Peers, metrics: CellMetrics): Waiting {
  return new Waiting({
    query: (statement) => pool.query(statement),
    clock,
    limits: { countEveryMs: cellLimits.waitingCountEveryMs, countShare: cellLimits.waitingCountShare, ...config.waiting },
    failed: (error) => log.warn({ err: error }, 'what waits for other cells could not be counted'),
    counted: (dst, bytes) => metrics.intakeBytes.set({ dst: peers.nameOf(dst) ?? String(dst) }, bytes),
  });
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
