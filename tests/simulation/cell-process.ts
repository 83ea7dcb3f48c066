// One node of a simulated cell: the delivery core as production wires it (cells/cell-delivery.ts), over ports in memory.

import { Applier, laneOfTarget } from '@weft/cells/delivery/applier.ts';
import { IntakeRelay } from '@weft/cells/delivery/intake-relay.ts';
import { type Commit, Lane, type Submission } from '@weft/cells/delivery/lane.ts';
import type { AppendOperation, Outcome } from '@weft/cells/delivery/operations.ts';
import type { Link, LogStore } from '@weft/cells/delivery/ports.ts';
import { PullServer } from '@weft/cells/delivery/pull-server.ts';
import { Puller } from '@weft/cells/delivery/puller.ts';
import { Relay } from '@weft/cells/delivery/relay.ts';
import { fromWire, toWire } from '@weft/cells/wire/entry-codec.ts';
import { Chain } from '@weft/proto/chain.ts';
import { PullRequest } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { birthCell, laneOf, lanes } from '@weft/proto/ids.ts';
import { limits as wire } from '@weft/proto/limits.ts';
import { IdMaker } from '@weft/runtime/id-maker.ts';
import { sha256 } from '@weft/runtime/sha256.ts';
import { decodeRuns, encodeRuns } from './entry-wire.ts';
import type { MemoryLogStore } from './memory-log-store.ts';
import type { DeliveredFrame, Participant } from './memory-network.ts';
import type { Mutation } from './mutations.ts';
import type { ProcessClock } from './simulated-time.ts';

export interface CellProcessOptions {
  readonly cell: number;
  readonly node: number;
  readonly clock: ProcessClock;
  readonly store: MemoryLogStore;
  readonly link: Link;
  readonly others: readonly number[];
  /** Whether this node holds the cell's lease. */
  readonly holdsLease: () => boolean;
  readonly mutation: Mutation;
  readonly failed: (what: string, error: unknown) => void;
  readonly rejected: (src: number, why: string) => void;
}

/** As in cells/limits.ts, smaller where that makes a limit meet more often. */
const simulated = {
  batchEntriesMax: 8,
  batchBytesMax: 4_096,
  laneQueueMax: 64,
  frameEntriesMax: 4,
  framesInFlightMax: 4,
  pullEntriesMax: 3,
} as const;

const relayLimits = {
  resendAfterMs: 2_000,
  resendAfterMsMax: 60_000,
  resendRowsMax: 64,
  resendAtOnceMax: 2,
  resendEntriesMax: 512,
  resendSkippedMax: 1_000,
  ackGatherMs: 5,
  framesRememberedMax: 1_000,
};

export class CellProcess implements Participant {
  readonly options: CellProcessOptions;
  readonly #lanes: readonly Lane[];
  readonly #relay: Relay;
  readonly #intakeRelay: IntakeRelay;
  readonly #applier: Applier;
  readonly #puller: Puller;
  readonly #pullServer: PullServer;
  readonly #ids: IdMaker;
  readonly #store: LogStore;
  readonly #link: Link;

  constructor(options: CellProcessOptions) {
    const { cell, node, clock, mutation } = options;
    this.options = options;
    this.#store = mutation.store ? mutation.store(options.store) : options.store;
    this.#link = mutation.link ? mutation.link(options.link, this.#store) : options.link;
    this.#ids = new IdMaker({ clock, cell, node, leaseEndsMs: () => Number.MAX_SAFE_INTEGER });
    this.#lanes = Array.from({ length: lanes }, (_, lane) => this.#openLane(lane));
    this.#relay = new Relay({
      store: this.#store,
      link: this.#link,
      clock,
      generation: 1,
      limits: { ...relayLimits, framesInFlightMax: simulated.framesInFlightMax },
      encode: encodeRuns,
      failed: (error) => options.failed('relay', error),
      counted: () => undefined,
    });
    this.#intakeRelay = new IntakeRelay({
      store: this.#store,
      link: this.#link,
      clock,
      limits: { ...relayLimits, intakeRowsMax: 1_024, frameEntriesMax: simulated.frameEntriesMax, frameBytesMax: wire.fabricFrameBytesMax },
      freshId: () => this.#ids.next(),
      laneOf: ({ stream }) => laneOfTarget(stream.b === 0n ? { log: stream.a } : { pair: { low: stream.a, high: stream.b } }),
      failed: (error) => options.failed('intake relay', error),
    });
    this.#applier = this.#openApplier();
    this.#puller = this.#openPuller();
    this.#pullServer = new PullServer({
      cell,
      store: options.store,
      limits: { pullEntriesMax: simulated.pullEntriesMax, pullBytesMax: 200 * 1024 },
      toWire,
      chain: new Chain(sha256),
      refused: (src) => options.rejected(src, 'not-a-replica'),
    });
    this.#startDuties();
  }

  get alive(): boolean {
    return this.options.clock.alive;
  }

  consumes(): boolean {
    return this.options.holdsLease();
  }

  frame(frame: DeliveredFrame): void {
    this.options.clock.timer(0, () => {
      const cls = frame.cls;
      this.options.mutation.taken?.(frame, this.#link);
      this.#applier.take({ ...frame, cls });
    });
  }

  acks(src: number, bytes: Uint8Array): void {
    this.options.clock.timer(0, () => this.#relay.acknowledged(src, bytes));
  }

  signal(src: number): void {
    this.options.clock.timer(0, () => this.#intakeRelay.heard(src));
  }

  async answer(src: number, _method: string, bytes: Uint8Array): Promise<Uint8Array> {
    await this.options.clock.sleep(0);
    return this.#pullServer.answer(src, PullRequest.decode(bytes));
  }

  /** False when the lane is full. */
  append(operation: AppendOperation, settle: (outcome: Outcome) => void, mayRun: () => boolean): boolean {
    return (this.#lanes[laneOfTarget(operation.target)] as Lane).submit({ operation, settle, mayRun });
  }

  #openLane(lane: number): Lane {
    const { cell, clock, failed } = this.options;
    const chain = new Chain(sha256);
    return new Lane({
      lane,
      store: this.#store,
      clock,
      freshLog: (target) => this.#freshLog(laneOfTarget(target)),
      together: () => this.#lanes,
      context: () => ({
        cell,
        generation: 1,
        nowMs: clock.now(),
        homeOf: birthCell,
        birthplace: (pair) => birthCell(pair.low),
        chain,
        hasIntakeRoom: () => true,
        hasOutboxRoom: () => true,
        freshId: () => this.#ids.next(),
        limits: {
          openIntakePerUserMax: 20,
          frameEntriesMax: simulated.frameEntriesMax,
          frameBytesMax: wire.fabricFrameBytesMax,
        },
      }),
      limits: {
        batchEntriesMax: simulated.batchEntriesMax,
        batchBytesMax: simulated.batchBytesMax,
        queueMax: simulated.laneQueueMax,
        queueBytesMax: 1024 * 1024,
        retryMsMax: 8_000,
        retryPauseMs: 50,
        lingerMs: 1,
        lingerBelow: 2,
        sharedLockMsMax: 50,
      },
      turn: () => clock.sleep(0),
      committed: (commit) => this.#committed(commit),
      failed: (error) => failed('lane', error),
    });
  }

  #freshLog(lane: number): bigint {
    for (;;) {
      const id = this.#ids.next();
      if (laneOf(id) === lane) return id;
    }
  }

  #committed({ submissions, decision }: Commit): void {
    for (const [i, submission] of submissions.entries()) submission.settle(decision.outcomes[i] as Outcome);
    this.#relay.publishCommitted(decision.writes.outbox);
    this.#intakeRelay.sendCommitted(decision.writes.intake);
  }

  #submit(lane: number, submission: Submission): boolean {
    const operation = this.options.mutation.operation?.(submission.operation) ?? submission.operation;
    return (this.#lanes[lane] as Lane).submit({ ...submission, operation });
  }

  #openApplier(): Applier {
    const { clock, failed, rejected } = this.options;
    return new Applier({
      clock,
      link: this.#link,
      generationOf: () => 1,
      decodeRuns,
      submit: (lane, submission) => this.#submit(lane, submission),
      limits: { earlyMs: 300, earlyMax: 64, ackGatherMs: 5 },
      behind: (log, src) => this.#want(log, src),
      marks: async () => undefined,
      park: async (frame, why) => rejected(frame.src, `parked: ${why}`),
      rejected,
      failed: (error) => failed('applier', error),
      applied: () => undefined,
    });
  }

  #openPuller(): Puller {
    const { cell, clock, failed } = this.options;
    return new Puller({
      cell,
      store: this.#store,
      link: this.#link,
      clock,
      limits: { pullsAtOnceMax: 2, earlyMax: 64, pullEntriesPerSecondMax: 4_000 },
      apply: (operation) => this.#applier.apply(operation),
      fromWire,
      pulled: () => undefined,
      failed: (error) => failed('puller', error),
    });
  }

  #want(log: bigint, src: number): void {
    if (!this.options.mutation.pullsNothing) this.#puller.want(log, src);
  }

  #startDuties(): void {
    const { clock, others, holdsLease, failed } = this.options;
    clock.every(500, () => {
      if (!holdsLease()) return;
      for (const dst of others) {
        this.#relay.resend(dst).catch((error: unknown) => failed('resend', error));
        this.#intakeRelay.resend(dst).catch((error: unknown) => failed('resend of intake', error));
      }
    });
    clock.every(1_000, () => {
      for (const dst of others) this.#link.signal(dst, 'beat', new Uint8Array());
      if (holdsLease()) this.#pullBehind().catch((error: unknown) => failed('pull', error));
    });
  }

  async #pullBehind(): Promise<void> {
    for (const { log, src } of await this.#store.behind(64)) this.#want(log, src);
  }
}
