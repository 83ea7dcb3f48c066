// The node's place in the fabric: buses, seal, delivery, and the duties it may do for its cell.
import { randomBytes } from 'node:crypto';
import type { DirectoryReplica } from '@weft/runtime/directory-replica.ts';
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
import { type OpenedFrame, SealedLink, type SealedLinkOptions } from './link/sealed-link.ts';
import { Waiting } from './link/waiting.ts';
import { type CellMetrics, newMetrics } from './metrics.ts';
import { Stamps } from './passport/stamps.ts';
import { Peers } from './peers.ts';
import { HeadKeys } from './proof/head-keys.ts';
import { Seldom } from './seldom.ts';
import { SessionsWatch } from './sessions-watch.ts';
import { type SideTables, sideTables } from './store/side-tables.ts';

export interface FabricOptions extends Opening, CellBase {
  readonly config: CellConfig;
  readonly registry: Registry;
}

export interface CellFabric {
  readonly peers: Peers;
  readonly delivery: CellDelivery;
  readonly headKeys: HeadKeys;
  readonly metrics: CellMetrics;
  readonly sessionsWatch: SessionsWatch;
  readonly redis: ReturnType<typeof openRedis>;
  readonly books: BookKeeper;
  readonly stamps: Stamps;
}

export async function openFabric(options: FabricOptions): Promise<CellFabric> {
  const { config, clock, log, opened, cell, keys, replica, registry, failpoints } = options;
  const peers = opened.use(openPeers(options));
  const redis = openRedis(config.redisUrl.reveal(), log);
  opened.defer(() => closeRedis(redis));
  const { bus, cellBus } = await openBuses(options, peers.heard());
  const sealer = openSealer(options, peers);
  const metrics = newMetrics(registry, {
    sockets: () => sessionsWatch.sockets(),
    users: () => delivery.hub.userCount,
    nodes: () => delivery.pushes.peers,
    waiting: () => delivery.waiting,
  });
  const write = (said: object): void => log.error(said, 'what came from another cell did not open');
  const unopened = opened.use(new Seldom({ clock, write }));
  const rejected = (what: string, src: string, why: string): void => {
    metrics.rejected.inc({ src, what, why });
    unopened.say({ src, what, why });
  };
  const link = openLink(options, { bus, sealer, peers, rejected });
  const waiting = opened.use(openWaiting(options, peers, metrics));
  const sessionsWatch = new SessionsWatch(options.node.number);
  const stamps = openStamps(options);
  const tables = sideTables((statement) => options.pool.query(statement));
  const headKeys = new HeadKeys({ cell, keys, cells: () => replica.cells() });
  const delivery: CellDelivery = opened.use(
    new CellDelivery({
      ...options,
      tables,
      link,
      cellBus: failpoints.any ? overtakenPushes(cellBus, failpoints) : cellBus,
      peers,
      waiting,
      headKeys,
      metrics: () => metrics,
      freshId: () => options.ids.next(),
      onSessionsEnded: (ended) => sessionsWatch.end(ended),
      traced: (frame, what) => stamps.sent(frame, what),
      onSessionsOpened: (sessions, at) => sessionsWatch.openedElsewhere(sessions, at),
    }),
  );
  opened.use(replica.on('change', () => bus.setPeers(peers.heard())));
  opened.use(hearTakeovers(replica, delivery));
  // What the directory said while the buses were opened.
  bus.setPeers(peers.heard());
  opened.use(replica.on('rejected', (from) => rejected('directory', from, 'bad-signature')));
  opened.use(bus.subscribeDirectory((bytes) => void replica.offer(bytes)));
  const stamped = (frame: OpenedFrame): OpenedFrame => stamps.stamped(frame);
  const books = startDuties(options, { bus, cellBus, link, delivery, peers, metrics, tables, stamped });
  opened.use(clock.every(cellLimits.beatEveryMs, () => delivery.beats.send(peers.others().map((each) => each.number))));
  return { peers, delivery, headKeys, metrics, sessionsWatch, redis, books, stamps };
}

async function openBuses({ config, cell, opened, log }: FabricOptions, peers: string[]): Promise<{ bus: FabricBus; cellBus: CellBus }> {
  const { url, fabricPassword, cellPassword } = config.nats;
  const bus = opened.use(await FabricBus.open({ url, password: fabricPassword.reveal(), cell: cell.name, peers, log }));
  const cellBus = opened.use(await CellBus.open({ url, password: cellPassword.reveal(), cell: cell.name, log }));
  return { bus, cellBus };
}

function openStamps({ clock, pool, cell, node, log, opened }: FabricOptions): Stamps {
  const failed = (error: unknown): void => log.warn({ err: error }, 'what became of some frames could not be written down');
  return opened.use(new Stamps({ clock, query: (statement) => pool.query(statement), cell: cell.number, node: node.number, failed }));
}

interface Duty extends BookParts {
  readonly cellBus: CellBus;
  readonly tables: SideTables;
  readonly stamped: (frame: OpenedFrame) => OpenedFrame;
}

function startDuties(options: FabricOptions, parts: Duty): BookKeeper {
  const { config, opened, cell } = options;
  const books = openBooks(options, parts);
  const outbox = { rowsMax: config.waiting.outboxRowsMax, countMs: config.waiting.outboxCountMs };
  const ensureJobs = (): Promise<void> => parts.cellBus.ensureJobs({ maxBytes: linkLimits.jobsBytesMax, replicas: 1 });
  const { inboundBytesMax } = config;
  opened.use(openCellDuties({ ...options, ...parts, cell: cell.number, inboundBytesMax, outbox, ensureJobs, books }));
  return books;
}

function openPeers({ replica, keys, clock, log, life, config, cell }: FabricOptions): Peers {
  const own = { ...config.cell, generation: cell.generation, url: config.publicUrl };
  return new Peers({ replica, keys, clock, log, registered: life.hearDirectory, own });
}

function openSealer({ cell, keys, clock }: FabricOptions, peers: Peers): Sealer {
  return new Sealer({
    cell: cell.name,
    ownKeys: () => keys.all('seal').map((key) => ({ version: key.version, privateKey: key.privateKey, sealsFromMs: key.startsMs })),
    peerKeys: peers.sealKeysOf,
    generation: () => cell.generation,
    clock,
  });
}

/** Those signed before this node started, and those that come. */
function hearTakeovers(replica: DirectoryReplica, delivery: CellDelivery): Disposable {
  const heard = replica.on('change', ({ takeovers }) => {
    for (const { log } of takeovers) delivery.ownership.given(log);
  });
  for (const { log } of replica.takeovers()) delivery.ownership.given(log);
  return heard;
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
