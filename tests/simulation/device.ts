// A person's device: sends, sends again what was not answered, follows its logs. What it does and sees is the history.
import { kinds } from '@weft/cells/delivery/entry.ts';
import { agreedUpTo, type EpochStart } from '@weft/cells/delivery/epochs.ts';
import type { AppendOperation, Outcome, Target } from '@weft/cells/delivery/operations.ts';
import { faults } from '@weft/proto/faults.ts';
import { Refused } from '@weft/proto/gen/weft/client/v1/client.ts';
import { birthCell, makeClientEntryId } from '@weft/proto/ids.ts';
import type { Random } from '@weft/runtime/random.ts';
import type { HistoryEvent } from '../history.ts';
import type { CellProcess } from './cell-process.ts';
import { seenOf } from './judge.ts';
import type { MemoryCell } from './memory-cell.ts';
import type { SimulatedTime } from './simulated-time.ts';

export interface DeviceOptions {
  readonly name: string;
  readonly user: bigint;
  readonly session: bigint;
  readonly cell: MemoryCell;
  readonly time: SimulatedTime;
  readonly random: Random;
  /** A living node of the home cell. */
  readonly node: () => CellProcess | undefined;
  readonly record: (event: HistoryEvent) => void;
}

interface Item {
  readonly key: string;
  readonly target: Target;
  readonly clientEntryId: bigint;
  readonly kind: number;
  readonly body: Uint8Array;
  readonly after: number | undefined;
  state: 'new' | 'sent' | 'faulted' | 'pending';
}

interface Followed {
  from: number;
  next: number;
  /** As known when the last entry was shown. */
  epochs: readonly EpochStart[];
}

/** One connection: its node; for each target how often an append was told to come later, and which has to come first (R8). */
interface Connection {
  readonly node: CellProcess;
  readonly order: Map<string, { faults: number; awaited: bigint | undefined }>;
}

const answerMsMax = 4_000;
const inFlightMax = 3;

export class Device {
  readonly options: DeviceOptions;
  readonly followed = new Map<bigint, Followed>();
  readonly #items = new Map<string, Item[]>();
  #connection: Connection | undefined;
  /** Targets whose unanswered appends are faulted one after another before any is sent again. */
  readonly #recovering = new Set<string>();
  /** Own appends whose entry or refusal was seen. */
  readonly #decided = new Set<bigint>();
  #selfSeen = 0;
  #ids = 0;

  constructor(options: DeviceOptions) {
    this.options = options;
  }

  /** Appends without a final answer. */
  get open(): number {
    let open = 0;
    for (const items of this.#items.values()) open += items.length;
    return open;
  }

  /** Those appends, for whoever looks into a seed. */
  waiting(): string[] {
    return [...this.#items.values()].flat().map(({ key, kind, clientEntryId, state }) => `${key} ${kind} ${clientEntryId} ${state}`);
  }

  send(target: Target, kind: number, body: Uint8Array): void {
    const { random } = this.options;
    const key = 'log' in target ? String(target.log) : `${target.pair.low}:${target.pair.high}`;
    const log = 'log' in target ? target.log : this.options.cell.pairs.get(key);
    const clientEntryId = makeClientEntryId(1_767_225_600_001 + this.#ids++, random.int(0x400000));
    const followed = log === undefined ? undefined : this.followed.get(log);
    const after = followed && followed.next > 1 ? followed.next - 1 : undefined;
    const items = this.#items.get(key) ?? [];
    this.#items.set(key, [...items, { key, target, clientEntryId, kind, body, after, state: 'new' }]);
    this.#pump(key);
  }

  /** Looks at what its cell has for it, as pushes and pages would bring it; keeps its connection up. */
  poll(): void {
    this.#readSelf();
    for (const row of this.options.cell.userLogs.values()) if (row.user === this.options.user) this.#follow(row);
    if (!this.#connection?.node.alive) this.#connect();
  }

  #connect(): void {
    const node = this.options.node();
    this.#connection = node && { node, order: new Map() };
    this.#recovering.clear();
    if (!node) return;
    for (const [key, items] of this.#items) {
      for (const item of items) if (item.state !== 'pending') item.state = 'new';
      this.#pump(key);
    }
  }

  /** Sends what is new, in order, a few at a time. */
  #pump(key: string): void {
    const items = this.#items.get(key) ?? [];
    let inFlight = items.filter(({ state }) => state === 'sent').length;
    for (const item of items) {
      if (!this.#connection || inFlight >= inFlightMax || this.#recovering.has(key)) return;
      if (item.state !== 'new') continue;
      inFlight += 1;
      this.#sendItem(item, this.#connection);
    }
  }

  #sendItem(item: Item, connection: Connection): void {
    const { time, user, session, name, record } = this.options;
    const { target, clientEntryId, kind, body, after } = item;
    item.state = 'sent';
    record({
      at: time.nowMs,
      device: name,
      what: 'sent',
      clientEntryId,
      body: Buffer.from(body).toString('base64'),
      ...('log' in target ? { log: target.log } : {}),
      ...(after === undefined ? {} : { after }),
    });
    const operation: AppendOperation = { type: 'append', target, author: user, session, clientEntryId, kind, body };
    time.after(1, () => this.#arrive(item, operation, connection));
    time.after(answerMsMax, () => {
      if (this.#connection === connection && item.state === 'sent') this.#connect();
    });
  }

  /** At the node's edge. */
  #arrive(item: Item, operation: AppendOperation, connection: Connection): void {
    const { node } = connection;
    if (!node.alive) return;
    const order = connection.order.get(item.key) ?? { faults: 0, awaited: undefined };
    connection.order.set(item.key, order);
    const answer = (outcome: Outcome): void => {
      if (outcome.type === 'fault' && faults[outcome.code].retry === 'later' && outcome.code !== 'earlier_faulted') {
        order.faults += 1;
        order.awaited ??= item.clientEntryId;
      }
      this.options.time.after(1, () => this.#answered(item, outcome, connection));
    };
    if ((order.awaited ?? item.clientEntryId) !== item.clientEntryId) return answer({ type: 'fault', code: 'earlier_faulted' });
    order.awaited = undefined;
    // What was waiting when an earlier one was faulted stays faulted, even if that has come again meanwhile.
    const { faults: before } = order;
    const mayRun = (): boolean => order.faults === before;
    if (!node.append(operation, answer, mayRun)) answer({ type: 'fault', code: 'busy' });
  }

  #answered(item: Item, outcome: Outcome, connection: Connection): void {
    const { time, name, record } = this.options;
    // What an earlier connection would have said is lost with it.
    if (this.#connection !== connection) return;
    const at = time.nowMs;
    const { clientEntryId } = item;
    if (outcome.type === 'accepted') {
      const { log, epoch, seq } = outcome.entry;
      record({ at, device: name, what: 'accepted', log, epoch, seq, clientEntryId });
      this.#done(item);
    } else if (outcome.type === 'pending') {
      record({ at, device: name, what: 'pending', clientEntryId });
      if (this.#decided.has(clientEntryId)) this.#done(item);
      item.state = 'pending';
      this.#pump(item.key);
    } else if (outcome.type === 'fault' && faults[outcome.code].retry === 'never') {
      record({ at, device: name, what: 'refused', clientEntryId, code: outcome.code });
      this.#done(item);
    } else {
      if (item.state === 'sent') item.state = 'faulted';
      this.#recovering.add(item.key);
    }
    this.#recover(item.key);
  }

  /** Once everything under way to a log is answered, what was faulted goes out again, in order. */
  #recover(key: string): void {
    const underWay = (this.#items.get(key) ?? []).some(({ state }) => state === 'sent');
    if (!this.#recovering.has(key) || underWay) return;
    const connection = this.#connection;
    this.options.time.after(200, () => {
      if (this.#connection !== connection || !this.#recovering.delete(key)) return;
      for (const item of this.#items.get(key) ?? []) if (item.state === 'faulted') item.state = 'new';
      this.#pump(key);
    });
  }

  #done(item: Item): void {
    const items = this.#items.get(item.key) ?? [];
    this.#items.set(
      item.key,
      items.filter((each) => each !== item),
    );
    this.#pump(item.key);
  }

  #find(clientEntryId: bigint): Item | undefined {
    for (const items of this.#items.values()) for (const item of items) if (item.clientEntryId === clientEntryId) return item;
    return undefined;
  }

  #readSelf(): void {
    const { cell, user, name, time, record } = this.options;
    for (const entry of cell.range(user, this.#selfSeen + 1, Number.MAX_SAFE_INTEGER, 1_000)) {
      this.#selfSeen = entry.seq;
      if (entry.kind !== kinds.appendRefused) continue;
      const { clientEntryId, code } = Refused.decode(entry.body);
      record({ at: time.nowMs, device: name, what: 'refused', clientEntryId, code });
      this.#decided.add(clientEntryId);
      const item = this.#find(clientEntryId);
      if (item?.state === 'pending') this.#done(item);
    }
  }

  #follow(row: { log: bigint; from: number; until: number }): void {
    const { time, name, record, cell } = this.options;
    const { log, from, until } = row;
    let followed = this.followed.get(log);
    if (followed) this.#noteEpochs(log, followed);
    if (followed && (until !== 0 || followed.from !== from)) {
      record({ at: time.nowMs, device: name, what: 'left', log, until: followed.next - 1 });
      this.followed.delete(log);
      // What was decided just before is not shown any more: nobody waits for it.
      for (const item of this.#items.get(String(log)) ?? []) if (item.state === 'pending') this.#done(item);
      followed = undefined;
    }
    if (until !== 0) return;
    if (!followed) {
      followed = { from, next: from, epochs: cell.logs.get(log)?.state.epochs ?? [] };
      this.followed.set(log, followed);
      record({ at: time.nowMs, device: name, what: 'follows', log, from });
    }
    for (const entry of cell.range(log, followed.next, Number.MAX_SAFE_INTEGER, 1_000)) {
      followed.next = entry.seq + 1;
      record({ at: time.nowMs, device: name, what: 'shown', entry: seenOf(entry) });
      // One without an answer is sent again all the same: its node may have told those behind it to wait for it (R8).
      if (entry.author === this.options.user) this.#decided.add(entry.clientEntryId);
      const own = entry.author === this.options.user ? this.#find(entry.clientEntryId) : undefined;
      if (own?.state === 'pending') this.#done(own);
    }
  }

  /** What a newer epoch gave up is forgotten, as `Truncated` or a page's list would have it. */
  #noteEpochs(log: bigint, followed: Followed): void {
    const { cell, time, name, record } = this.options;
    const epochs = cell.logs.get(log)?.state.epochs ?? followed.epochs;
    if (epochs === followed.epochs) return;
    const base = agreedUpTo(followed.epochs, epochs);
    followed.epochs = epochs;
    if (base >= followed.next - 1) return;
    record({ at: time.nowMs, device: name, what: 'truncated', log, epoch: epochs.at(-1)?.epoch ?? 0n, base });
    followed.next = Math.max(base + 1, followed.from);
  }

  /** Cell number of the device's user. */
  get home(): number {
    return birthCell(this.options.user);
  }
}
