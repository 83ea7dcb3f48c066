// The node's place in the fabric: buses, seal, delivery, and the duties it may do for its cell.
import { lanes } from '@weft/proto/ids.ts';
import { linkLimits } from '@weft/runtime/link-limits.ts';
import { CellBus } from '@weft/runtime/nats-cell-bus.ts';
import type { InboundFrame, PartitionConsumer } from '@weft/runtime/nats-consumer.ts';
import { FabricBus } from '@weft/runtime/nats-fabric-bus.ts';
import { closeRedis, openRedis } from '@weft/runtime/redis.ts';
import { Sealer } from '@weft/runtime/seal.ts';
import type { Registry } from 'prom-client';
import { CellDelivery } from './cell-delivery.ts';
import type { CellConfig } from './config.ts';
import type { CellBase, Opening } from './ground.ts';
import { GuardlessLink, overtakenPushes } from './guards-off.ts';
import { cellLimits } from './limits.ts';
import { Duties } from './link/duties.ts';
import { boundOutbox } from './link/outbox-bound.ts';
import { SealedLink, type SealedLinkOptions } from './link/sealed-link.ts';
import { Waiting } from './link/waiting.ts';
import { type CellMetrics, newMetrics } from './metrics.ts';
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
  const linkOptions: SealedLinkOptions = {
    bus,
    sealer,
    cell: cell.name,
    generation: cell.generation,
    requestMsMax: cellLimits.requestMsMax,
    nameOf: peers.nameOf,
    numberOf: peers.numberOf,
    rejected,
    log,
  };
  const link = failpoints.any ? new GuardlessLink(linkOptions, failpoints) : new SealedLink(linkOptions);
  const waiting = opened.use(openWaiting(options, peers, metrics));
  const sessionsWatch = new SessionsWatch(options.node.number);
  const delivery: CellDelivery = opened.use(
    new CellDelivery({
      ...options,
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
  opened.use(openDuties(options, { bus, cellBus, link, delivery, peers, metrics }));
  opened.use(clock.every(cellLimits.beatEveryMs, () => delivery.beats.send(peers.others().map((each) => each.number))));
  return { peers, delivery, metrics, sessionsWatch, redis };
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

interface DutyParts {
  readonly bus: FabricBus;
  readonly cellBus: CellBus;
  readonly link: SealedLink;
  readonly delivery: CellDelivery;
  readonly peers: Peers;
  readonly metrics: CellMetrics;
}

/** Sending again and pulling for the whole cell, one lease; applying, one lease per partition. */
function openDuties(
  { leases, clock, log, config, store, pool }: FabricOptions,
  { bus, cellBus, link, delivery, peers, metrics }: DutyParts,
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
    everyMs: config.waiting.outboxCountMs,
    run: () =>
      boundOutbox({
        pool,
        rowsMax: config.waiting.outboxRowsMax,
        log,
        nameOf: peers.nameOf,
        counted: (dst, rows) => metrics.outbox.set({ dst }, rows),
      }),
  });
  // Nobody works from it yet: media and moderation will. Made again should the broker lose it.
  duties.add({
    name: 'jobs',
    everyMs: cellLimits.jobsEnsureEveryMs,
    run: () => cellBus.ensureJobs({ maxBytes: linkLimits.jobsBytesMax, replicas: 1 }),
  });
  duties.add({
    name: 'digest',
    everyMs: cellLimits.pullEveryMs,
    run: async () => {
      for (const src of delivery.links.due()) {
        const behind = await delivery.requests.antiEntropy.compare(src);
        delivery.links.compared(src);
        metrics.compared.inc({ src: peers.nameOf(src) ?? String(src) });
        if (behind > 0) log.warn({ src: peers.nameOf(src), behind }, 'logs were behind their owner');
      }
    },
  });
  const ensured = bus.ensureInbound({ maxBytes: config.inboundBytesMax, replicas: 1 });
  // Rejects only when the bus is closed.
  ensured.catch(() => undefined);
  for (let p = 0; p < lanes; p++) addPartition(duties, p, { bus, link, delivery });
  return duties;
}

function addPartition(duties: Duties, p: number, { bus, link, delivery }: Omit<DutyParts, 'cellBus' | 'peers' | 'metrics'>): void {
  let consumer: PartitionConsumer | undefined;
  duties.add({
    name: `apply/${p}`,
    everyMs: cellLimits.leaseEveryMs,
    run: async () => undefined,
    held: (held, takenOver) => {
      if (held) {
        const onFrame = (frame: InboundFrame): void => {
          const openedFrame = link.open(frame);
          if (openedFrame) delivery.applier.take(openedFrame);
        };
        consumer = bus.consumePartition(p, onFrame, { takenOver });
        return;
      }
      consumer?.[Symbol.asyncDispose]().catch(() => undefined);
      consumer = undefined;
    },
  });
}
