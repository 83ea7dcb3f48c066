// What a replica holds of the directory. Records are merged by their highest epoch or version, so the order in which changes arrive does not
// matter; `held` says up to which number of each shard nothing is missing.
import type { CellRecord, ChangeList, ShardPosition, TakeoverRecord, UserRecord } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import { birthCell } from '@weft/proto/ids.ts';
import { directoryShards } from '@weft/proto/subjects.ts';
import { directoryLimits as limits } from './directory-limits.ts';

export interface DirectoryChange {
  /** Records that are newer than what was held. */
  readonly cells: readonly CellRecord[];
  readonly users: readonly UserRecord[];
  readonly takeovers: readonly TakeoverRecord[];
}

export class DirectoryRecords {
  readonly #users = new Map<bigint, UserRecord>();
  readonly #idOfHandle = new Map<string, bigint>();
  readonly #cells = new Map<number, CellRecord>();
  readonly #takeovers = new Map<bigint, TakeoverRecord>();
  readonly #numberOfCell = new Map<string, number>();
  readonly #held: bigint[] = Array.from({ length: directoryShards }, () => 0n);
  readonly #known: bigint[] = Array.from({ length: directoryShards }, () => 0n);
  #usersLeftOut = 0;

  get userCount(): number {
    return this.#users.size;
  }

  /** Users not kept because of usersMax. */
  get usersLeftOut(): number {
    return this.#usersLeftOut;
  }

  /** Some shard is known to be further than what is held without a hole. */
  get behind(): boolean {
    return this.#held.some((n, shard) => n < (this.#known[shard] ?? 0n));
  }

  positions(): ShardPosition[] {
    return this.#held.map((n, shard) => ({ shard, n }));
  }

  userById(id: bigint): UserRecord | undefined {
    return this.#users.get(id);
  }

  userByHandle(handle: string): UserRecord | undefined {
    const id = this.#idOfHandle.get(handle);
    return id === undefined ? undefined : this.#users.get(id);
  }

  users(): IterableIterator<UserRecord> {
    return this.#users.values();
  }

  /** Who took the log over last. */
  takeover(log: bigint): TakeoverRecord | undefined {
    return this.#takeovers.get(log);
  }

  takeovers(): TakeoverRecord[] {
    return [...this.#takeovers.values()];
  }

  /** In order of their numbers. */
  cells(): CellRecord[] {
    return [...this.#cells.values()].sort((a, b) => a.number - b.number);
  }

  cell(nameOrNumber: string | number): CellRecord | undefined {
    const number = typeof nameOrNumber === 'number' ? nameOrNumber : this.#numberOfCell.get(nameOrNumber);
    return number === undefined ? undefined : this.#cells.get(number);
  }

  /** The home that the directory names, else the birth cell; in either case its heir if it is retired. */
  homeOf(id: bigint): number {
    return this.answering(this.#users.get(id)?.home ?? birthCell(id));
  }

  /** Number of the cell that answers for this one: itself, or its heir. */
  answering(number: number): number {
    let at = number;
    for (let hops = 0; hops < limits.heirHopsMax; hops++) {
      const heir = this.#cells.get(at)?.heir ?? 0;
      if (heir === 0) break;
      at = heir;
    }
    return at;
  }

  /** Takes a verified list, from wf.dir or from a pull. Applying one again changes nothing. */
  apply(list: ChangeList): DirectoryChange {
    const cells: CellRecord[] = [];
    const users: UserRecord[] = [];
    const takeovers: TakeoverRecord[] = [];
    for (const { shard, n, what } of list.changes) {
      if (what?.$case === 'user' && this.#mergeUser(what.value)) users.push(what.value);
      if (what?.$case === 'cell' && this.#mergeCell(what.value)) cells.push(what.value);
      if (what?.$case === 'takeover' && this.#mergeTakeover(what.value)) takeovers.push(what.value);
      this.#know(shard, n);
      const held = this.#held[shard];
      if (held !== undefined && n === held + 1n) this.#held[shard] = n;
    }
    for (const { shard, n } of list.positions) this.#know(shard, n);
    return { cells, users, takeovers };
  }

  /** Takes a snapshot: records, and positions up to which it is complete. */
  load(list: ChangeList): void {
    this.apply({ changes: list.changes, positions: [], sentAt: 0n });
    for (const { shard, n } of list.positions) {
      if (shard < directoryShards && n > (this.#held[shard] ?? 0n)) this.#held[shard] = n;
      this.#know(shard, n);
    }
  }

  /**
   * The directory's own answer says where its log ends. If that is before what was held when it was asked, the directory was restored from a backup and will
   * give numbers again: the shard is read anew from its beginning. Answers whether there was one. Never call it with what came over wf.dir:
   * a replayed old message would do the same.
   */
  restart(positions: readonly ShardPosition[], asked: readonly ShardPosition[] = this.positions()): boolean {
    let restarted = false;
    for (const { shard, n } of positions) {
      // What came over wf.dir since may lie beyond the answer.
      if (n >= (asked.find((each) => each.shard === shard)?.n ?? n)) continue;
      this.#held[shard] = 0n;
      this.#known[shard] = n;
      restarted = true;
    }
    return restarted;
  }

  /** The directory's own answer is the end of its log: what a stale message made believe beyond it is forgotten. */
  settle(positions: readonly ShardPosition[]): void {
    for (const { shard, n } of positions) {
      const held = this.#held[shard];
      if (held === undefined) continue;
      this.#known[shard] = held;
      this.#know(shard, n);
    }
  }

  #know(shard: number, n: bigint): void {
    if (n > (this.#known[shard] ?? n)) this.#known[shard] = n;
  }

  #mergeUser(user: UserRecord): boolean {
    const held = this.#users.get(user.id);
    if (held !== undefined && held.epoch >= user.epoch) return false;
    if (held === undefined && this.#users.size >= limits.usersMax) {
      this.#usersLeftOut++;
      return false;
    }
    if (held !== undefined && held.handle !== user.handle && this.#idOfHandle.get(held.handle) === user.id)
      this.#idOfHandle.delete(held.handle);
    this.#users.set(user.id, user);
    this.#idOfHandle.set(user.handle, user.id);
    return true;
  }

  #mergeTakeover(takeover: TakeoverRecord): boolean {
    const held = this.#takeovers.get(takeover.log);
    if (held !== undefined && held.epoch >= takeover.epoch) return false;
    if (held === undefined && this.#takeovers.size >= limits.takeoversMax) return false;
    this.#takeovers.set(takeover.log, takeover);
    return true;
  }

  #mergeCell(cell: CellRecord): boolean {
    const held = this.#cells.get(cell.number);
    if (held !== undefined && held.version >= cell.version) return false;
    if (held === undefined && this.#cells.size >= limits.cellsMax) return false;
    this.#cells.set(cell.number, cell);
    this.#numberOfCell.set(cell.name, cell.number);
    return true;
  }
}
