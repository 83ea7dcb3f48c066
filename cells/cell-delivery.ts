// The delivery core of one node, put together: lanes, sockets' hub, the ways to the other nodes and to the other cells.

import { Chain } from '@weft/proto/chain.ts';
import { type MarkMoved, Refused, type Truncated } from '@weft/proto/gen/weft/client/v1/client.ts';
import { laneOf, lanes } from '@weft/proto/ids.ts';
import { sha256 } from '@weft/runtime/sha256.ts';
import { type Applier, laneOfTarget } from './delivery/applier.ts';
import { kinds } from './delivery/entry.ts';
import { IntakeRelay } from './delivery/intake-relay.ts';
import { type Commit, Lane } from './delivery/lane.ts';
import type { AppendOperation, Outcome, Submission } from './delivery/operations.ts';
import type { Ownership } from './delivery/ownership.ts';
import type { Puller } from './delivery/puller.ts';
import { Relay } from './delivery/relay.ts';
import { type CellDeliveryOptions, deciding } from './delivery-options.ts';
import { type DeliveryLimits, decideLimits, deliveryLimits, laneLimits } from './limits.ts';
import { Beats, beatSignal } from './link/beats.ts';
import { LinkWatch } from './link/link-watch.ts';
import { MarkService } from './link/mark-service.ts';
import { PeerRequests } from './link/peer-requests.ts';
import { openApplier, openOwnership, openPuller } from './link/pulling.ts';
import { openProof } from './proof/open-proof.ts';
import type { Proof } from './proof/proof.ts';
import { begun, givenUp, startsByLog } from './push/epoch-starts.ts';
import { Hub } from './push/hub.ts';
import { NodePushes } from './push/node-pushes.ts';
import type { Origins } from './push/origins.ts';
import { Seldom } from './seldom.ts';
import { encodeRuns, type Run, runsOf, selfLogsFirst } from './wire/frames.ts';

export type { CellDeliveryOptions } from './delivery-options.ts';

export class CellDelivery implements AsyncDisposable {
  readonly hub: Hub;
  readonly relay: Relay;
  readonly intakeRelay: IntakeRelay;
  readonly applier: Applier;
  readonly puller: Puller;
  readonly ownership: Ownership;
  readonly marks: MarkService;
  readonly beats: Beats;
  readonly pushes: NodePushes;
  readonly requests: PeerRequests;
  readonly links: LinkWatch;
  readonly proof: Proof;
  readonly #options: CellDeliveryOptions;
  readonly #limits: DeliveryLimits;
  readonly lanes: readonly Lane[];
  readonly #owned = new AsyncDisposableStack();
  readonly #unlawful: Seldom;

  constructor(options: CellDeliveryOptions) {
    const { store, link, clock, cell, limits = deliveryLimits } = options;
    this.#options = options;
    this.#limits = limits;
    const failed = (what: string) => (error: unknown) => options.log.warn({ err: error }, what);
    this.hub = new Hub({
      readRange: (log, from, limit) => store.readRange(log, from, Number.MAX_SAFE_INTEGER, limit),
      readHeads: (logs) => store.heads(logs),
      readEpochs: async (log) => (await store.readRow(log))?.state.epochs ?? [],
      failed: failed('a hole of a watched log could not be read'),
      fillEntriesMax: limits.fillEntriesMax,
      heldRunsMax: limits.heldRunsMax,
      pushBytesMax: limits.pushBytesMax,
      dropsPush: () => options.failpoints.reach('drop-push'),
      pushesAtOnce: options.failpoints.isOff('push-order'),
    });
    this.lanes = Array.from({ length: lanes }, (_, lane) => this.#openLane(lane));
    this.relay = new Relay({
      store,
      link,
      clock,
      generation: cell.generation,
      limits,
      homeOf: options.peers.homeOf,
      encode: (entries) => encodeRuns(runsOf(entries)),
      failed: failed('a frame could not be sent'),
      stored: () => options.failpoints.reach('after-publish-before-acknowledgement'),
      traced: options.traced,
      counted: (dst, what) => options.metrics().frames.inc({ dst: options.peers.nameOf(dst) ?? String(dst), what }),
    });
    this.intakeRelay = new IntakeRelay({
      store,
      link,
      clock,
      limits,
      freshId: options.freshId,
      laneOf: (row) => laneOfTarget(row.stream.b === 0n ? { log: row.stream.a } : { pair: { low: row.stream.a, high: row.stream.b } }),
      own: { cell: cell.number, generation: cell.generation },
      takeOwn: (operations) => this.applier.takeOwn(operations),
      failed: failed('intake could not be sent'),
    });
    const write = (said: object): void => options.log.error(said, 'another cell said what it may not say');
    this.#unlawful = this.#owned.use(new Seldom({ clock, write }));
    this.applier = this.#owned.use(this.#openApplier(failed('a frame could not be applied')));
    const longer = (log: bigint, src: number): void => this.ownership.longer(log, src);
    this.puller = openPuller({ ...options, limits, applier: this.applier, longer, failed: failed('a log could not be pulled') });
    this.ownership = openOwnership({ ...options, ...this.#settlers(), limits, failed: failed('a log could not be settled') });
    this.beats = new Beats({ link, clock, generation: cell.generation, read: (logs) => store.heads(logs), limits });
    this.links = new LinkWatch(clock, limits);
    this.requests = this.#openRequests();
    this.proof = openProof({
      ...options,
      hub: this.hub,
      tellNodes: (heads) => this.pushes.tellSignedHeads(heads),
      rejected: (src, what, why) => this.#rejected(src, what, why),
      failed: failed('a signed head could not be told'),
      own: this.#owned,
    });
    this.marks = this.#openMarks();
    this.pushes = this.#openPushes();
    this.#owned.use(clock.every(limits.fillAgainMs, () => this.hub.retry()));
    this.#hearLink();
  }

  /** What gets a log to where this cell may own it. */
  #settlers() {
    const compare = (cell: number) => this.requests.antiEntropy.compare(cell);
    return { applier: this.applier, puller: this.puller, intakeRelay: this.intakeRelay, chain: new Chain(sha256), compare };
  }

  /** Operations that wait for a transaction. */
  get waiting(): number {
    return this.lanes.reduce((sum, lane) => sum + lane.waiting, 0);
  }

  /** False when the lane is full. */
  submit(submission: Submission & { readonly operation: AppendOperation }): boolean {
    return (this.lanes[laneOfTarget(submission.operation.target)] as Lane).submit(submission);
  }

  append(operation: AppendOperation): Promise<Outcome> {
    return new Promise((resolve) => {
      if (!this.submit({ operation, settle: resolve })) resolve({ type: 'fault', code: 'busy', afterMs: 500 });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
    await Promise.all(this.lanes.map((lane) => lane.drain()));
  }

  #openLane(lane: number): Lane {
    const { store, clock, cell, peers, waiting, freshId, log } = this.#options;
    const limits = this.#limits;
    const chain = new Chain(sha256);
    return new Lane({
      lane,
      store,
      clock,
      freshLog: (target) => this.#freshIdOf(laneOfTarget(target)),
      together: () => this.lanes,
      context: () => ({
        cell: cell.number,
        generation: cell.generation,
        nowMs: clock.now(),
        ...deciding(peers),
        isBack: (number) => this.ownership.isBack(number),
        isWhole: () => this.ownership.isWhole(),
        chain,
        hasIntakeRoom: (dst) => waiting.hasIntakeRoom(dst),
        hasOutboxRoom: (dst) => waiting.hasOutboxRoom(dst),
        freshId,
        limits: decideLimits(limits),
      }),
      limits: laneLimits(limits),
      committed: (commit) => this.#committed(commit),
      failed: (error, operations) => log.error({ err: error, operations }, 'a transaction was given up'),
      unsure: () => this.pushes.tellDoubt(),
    });
  }

  /** A new log keeps the lane of the pair it was opened by. */
  #freshIdOf(lane: number): bigint {
    for (;;) {
      const id = this.#options.freshId();
      if (laneOf(id) === lane) return id;
    }
  }

  /** After the commit: the other cells, the sockets here, the other nodes, all in one turn. */
  #committed({ submissions, decision }: Commit): void {
    const { writes, outcomes } = decision;
    this.#options.failpoints.reach('after-commit-before-tell');
    const runs = selfLogsFirst(runsOf(writes.entries));
    const origins: Origins = new Map();
    const settled: (() => void)[] = [];
    submissions.forEach((submission, i) => {
      const outcome = outcomes[i] as Outcome;
      const accept = (): void => submission.settle(outcome);
      if (submission.origin && outcome.type === 'accepted' && outcome.fresh)
        origins.set(outcome.entry, { receiver: submission.origin, accept });
      else settled.push(accept);
    });
    // What has the longest way goes first.
    this.relay.publishCommitted(writes.outbox);
    this.intakeRelay.sendCommitted(writes);
    this.#tellEpochs(givenUp(writes));
    this.#options.waiting.committed(writes);
    this.#tellRuns(runs, origins);
    for (const settle of settled) settle();
    if (runs.length > 0) this.pushes.tellRuns(runs);
    this.#tellEpochs(begun(writes));
    this.beats.committed(writes.outbox, writes.entries);
    this.#movedOwners(writes);
    this.proof.signer.committed(writes);
    const metrics = this.#options.metrics();
    metrics.transactions.inc({ what: 'committed' });
    metrics.committed.inc({ kind: 'all' }, writes.entries.length);
  }

  /** Who owns what has changed: intake goes out anew, and what this cell owns now is settled. */
  #movedOwners({ readdressed, rows, created }: Commit['decision']['writes']): void {
    for (const { row } of created) this.ownership.turnedUp(row);
    for (const dst of new Set(readdressed.map((each) => each.dst))) this.intakeRelay.addressedAnew(dst);
    if (rows.some(({ status }) => status === 'intake' || status === 'stopped')) this.ownership.poke();
  }

  #tellRuns(runs: readonly Run[], origins?: Origins): void {
    this.hub.deliver(runs, origins);
    const refusals = runs.flatMap(({ entries }) => entries.filter(({ kind }) => kind === kinds.appendRefused));
    for (const { log, body } of refusals) this.hub.tellUser(log, { $case: 'refused', value: Refused.decode(body) });
  }

  /** Here and, unless they told it, at the other nodes. */
  #tellEpochs(told: readonly Truncated[], from: 'here' | 'elsewhere' = 'here'): void {
    if (told.length === 0) return;
    for (const [log, starts] of startsByLog(told)) this.hub.moveEpochs(log, starts);
    if (from === 'here') this.pushes.tellEpochs(told);
  }

  #openApplier(failed: (error: unknown) => void): Applier {
    return openApplier({
      ...this.#options,
      limits: this.#limits,
      submit: (lane, submission) => (this.lanes[lane] as Lane).submit(submission),
      behind: (log, src) => this.puller.want(log, src),
      named: (log, by) => this.ownership.named(log, by),
      marks: (src, marks) => this.marks.take(src, marks),
      rejected: (src, what, why) => this.#rejected(src, what, why),
      failed,
    });
  }

  #openRequests(): PeerRequests {
    return new PeerRequests({
      ...this.#options,
      append: (operation) => this.append(operation),
      heads: (src, bytes) => this.proof.answer(src, bytes),
      want: (log, src) => this.puller.want(log, src),
      named: (log, by) => this.ownership.named(log, by),
      ahead: (log, at) => void this.applier.apply({ type: 'stop', log, ...at }).then(() => this.ownership.poke()),
      isWhole: () => this.ownership.isWhole(),
      rejected: (src, what, why) => this.#rejected(src, what, why),
    });
  }

  #openMarks(): MarkService {
    const { cell, tables, link, freshId, peers, store, clock, log } = this.#options;
    const marks = new MarkService({
      cell: cell.number,
      clock,
      failed: (error) => log.warn({ err: error }, 'told marks could not be let go'),
      tables,
      link,
      freshId,
      homeOf: peers.homeOf,
      stateOf: (log) => store.state(log),
      readState: async (log) => (await store.readRow(log))?.state,
      isWhole: () => this.ownership.isWhole(),
      moved: (marks) => {
        this.#tellMarks(marks);
        this.pushes.tellMarks(marks);
      },
      limits: this.#limits,
    });
    return this.#owned.use(marks);
  }

  /** To every member of the log who is online here; in a large log to the mark's own user only, or marks would cost N². */
  #tellMarks(marks: readonly MarkMoved[]): void {
    for (const mark of marks) {
      const tell = (members: number): void => {
        if (members <= this.#limits.marksMembersMax) this.hub.tellWatchers(mark.log, { $case: 'markMoved', value: mark });
        else this.hub.tellUser(mark.user, { $case: 'markMoved', value: mark });
      };
      this.#options.store.state(mark.log).then(
        (state) => tell(state?.members.size ?? 0),
        (error: unknown) => this.#options.log.warn({ err: error }, 'a mark could not be told'),
      );
    }
  }

  #openPushes(): NodePushes {
    const { cellBus, clock, node, store, onSessionsEnded, onSessionsOpened } = this.#options;
    return this.#owned.use(
      new NodePushes({
        bus: cellBus,
        clock,
        node: node.number,
        start: node.startMs,
        onRuns: (runs) => {
          for (const run of runs) if (run.entries.some((e) => e.kind >= kinds.created)) store.forgetState(run.log);
          this.#tellRuns(runs);
        },
        onEpochs: (epochs) => {
          for (const { log } of epochs) store.forgetState(log);
          this.#tellEpochs(epochs, 'elsewhere');
        },
        onMarks: (marks) => this.#tellMarks(marks),
        onSignedHeads: (heads) => this.proof.heardNode(heads),
        onSessionsEnded,
        onSessionsOpened,
        onHole: () => this.hub.doubt(),
      }),
    );
  }

  #hearLink(): void {
    const { link } = this.#options;
    this.#owned.use(
      link.hearAcks((src, bytes) => {
        this.relay.acknowledged(src, bytes);
        this.marks.acknowledged(src, bytes);
      }),
    );
    this.#owned.use(
      link.hearSignals((src, what, bytes) =>
        what === beatSignal ? this.#heardBeat(src, bytes) : this.proof.heardSignal(src, what, bytes),
      ),
    );
    this.#owned.use(link.serve((src, method, bytes) => this.requests.answer(src, method, bytes)));
  }

  #heardBeat(src: number, bytes: Uint8Array): void {
    this.intakeRelay.heard(src);
    this.links.heard(src);
    this.beats.lostTails(bytes)?.then(
      (logs) => logs.forEach((each) => void this.puller.want(each, src)),
      (error: unknown) => this.#options.log.warn({ err: error }, 'the heads of a beat could not be compared'),
    );
  }

  #rejected(src: number, what: string, why: string): void {
    const said = { src: this.#options.peers.nameOf(src) ?? String(src), what, why };
    this.#options.metrics().rejected.inc(said);
    this.#unlawful.say(said);
  }
}
