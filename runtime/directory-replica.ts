// The directory as every process carries it: in memory, on disk, and following the truth when it can be reached.
//
// 1. open(): the snapshot on disk is loaded; an unusable one is told and ignored.
// 2. A loop pulls ReadChanges each second, and at once when wf.dir shows a hole. While the directory is away it tries on with back-off, and
//    everything that is held goes on being served.
// 3. Signed changes from wf.dir go in through offer(): faster than the pull, and never needed.
// 4. What changed is written back to the snapshot, at most every two seconds and once more on leaving.
// Nothing is believed without the pinned key's signature, whichever way it came.
import type { KeyObject } from 'node:crypto';
import { join } from 'node:path';
import { type CellRecord, type ChangeList, SignedChanges, type UserRecord } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import { epochParts } from '@weft/proto/positions.ts';
import type { Clock } from './clock.ts';
import { type Directory, DirectoryClient } from './directory-client.ts';
import { directoryLimits as limits } from './directory-limits.ts';
import { type DirectoryChange, DirectoryRecords } from './directory-records.ts';
import { directoryPublicKey, openChanges } from './directory-signature.ts';
import { DirectorySnapshot } from './directory-snapshot.ts';
import type { Log } from './log.ts';
import type { TlsIdentity } from './mutual-tls.ts';
import type { Random } from './random.ts';
import { fullJitter } from './retry.ts';

export interface DirectoryReplicaOptions {
  /** host:port of the control plane (WEFT_DIRECTORY_ADDR). */
  readonly address: string;
  readonly token: string;
  readonly tls?: TlsIdentity | undefined;
  /** WEFT_DIRECTORY_KEY: 32 raw bytes. */
  readonly publicKey: Uint8Array;
  /** WEFT_DATA_DIR; the file is directory.snapshot. Two processes must not share it. */
  readonly dataDir: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export type Offered = 'applied' | 'hole' | 'bad-signature';

interface Listeners {
  change: Set<(change: DirectoryChange) => void>;
  rejected: Set<(from: 'bus' | 'pull') => void>;
}

export class DirectoryReplica implements AsyncDisposable {
  readonly #options: DirectoryReplicaOptions;
  readonly #client: DirectoryClient;
  readonly #key: KeyObject;
  readonly #records = new DirectoryRecords();
  readonly #snapshot: DirectorySnapshot;
  readonly #listeners: Listeners = { change: new Set(), rejected: new Set() };
  readonly #leave = new AbortController();
  #nap = new AbortController();
  #following: Promise<void> = Promise.resolve();
  #saving: Promise<void> = Promise.resolve();
  #saveTimer: Disposable | undefined;
  #saveDelayMs: number = limits.snapshotEveryMs;
  #dirty = false;
  #failures = 0;
  #confirmedMs = Number.NEGATIVE_INFINITY;
  #rejected = 0;

  private constructor(options: DirectoryReplicaOptions) {
    this.#options = options;
    this.#client = new DirectoryClient(options.address, options.token, options.tls);
    this.#key = directoryPublicKey(options.publicKey);
    this.#snapshot = new DirectorySnapshot(join(options.dataDir, 'directory.snapshot'), options.publicKey);
  }

  /** Loads the snapshot and begins to follow. Never waits for the directory. */
  static async open(options: DirectoryReplicaOptions): Promise<DirectoryReplica> {
    const replica = new DirectoryReplica(options);
    const read = await replica.#snapshot.read();
    if (read.kind === 'read') replica.#records.load(read.list);
    if (read.kind === 'unusable')
      options.log.error({ reason: read.reason }, 'the directory snapshot is unusable; the directory is read anew');
    replica.#following = replica.#follow();
    return replica;
  }

  /** Calls to the directory itself. */
  get directory(): Directory {
    return this.#client;
  }

  /** The end of the directory's log was read within the last freshMsMax: who is not here does not exist. False once users were left out. */
  get fresh(): boolean {
    return (
      this.#options.clock.monotonic() - this.#confirmedMs <= limits.freshMsMax && !this.#records.behind && this.#records.usersLeftOut === 0
    );
  }

  /** Lists whose signature was missing or wrong, so far. */
  get rejected(): number {
    return this.#rejected;
  }

  get userCount(): number {
    return this.#records.userCount;
  }

  /** Users that did not fit (usersMax). */
  get usersLeftOut(): number {
    return this.#records.usersLeftOut;
  }

  /** In order of their numbers. */
  cells(): CellRecord[] {
    return this.#records.cells();
  }

  cell(nameOrNumber: string | number): CellRecord | undefined {
    return this.#records.cell(nameOrNumber);
  }

  /** Who took this log over last, by the directory's word; the owner is in the epoch. */
  takeover(log: bigint): { readonly epoch: bigint; readonly owner: number } | undefined {
    const found = this.#records.takeover(log);
    return found && { epoch: found.epoch, owner: epochParts(found.epoch).cell };
  }

  takeovers(): { readonly log: bigint; readonly epoch: bigint; readonly owner: number }[] {
    return this.#records.takeovers().map(({ log, epoch }) => ({ log, epoch, owner: epochParts(epoch).cell }));
  }

  /** By normalised handle. */
  userByHandle(handle: string): UserRecord | undefined {
    return this.#records.userByHandle(handle);
  }

  /** Ids of the people whose home is this cell by the directory's word. */
  usersAt(home: number): bigint[] {
    return [...this.#records.users()].filter((user) => user.home === home).map(({ id }) => id);
  }

  userById(id: bigint): UserRecord | undefined {
    return this.#records.userById(id);
  }

  /** Number of the user's home cell: the directory's word, else the birth cell; its heir if that is retired. Works for ids never heard of. */
  homeOf(id: bigint): number {
    return this.#records.homeOf(id);
  }

  /** Number of the cell that answers for this one: itself, or its heir once it is retired. */
  answering(number: number): number {
    return this.#records.answering(number);
  }

  /** `change`: records that became newer, called at once and in order. `rejected`: a list without the directory's signature was dropped. */
  on(event: 'change', fn: (change: DirectoryChange) => void): Disposable;
  on(event: 'rejected', fn: (from: 'bus' | 'pull') => void): Disposable;
  on(event: keyof Listeners, fn: ((change: DirectoryChange) => void) & ((from: 'bus' | 'pull') => void)): Disposable {
    const listeners: Set<typeof fn> = this.#listeners[event] as Set<typeof fn>;
    listeners.add(fn);
    return { [Symbol.dispose]: () => void listeners.delete(fn) };
  }

  /** Takes a message of wf.dir. `hole`: something before it is missing and is being pulled. */
  offer(bytes: Uint8Array): Offered {
    const list = this.#open(decode(bytes), 'bus');
    if (list === undefined) return 'bad-signature';
    this.#apply(list);
    if (!this.#records.behind) return 'applied';
    // While the directory is away its back-off holds: beats must not turn it into a busy loop.
    if (this.#failures === 0) this.#nap.abort();
    return 'hole';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#leave.abort();
    await this.#following;
    this.#saveTimer?.[Symbol.dispose]();
    this.#saveTimer = undefined;
    await this.#saving;
    if (this.#dirty) await this.#save();
    this.#client[Symbol.dispose]();
  }

  async #follow(): Promise<void> {
    const { clock, log, random } = this.#options;
    const leave = this.#leave.signal;
    while (!leave.aborted) {
      this.#nap = new AbortController();
      try {
        await this.#pull(leave);
        if (this.#failures > 0) log.info({ after: this.#failures }, 'the directory answers again');
        this.#failures = 0;
      } catch (error) {
        if (leave.aborted) return;
        if (this.#failures++ === 0) log.warn({ err: error }, 'the directory does not answer; going on with what is held');
      }
      const backOff = { baseMs: limits.pullBackOffMs, capMs: limits.pullBackOffMsMax };
      const delayMs = this.#failures === 0 ? limits.pullEveryMs : limits.pullPauseMsMin + fullJitter(this.#failures, backOff, random);
      await clock.sleep(delayMs, AbortSignal.any([leave, this.#nap.signal])).catch(() => undefined);
    }
  }

  /** Reads page after page to the end of the log. */
  async #pull(signal: AbortSignal): Promise<void> {
    for (let pages = 0; pages < limits.pullPagesMax; pages++) {
      const asked = this.#records.positions();
      const answer = await this.#client.readChanges({ after: asked, limit: limits.pullChangesMax }, signal);
      const list = this.#open(answer.signed, 'pull');
      if (list === undefined) throw new Error('the directory answered with a list that the pinned key did not sign');
      if (this.#records.restart(list.positions, asked)) {
        this.#options.log.error('the log of the directory ends before what is held here: it was restored, and is read anew');
        continue;
      }
      this.#apply(list);
      if (!answer.end) continue;
      this.#records.settle(list.positions);
      this.#confirmedMs = this.#options.clock.monotonic();
      return;
    }
  }

  #open(signed: SignedChanges | undefined, from: 'bus' | 'pull'): ChangeList | undefined {
    const list = signed === undefined ? undefined : openChanges(signed, this.#key);
    if (list !== undefined) return list;
    this.#rejected++;
    for (const fn of this.#listeners.rejected) fn(from);
    return undefined;
  }

  #apply(list: ChangeList): void {
    const before = this.#records.positions();
    const change = this.#records.apply(list);
    const moved = this.#records.positions().some(({ n }, shard) => n !== before[shard]?.n);
    if (change.cells.length + change.users.length + change.takeovers.length > 0) {
      for (const fn of this.#listeners.change) fn(change);
    } else if (!moved) return;
    this.#dirty = true;
    this.#saveTimer ??= this.#options.clock.timer(this.#saveDelayMs, () => {
      this.#saving = this.#save();
    });
  }

  /** Never rejects: what cannot be written is tried again, and nothing else depends on it until the next start. */
  async #save(): Promise<void> {
    const { clock, log } = this.#options;
    const startMs = clock.monotonic();
    this.#dirty = false;
    try {
      await this.#snapshot.write(this.#records);
    } catch (error) {
      this.#dirty = true;
      log.error({ err: error }, 'the directory snapshot could not be written; trying again');
    }
    this.#saveDelayMs = Math.max(limits.snapshotEveryMs, Math.round((clock.monotonic() - startMs) * limits.snapshotTimeShare));
    this.#saveTimer = undefined;
    // Changes that came while writing, or a write that failed.
    if (this.#dirty && !this.#leave.signal.aborted) {
      this.#saveTimer = clock.timer(this.#saveDelayMs, () => {
        this.#saving = this.#save();
      });
    }
  }
}

function decode(bytes: Uint8Array): SignedChanges | undefined {
  if (bytes.length > limits.messageBytesMax) return undefined;
  try {
    return SignedChanges.decode(bytes);
  } catch {
    return undefined;
  }
}
