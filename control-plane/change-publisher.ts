// Tells everybody what changed, as soon as it is committed, and each second where the log ends.
//
// It reads the log behind the last number it told, so changes of another control-plane process are told too. Messages may be lost and are not
// repeated: the position in the next beat shows the hole, and replicas pull it.
import type { ShardPosition } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import { SignedChanges } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import { subjects } from '@weft/proto/subjects.ts';
import type { Clock } from '@weft/runtime/clock.ts';
import { signChanges } from '@weft/runtime/directory-signature.ts';
import type { Log } from '@weft/runtime/log.ts';
import type { Health } from '@weft/runtime/observability.ts';
import type pg from 'pg';
import type { HubConnection } from './hub-connection.ts';
import { limits } from './limits.ts';
import type { Metrics } from './metrics.ts';
import { takeRows } from './page-changes.ts';
import type { Signer } from './signer.ts';
import { changesTable } from './store/changes-table.ts';
import { shardsTable } from './store/shards-table.ts';

export interface ChangePublisherOptions {
  readonly pool: pg.Pool;
  readonly hub: HubConnection;
  readonly signer: Signer;
  readonly clock: Clock;
  readonly log: Log;
  /** Its part `sql` is what the beat finds. */
  readonly health: Health;
  readonly metrics: Metrics;
}

export class ChangePublisher implements AsyncDisposable {
  readonly #options: ChangePublisherOptions;
  readonly #leave = new AbortController();
  /** Last number told of each shard; a shard not in it begins at its end. */
  readonly #told = new Map<number, bigint>();
  readonly #running: Promise<void>;
  #nap = new AbortController();
  #poked = false;
  #sqlAway = false;

  constructor(options: ChangePublisherOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  /** Something was committed. Never waits. */
  poke(): void {
    this.#poked = true;
    this.#nap.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#leave.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock, health, hub, log, metrics } = this.#options;
    const leave = this.#leave.signal;
    let beatAtMs = clock.monotonic();
    while (!leave.aborted) {
      this.#nap = new AbortController();
      this.#poked = false;
      const beat = clock.monotonic() >= beatAtMs;
      if (beat) beatAtMs = clock.monotonic() + limits.beatMs;
      metrics.hubConnected.set(hub.connected ? 1 : 0);
      try {
        await this.#tell(beat);
        if (this.#sqlAway) log.info('the database answers again');
        this.#sqlAway = false;
      } catch (error) {
        if (!this.#sqlAway) log.error({ err: error }, 'the changes cannot be read');
        this.#sqlAway = true;
        this.#poked = false;
      }
      health.set('sql', !this.#sqlAway);
      if (this.#poked) continue;
      const waitMs = Math.max(0, beatAtMs - clock.monotonic());
      await clock.sleep(waitMs, AbortSignal.any([leave, this.#nap.signal])).catch(() => undefined);
    }
  }

  async #tell(beat: boolean): Promise<void> {
    for (const position of await shardsTable.read(this.#options.pool)) {
      const told = this.#told.get(position.shard) ?? position.n;
      const tooFar = position.n - told > BigInt(limits.backlogChangesMax);
      this.#told.set(position.shard, this.#options.hub.connected && !tooFar ? await this.#tellShard(position, told, beat) : position.n);
    }
  }

  /** At least one message when it is time for a beat, as many as the changes need. Answers the number told. */
  async #tellShard({ shard, n: end }: ShardPosition, from: bigint, beat: boolean): Promise<bigint> {
    const { pool, signer, clock, hub, metrics } = this.#options;
    let told = from;
    let due = beat;
    // At most as many messages as there are changes: each takes at least one.
    while (told < end || due) {
      const rows = told < end ? await changesTable.read(pool, { shard, after: told, upTo: end, limit: limits.messageChangesMax }) : [];
      const changes = takeRows(rows, { changes: limits.messageChangesMax, bytes: limits.messageBytesMax });
      if (told < end && changes.length === 0) throw new Error(`shard ${shard} has no change ${told + 1n}, but counts to ${end}`);
      told += BigInt(changes.length);
      due = false;
      const list = { changes, positions: [{ shard, n: told }], sentAt: BigInt(clock.now()) };
      const signed = signChanges(list, signer.key, signer.version);
      if (hub.publish(subjects.directory(shard), SignedChanges.encode(signed).finish())) metrics.published.inc();
    }
    return told;
  }
}
