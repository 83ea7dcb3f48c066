// Gets the logs this cell owns, or is to own, to where it may give seqs (R23, R25). Nothing here decides: it pulls what can
// be had and then asks the lanes, who look under the lock.
//
// 1. After a restore: every other cell is asked which of our logs it keeps, so that logs born after the backup are found, and
//    which of its logs we lack. Until all have answered, and what they named is here, nothing final is said of what is not.
// 2. A stopped log, or one the directory gave us: the tails of its replicas are pulled, longest last; of a restored owner's
//    from every one of them, for a takeover from those that can be reached. Then the new epoch begins at the head found.
// 3. Own people's intake of before is decided; once none waits, the log is open.
import { WeftError } from '@weft/proto/faults.ts';
import { KeptAnswer, KeptRequest } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { epochParts } from '@weft/proto/positions.ts';
import type { BehindLog } from './anti-entropy.ts';
import { speakerOf } from './decide-epochs.ts';
import { Hearsay, type Naming } from './hearsay.ts';
import { ownerOf } from './log-state.ts';
import type { LogRow } from './ports.ts';
import { type FoundLog, Tails, type TailsOptions } from './tails.ts';
import type { DecideContext } from './working-set.ts';

/** Cells that have given back what the store lost; true: declared lost. */
export interface Regained {
  read(): Promise<ReadonlyMap<number, boolean>>;
  regained(cell: number): Promise<void>;
}

interface PullsOptions {
  readonly back: ReadonlyMap<number, boolean>;
  /** Whether it is still to be got. */
  readonly isThere: (found: FoundLog) => boolean;
  /** False: those that can be reached are enough. */
  readonly isEachNeeded: boolean;
}

export interface OwnershipOptions extends TailsOptions {
  /** All cells but this one. */
  readonly others: () => readonly number[];
  /** As the directory knows it; 0 where it does not. */
  readonly generationOf: (cell: number) => number;
  readonly takeover: DecideContext['takeover'];
  readonly regained: Regained;
  /** Asks another cell for what is kept here of its logs, and tells what it has more. */
  readonly compare: (cell: number) => Promise<readonly BehindLog[]>;
  /** A log is pulled soon. */
  readonly want: (log: bigint, src: number) => void;
  /** Own people's intake goes to its own cell. */
  readonly takeOwn: () => void;
  readonly limits: TailsOptions['limits'] & { readonly unsettledMax: number };
  readonly failed: (error: unknown) => void;
}

export class Ownership {
  readonly #options: OwnershipOptions;
  readonly #tails: Tails;
  readonly #hearsay: Hearsay;
  /** Logs the directory gave to this cell or to another. */
  readonly #given = new Set<bigint>();
  /** As read last. */
  #back: ReadonlyMap<number, boolean> = new Map();
  /** Of each other cell after a restore: its logs that were behind at the first look, and how far they went. */
  readonly #lagging = new Map<number, ReadonlyMap<bigint, number>>();
  /** Of logs that have nobody in that cell, as far as is known here: cells that said they keep them all the same. */
  readonly #keepers = new Map<bigint, Set<number>>();
  /** Cells that have told this process what they keep: another one may have written down that they gave it back. */
  readonly #told = new Set<number>();
  #running = false;
  #again = false;

  constructor(options: OwnershipOptions) {
    this.#options = options;
    this.#tails = new Tails(options);
    this.#hearsay = new Hearsay({ ...options, tails: this.#tails, max: options.limits.unsettledMax });
  }

  /** The directory signed that somebody takes the log over: this cell does, or it has to learn that another one did. */
  given(log: bigint): void {
    this.#given.add(log);
    this.poke();
  }

  /** A log is new here: the directory's word on it may have come before. */
  turnedUp({ log, epoch }: Pick<LogRow, 'log' | 'epoch'>): void {
    if ((this.#options.takeover(log)?.epoch ?? 0n) > epoch) this.given(log);
  }

  /** Somebody there takes this cell for the owner of a log: it may be one that it never heard of. */
  named(log: bigint, by: Naming): void {
    if (this.#hearsay.named(log, by)) this.poke();
  }

  /** That cell has more of a log that is this cell's own. */
  longer(log: bigint, src: number): void {
    if (this.#hearsay.longer(log, src)) this.poke();
  }

  /** Whether that cell gave back what a restore lost, or is declared lost. Where this is not known yet, it is looked at. */
  isBack(cell: number): boolean {
    if (this.#options.generation === 1 || this.#back.has(cell)) return true;
    this.poke();
    return false;
  }

  /** Whether this store holds whatever it held before it was restored, as far as anybody else does. */
  isWhole(): boolean {
    return this.#options.others().every((cell) => this.isBack(cell));
  }

  /** Something may have to be settled now. Two at once, in one node or in two, are harmless. */
  poke(): void {
    this.#again = true;
    if (this.#running) return;
    this.#running = true;
    this.#runAll()
      .catch(this.#options.failed)
      .finally(() => {
        this.#running = false;
      });
  }

  async #runAll(): Promise<void> {
    while (this.#again) {
      this.#again = false;
      await this.run();
    }
  }

  /** One look at everything that is not settled. */
  async run(): Promise<void> {
    const { store, generation, regained, takeover, limits } = this.#options;
    if (generation > 1) await this.#findLost(await regained.read());
    const back = await regained.read();
    this.#back = back;
    await this.#hearsay.look((attempt) => this.#tried(attempt));
    const unsettled = await store.unsettled(limits.unsettledMax);
    // The directory's word may have come before the log did.
    for (const { log } of unsettled) if (takeover(log) !== undefined) this.#given.add(log);
    for (const log of [...this.#given]) if (await this.#tried(() => this.#takeOver(log, back))) this.#given.delete(log);
    for (const { log, status } of unsettled) if (status === 'stopped') await this.#tried(() => this.#regain(log, back));
    if (unsettled.length === 0 && this.#areAllBack(back)) {
      this.#keepers.clear();
      this.#told.clear();
    }
    const draining = unsettled.filter(({ status }) => status === 'intake');
    if (draining.length === 0) return;
    this.#options.takeOwn();
    for (const { log } of draining) await this.#tried(() => this.#settle(log));
  }

  /** A peer that is away is no news: it is tried again. */
  async #tried(attempt: () => Promise<boolean>): Promise<boolean> {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof WeftError)) this.#options.failed(error);
      return false;
    }
  }

  async #settle(log: bigint): Promise<boolean> {
    return (await this.#options.apply({ type: 'settle', log })).type === 'settled';
  }

  /** Logs of ours that only others know. */
  async #findLost(back: ReadonlyMap<number, boolean>): Promise<void> {
    for (const cell of this.#options.others()) {
      if (back.has(cell) || !(await this.#tried(() => this.#findLostAt(cell)))) continue;
      // What was that cell's at the first look, and is not any more, it may have handed over to this one.
      const isAll = await this.#tried(async () => (await this.#hasCaughtUpWith(cell)) && (await this.#findLostAt(cell)));
      if (isAll) await this.#options.regained.regained(cell);
    }
  }

  /** What that cell's logs had at the first look is here, or is not for this cell any more. */
  async #hasCaughtUpWith(cell: number): Promise<boolean> {
    const { compare } = this.#options;
    const behind = new Map((await compare(cell)).map((each) => [each.log, each]));
    // Of one that is in an epoch here that the other one has not heard of, it lacks nothing.
    for (const [log, { epoch }] of behind) if (await this.#isPast(epoch, log, cell)) behind.delete(log);
    const first = this.#lagging.get(cell) ?? new Map([...behind].map(([log, { head }]) => [log, head]));
    const left = new Map([...first].filter(([log, head]) => (behind.get(log)?.held ?? head) < head));
    this.#lagging.set(cell, left);
    return left.size === 0;
  }

  /** Whether a newer epoch of the log is known here. One that is this cell's, or is to be, nobody is asked for: it comes as a tail. */
  async #isPast(epoch: bigint, log: bigint, from: number): Promise<boolean> {
    const { store, takeover, cell } = this.#options;
    const found = await store.readRow(log);
    if (found && found.row.epoch > epoch) return true;
    if (!found || speakerOf(found.row.epoch, takeover(log)) !== cell) return false;
    await this.#tails.pull(log, from);
    const row = (await store.readRow(log))?.row;
    return row !== undefined && row.epoch > epoch && ownerOf(row) === cell;
  }

  async #findLostAt(cell: number): Promise<boolean> {
    const { link, store } = this.#options;
    for (let after = 0n; ; ) {
      const { heads, end } = KeptAnswer.decode(await link.request(cell, 'kept', KeptRequest.encode({ after }).finish()));
      for (const { log, seq } of heads) {
        // Of a log that is known here too: its first member there may have come after the backup.
        const found = await store.readRow(log);
        if (!found || (found.row.status === 'stopped' && Number(seq) > found.row.head)) await this.#tails.pull(log, cell);
        if (found?.state.cells.get(cell)?.until !== 0) this.#keepers.set(log, (this.#keepers.get(log) ?? new Set()).add(cell));
      }
      const last = heads.at(-1);
      if (end || !last) {
        this.#told.add(cell);
        return true;
      }
      after = last.log;
    }
  }

  /** Every replica's tail, then the next epoch. */
  async #regain(log: bigint, back: ReadonlyMap<number, boolean>): Promise<boolean> {
    const { store, cell } = this.#options;
    const isThere = ({ row }: FoundLog): boolean => row.status === 'stopped' && ownerOf(row) === cell;
    const found = await store.readRow(log);
    if (!found || !isThere(found)) return true;
    // Which cells keep a group is known once every cell has said what it keeps.
    if (found.state.kind === 'group' && !(await this.#knowsKeepers(back))) return false;
    if (!(await this.#pullTails(log, { back, isThere, isEachNeeded: true }))) return false;
    return this.#begin(log);
  }

  async #begin(log: bigint): Promise<boolean> {
    const { type } = await this.#options.apply({ type: 'begin', log, keepers: [...(this.#keepers.get(log) ?? [])] });
    const isOver = type === 'applied' || type === 'settled';
    if (isOver) this.#keepers.delete(log);
    return isOver;
  }

  /** The tails of all who keep the log. False when one that is needed cannot be had, or the log is not there to be taken any more. */
  async #pullTails(log: bigint, { back, isThere, isEachNeeded }: PullsOptions): Promise<boolean> {
    const asked = new Set<number>();
    for (let head = -1; ; ) {
      const found = await this.#options.store.readRow(log);
      if (!found || !isThere(found)) return false;
      // What came may be what the run of a cell that joined late continues: all are asked again.
      if (found.row.head > head) asked.clear();
      head = found.row.head;
      asked.add(this.#options.cell);
      // A tail may tell of a cell nobody here knew of. And who joined in what was lost may hold what continues the others' tails.
      const keepers = [...found.state.cells.keys(), ...(this.#keepers.get(log) ?? [])];
      const next = keepers.find((each) => !asked.has(each) && back.get(each) !== true);
      if (next === undefined) return true;
      asked.add(next);
      if (!(await this.#tried(() => this.#tails.pull(log, next))) && isEachNeeded) return false;
    }
  }

  /** A store that was never restored has nothing to get back: a log of it that stands still was stopped by a replica that is ahead. */
  #areAllBack(back: ReadonlyMap<number, boolean>): boolean {
    return this.#options.generation === 1 || this.#options.others().every((each) => back.has(each));
  }

  async #knowsKeepers(back: ReadonlyMap<number, boolean>): Promise<boolean> {
    if (!this.#areAllBack(back)) return false;
    for (const each of this.#options.others()) if (back.get(each) !== true && !this.#told.has(each)) await this.#findLostAt(each);
    return true;
  }

  /** The longest run among the replicas that can be reached, then the epoch the directory signed. */
  async #takeOver(log: bigint, back: ReadonlyMap<number, boolean>): Promise<boolean> {
    const { store, cell, takeover } = this.#options;
    const found = await store.readRow(log);
    const signed = takeover(log);
    // What a restore took of it others give back, and who begins without that gives it up.
    if (!this.#areAllBack(back)) return false;
    if (!found || !signed || signed.epoch <= found.row.epoch) return true;
    if (signed.owner !== cell) {
      this.#options.want(log, signed.owner);
      return false;
    }
    // Without its beginning nobody can own a log.
    if (found.start !== 0) throw new Error(`log ${log} is to be taken over, but what is kept here begins after ${found.start}`);
    // Signed for a life of this store that was lost: then others may hold what was given in it, and all of that is wanted.
    const isRestored = epochParts(signed.epoch).generation !== this.#options.generation;
    if (isRestored && !(await this.#knowsKeepers(back))) return false;
    const isPulled = await this.#pullTails(log, { back, isThere: ({ row }) => signed.epoch > row.epoch, isEachNeeded: isRestored });
    if (!isPulled) return false;
    return this.#begin(log);
  }
}
