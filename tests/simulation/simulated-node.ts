// One node of a simulated cell: what cells/ runs in production, over ports in memory.
import { CellDelivery } from '@weft/cells/cell-delivery.ts';
import { openCellDuties } from '@weft/cells/cell-duties.ts';
import { clientServices } from '@weft/cells/client-services.ts';
import { Edge } from '@weft/cells/edge/edge.ts';
import { cellLimits, type DeliveryLimits, deliveryLimits } from '@weft/cells/limits.ts';
import { type LinkBus, SealedLink } from '@weft/cells/link/sealed-link.ts';
import type { KnownPeers } from '@weft/cells/peers.ts';
import { SessionsWatch } from '@weft/cells/sessions-watch.ts';
import type { CellStore } from '@weft/cells/store/sql-log-store.ts';
import { CellRecord } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import { birthCell } from '@weft/proto/ids.ts';
import { IdMaker } from '@weft/runtime/id-maker.ts';
import type { Log } from '@weft/runtime/log.ts';
import type { Random } from '@weft/runtime/random.ts';
import type { ClientLink } from './client-link.ts';
import { ArmedFailpoints } from './failpoints.ts';
import { MemoryBus } from './memory-bus.ts';
import type { MemoryCell } from './memory-cell.ts';
import { MemoryLogStore, type StoreFaults } from './memory-log-store.ts';
import { MemoryLeases, MemoryTables } from './memory-tables.ts';
import type { Mutation } from './mutation.ts';
import { PlainSeal } from './plain-seal.ts';
import type { ProcessClock, SimulatedTime } from './simulated-time.ts';
import type { Supercluster } from './supercluster.ts';
import { readToken } from './tokens.ts';

export interface SimulatedNodeOptions {
  readonly cell: MemoryCell;
  readonly cells: readonly MemoryCell[];
  /** Which of the cell's nodes, and its leased number. */
  readonly index: number;
  readonly number: number;
  /** Of its store. */
  readonly generation: number;
  /** Of other cells' stores, as the directory knows them. */
  readonly generationOf: (cell: number) => number;
  readonly time: SimulatedTime;
  readonly clock: ProcessClock;
  readonly random: Random;
  readonly network: Supercluster;
  readonly storeFaults: StoreFaults;
  /** What the directory signed about logs. */
  readonly takeover: KnownPeers['takeover'];
  readonly knowsUser: (user: bigint) => boolean;
  readonly limits: DeliveryLimits;
  readonly heartbeatMs: number;
  /** Of a later version: what it tells other cells has fields they do not know. */
  readonly later: boolean;
  readonly mutation: Mutation;
  readonly trace: (what: string) => void;
  /** A failpoint ended the process. */
  readonly died: (why: string) => void;
  readonly failed: (what: string, error: unknown) => void;
  readonly rejected: (what: string) => void;
}

/** Smaller than in production, so that they are met more often. */
export const smallLimits: DeliveryLimits = {
  ...deliveryLimits,
  laneQueueMax: 8,
  laneRetryMsMax: 2_000,
  batchEntriesMax: 8,
  batchBytesMax: 4_096,
  frameEntriesMax: 4,
  framesInFlightMax: 4,
  framesRememberedMax: 64,
  pullEntriesMax: 3,
  pullsAtOnceMax: 2,
  openIntakePerUserMax: 20,
  fillEntriesMax: 3,
  heldRunsMax: 4,
  pushBytesMax: 2_048,
  earlyMax: 64,
  digestBuckets: 16,
  digestPageRows: 4,
  digestBucketsPerRequest: 4,
  marksPerFrameMax: 8,
};

export class SimulatedNode {
  readonly options: SimulatedNodeOptions;
  readonly delivery: CellDelivery;
  readonly edge: Edge;
  readonly failpoints: ArmedFailpoints;
  readonly links = new Set<ClientLink>();
  readonly bus: MemoryBus;
  readonly link: SealedLink;
  readonly #log: Log;

  constructor(options: SimulatedNodeOptions) {
    const { cell, clock, random, mutation, number, limits } = options;
    this.options = options;
    this.#log = this.#openLog();
    this.failpoints = new ArmedFailpoints((name) => options.died(name));
    const bare = new MemoryLogStore({ ...options, node: number, faults: options.storeFaults });
    const store: CellStore = mutation.store ? mutation.store(bare) : bare;
    this.bus = new MemoryBus({ ...options, cell: nameOf(cell.number) });
    const [ids, peers] = [this.#openIds(), peersOf(options)];
    const names = options.cells.map((each) => nameOf(each.number));
    const seal = new PlainSeal({
      cell: nameOf(cell.number),
      cells: names,
      now: () => clock.now(),
      later: options.later,
      generation: options.generation,
      generationOf: (name) => options.generationOf(names.indexOf(name) + 1),
    });
    const bus = mutation.bus?.(this.bus, { store, seal }) ?? this.bus;
    this.link = this.#openLink(peers, bus, seal);
    const reach = (takesTime?: boolean): Promise<void> => bare.reach(takesTime);
    const tables = new MemoryTables({ cell, clock, reach });
    const metrics = countsNothing;
    const sessionsWatch = new SessionsWatch(number);
    const identity = { name: nameOf(cell.number), number: cell.number, generation: options.generation };
    this.delivery = new CellDelivery({
      cell: identity,
      node: { number, startMs: clock.now() },
      clock,
      log: this.#log,
      tables,
      store,
      link: this.link,
      cellBus: this.bus,
      peers,
      metrics: () => metrics,
      freshId: () => ids.next(),
      failpoints: this.failpoints,
      onSessionsEnded: (ended) => sessionsWatch.end(ended),
      onSessionsOpened: (opened, node) => sessionsWatch.openedElsewhere(opened, node),
      // Who signed is not the simulator's to prove.
      headKeys: { sign: (head) => ({ ...head, kid: nameOf(cell.number), signature: Buffer.of(cell.number) }), proves: () => true },
      waiting: { hasIntakeRoom: () => true, hasOutboxRoom: () => true, committed: () => undefined },
      limits,
    });
    const leases = new MemoryLeases({ cell, clock, reach, holder: `${options.index}-${number}` });
    openCellDuties({
      ...options,
      cell: cell.number,
      inboundBytesMax: 0,
      outbox: { rowsMax: cellLimits.outboxRowsMax, countMs: cellLimits.outboxCountEveryMs },
      ensureJobs: async () => undefined,
      stamped: (frame) => frame,
      books: { keep: async () => undefined, letGo: () => undefined },
      leases,
      log: this.#log,
      store,
      tables,
      bus,
      link: this.link,
      delivery: this.delivery,
      peers,
      metrics,
    });
    clock.every(cellLimits.beatEveryMs, () => this.delivery.beats.send(peers.others().map((each) => each.number)));
    const services = clientServices({
      config: { node: `${options.index}`, heartbeatMs: options.heartbeatMs, appendsPerSecond: 500, logsPerUserMax: 10_000 },
      cell: identity,
      clock,
      random,
      log: this.#log,
      store,
      delivery: this.delivery,
      peers,
      metrics,
      sessionsWatch,
      verify: async (token) => readToken(token, clock.now()),
      knowsUser: options.knowsUser,
      userExists: async (user) => {
        await clock.sleep(3);
        return options.knowsUser(user);
      },
      gathering: { turn: () => clock.sleep(0), pause: () => Promise.resolve() },
    });
    this.edge = new Edge({ services, heartbeatMs: options.heartbeatMs, socketsPerAddressMax: 1_000, ready: () => true });
  }

  get alive(): boolean {
    return this.options.clock.alive;
  }

  /** A device knocks. */
  admit(link: ClientLink): void {
    this.links.add(link);
    link.open((ws, socket) => this.edge.admit(ws, socket as unknown as Parameters<Edge['admit']>[1], 'simulated'));
  }

  kill(): void {
    this.options.clock.kill();
    this.bus.close();
    for (const link of this.links) link.nodeDied();
    this.links.clear();
  }

  #openIds(): IdMaker {
    const { clock, cell, number, mutation } = this.options;
    return new IdMaker({ clock, cell: mutation.birthCell ?? cell.number, node: number, leaseEndsMs: () => Number.MAX_SAFE_INTEGER });
  }

  #openLink(peers: KnownPeers, bus: LinkBus, sealer: PlainSeal): SealedLink {
    const { cell, random, rejected, generation } = this.options;
    return new SealedLink({
      bus,
      sealer,
      nonce: () => BigInt(random.int(2 ** 32)) * 2n ** 31n + BigInt(random.int(2 ** 31)),
      cell: nameOf(cell.number),
      generation,
      requestMsMax: cellLimits.requestMsMax,
      nameOf: peers.nameOf,
      numberOf: peers.numberOf,
      rejected: (what, src, why) => rejected(`${what} of ${src}: ${why}`),
      log: this.#log,
    });
  }

  /** What production would log is told: errors that nobody expects are bugs. */
  #openLog(): Log {
    const { failed, trace, cell, index } = this.options;
    const tell = (fields: { err?: unknown }, text: string): void => {
      trace(`log ${cell.number}.${index} ${text}${fields.err === undefined ? '' : `: ${String(fields.err)}`}`);
      if (fields.err !== undefined) failed(text, fields.err);
    };
    const log = { error: tell, warn: tell, info: () => undefined, debug: () => undefined, fatal: tell };
    return log as unknown as Log;
  }
}

export const nameOf = (cell: number): string => `c${cell}`;

function peersOf({ cell, cells, mutation, takeover, generationOf }: SimulatedNodeOptions): KnownPeers {
  const records = cells.map(({ number }) => CellRecord.fromPartial({ name: nameOf(number), number, generation: 1n }));
  const others = records.filter(({ number }) => number !== cell.number);
  return {
    others: () => others,
    nameOf: (number) => records.find((each) => each.number === number)?.name,
    numberOf: (name) => records.find((each) => each.name === name)?.number,
    generationOf,
    homeOf: mutation.homeOf ?? birthCell,
    birthplace: (pair) => birthCell(pair.low),
    takeover,
  };
}

const inc = (): void => undefined;
const countsNothing = {
  lags: { inc },
  socketsRefused: { inc },
  committed: { inc },
  transactions: { inc },
  frames: { inc },
  applied: { inc },
  pulled: { inc },
  rejected: { inc },
  outbox: { set: inc },
  compared: { inc },
};
