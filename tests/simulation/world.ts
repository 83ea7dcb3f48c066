// One simulated fabric: three cells of two nodes each, people, faults; all of it drawn from one seed. First everything may
// break; then all is healed, and everything has to come to rest within a bound.

import { createHash } from 'node:crypto';
import { kinds } from '@weft/cells/delivery/entry.ts';
import { groupPair, pairOf } from '@weft/cells/delivery/log-state.ts';
import { RunAgain } from '@weft/cells/delivery/ports.ts';
import { chainStart } from '@weft/proto/chain.ts';
import { Created, MembersAdded, MembersRemoved } from '@weft/proto/gen/weft/client/v1/client.ts';
import { birthCell, idEpochMs, makeClientEntryId, makeId } from '@weft/proto/ids.ts';
import { makeEpoch } from '@weft/proto/positions.ts';
import { type Random, seededRandom } from '@weft/runtime/random.ts';
import type { HistoryEvent } from '../history.ts';
import { CellProcess } from './cell-process.ts';
import { Device } from './device.ts';
import { type Breakable, breakThings } from './faults.ts';
import { judge, unsettled } from './judge.ts';
import { MemoryCell } from './memory-cell.ts';
import { MemoryLogStore, type StoreFaults } from './memory-log-store.ts';
import { MemoryNetwork } from './memory-network.ts';
import { type Mutation, noMutation } from './mutations.ts';
import { ProcessClock, SimulatedTime } from './simulated-time.ts';

export interface Verdict {
  readonly seed: number;
  /** Of everything that happened, in order. */
  readonly hash: string;
  readonly wrong: readonly string[];
  readonly counts: {
    readonly events: number;
    readonly sent: number;
    readonly accepted: number;
    readonly pending: number;
    readonly refused: number;
    readonly shown: number;
  };
  /** Virtual milliseconds from the healing to rest. */
  readonly restMs: number;
}

const startMs = idEpochMs + 1_000_000_000;
const usersPerCell = 2;
const chaosMs = 10_000;
/** The longest wait of anything is a minute between two resends; two of them and some slack. */
const restMsMax = 180_000;

export class World implements Breakable {
  readonly time = new SimulatedTime();
  readonly random: Random;
  readonly network: MemoryNetwork;
  readonly cells: readonly MemoryCell[];
  readonly devices: Device[] = [];
  readonly events: HistoryEvent[] = [];
  readonly storeFaults: StoreFaults = { failBefore: 0, failAfter: 0, failRead: 0 };
  /** Cells in which both nodes believe that they hold the lease. */
  readonly doubleLease = new Set<number>();
  readonly bugs: string[] = [];
  readonly processes = new Map<string, { process: CellProcess; clock: ProcessClock }>();
  readonly #mutation: Mutation;
  readonly #hash = createHash('sha256');
  readonly #nodeNumbers = new Map<number, number>();
  #traced: string[] | undefined;

  constructor(seed: number, mutation: Mutation = noMutation) {
    this.random = seededRandom(seed);
    this.#mutation = mutation;
    this.network = new MemoryNetwork(this.time, this.random, (what) => this.trace(what));
    this.cells = [1, 2, 3].map((number) => new MemoryCell(number));
    for (const cell of this.cells) {
      cell.uniqueEntries = !mutation.entriesNotUnique;
      for (let i = 0; i < usersPerCell; i++) this.#signUp(cell, i);
      for (const node of [0, 1]) this.start(cell.number, node);
    }
  }

  /** Keeps the trace as text, for whoever looks into a seed. */
  keepTrace(): string[] {
    this.#traced = [];
    return this.#traced;
  }

  trace(what: string): void {
    const line = `${this.time.nowMs.toFixed(3)} ${what}`;
    this.#hash.update(line);
    this.#traced?.push(line);
  }

  /** Starts (again) a node of a cell. */
  start(cell: number, node: number): void {
    const number = this.#nodeNumbers.get(cell) ?? 0;
    // Each start has a node number of its own, as leased ones would: ids never repeat.
    this.#nodeNumbers.set(cell, number + 1);
    const clock = new ProcessClock(this.time, startMs, this.random.int(200) - 100);
    const memory = this.cells[cell - 1] as MemoryCell;
    const { time, random, storeFaults } = this;
    const trace = (what: string): void => this.trace(what);
    const process: CellProcess = new CellProcess({
      cell,
      node: number % 32,
      clock,
      store: new MemoryLogStore({ cell: memory, node: number, time, clock, random, faults: storeFaults, trace }),
      link: this.network.link(cell, clock),
      others: this.cells.map((each) => each.number).filter((each) => each !== cell),
      holdsLease: () => this.#holdsLease(cell, node),
      mutation: this.#mutation,
      failed: (what, error) => {
        this.trace(`failed ${cell}.${node} ${what} ${String(error)}`);
        if (!(error instanceof RunAgain) && !/connection was lost/.test(String(error))) this.bugs.push(`${what}: ${String(error)}`);
      },
      rejected: (src, why) => this.trace(`rejected ${cell} ${src} ${why}`),
    });
    this.processes.set(`${cell}.${node}`, { process, clock });
    this.network.join(cell, process);
  }

  kill(cell: number, node: number): void {
    const { clock } = this.processes.get(`${cell}.${node}`) as { clock: ProcessClock };
    clock.kill();
    this.cells[cell - 1]?.abort((holder) => holder === clock);
    this.trace(`kill ${cell}.${node}`);
  }

  #holdsLease(cell: number, node: number): boolean {
    const alive = [0, 1].filter((each) => this.processes.get(`${cell}.${each}`)?.clock.alive);
    return this.doubleLease.has(cell) || alive[0] === node;
  }

  #signUp(cell: MemoryCell, i: number): void {
    const user = makeId(idEpochMs + 10 + this.random.int(1_000_000), cell.number, 0, i);
    const epoch = makeEpoch({ count: 1, cell: cell.number, generation: 1 });
    cell.logs.set(user, {
      row: { log: user, epoch, head: 0, ts: 0, ord: 0, hash: chainStart, version: 1, status: 'open' },
      state: {
        log: user,
        kind: 'self',
        epoch,
        version: 1,
        title: '',
        membersMax: 2,
        creator: user,
        low: user,
        high: 0n,
        members: new Map([[user, { home: cell.number, from: 1 }]]),
        cells: new Map(),
      },
      start: 0,
      entries: new Map(),
      byKey: new Map(),
    });
    for (let device = 0; device <= this.random.int(2); device++) {
      const { time, random } = this;
      this.devices.push(
        new Device({
          name: `${cell.number}/${i}/${device}`,
          user,
          session: user ^ BigInt(device + 1),
          cell,
          time,
          random,
          node: () => this.#someNode(cell.number),
          record: (event) => {
            this.events.push(event);
            this.trace(`${event.device} ${event.what} ${'clientEntryId' in event ? event.clientEntryId : ''}`);
          },
        }),
      );
    }
  }

  #someNode(cell: number): CellProcess | undefined {
    const alive = [0, 1].map((node) => this.processes.get(`${cell}.${node}`)).filter((each) => each?.clock.alive);
    return alive[this.random.int(Math.max(alive.length, 1))]?.process;
  }

  get users(): bigint[] {
    return [...new Set(this.devices.map(({ options }) => options.user))];
  }

  pick<T>(from: readonly T[]): T | undefined {
    return from[this.random.int(Math.max(from.length, 1))];
  }

  /** One thing that a person does now. */
  act(device: Device): void {
    const { random } = this;
    const user = device.options.user;
    const groups = [...device.followed.keys()].filter((log) => device.options.cell.logs.get(log)?.state.kind === 'group');
    const group = this.pick(groups);
    const dice = random.next();
    if (dice < 0.04) return this.#createGroup(device);
    if (group !== undefined && dice < 0.2) return this.#changeMembers(device, group);
    const body = Buffer.from(`${device.options.name} ${this.time.nowMs.toFixed(1)} ${'x'.repeat(random.int(40))}`);
    if (group !== undefined && dice < 0.6) return device.send({ log: group }, kinds.text, body);
    const peer = this.pick(this.users.filter((each) => each !== user)) as bigint;
    return device.send({ pair: pairOf(user, peer) }, kinds.text, body);
  }

  #createGroup(device: Device): void {
    const { user } = device.options;
    const others = this.users.filter((each) => each !== user && this.random.next() < 0.4).slice(0, 2);
    const body = Created.encode({
      kind: 'LOG_KIND_GROUP',
      title: 'group',
      membersMax: 4,
      members: [user, ...others].map((each) => ({ user: each, home: birthCell(each), from: 1n })),
    }).finish();
    const id = makeClientEntryId(startMs + Math.floor(this.time.nowMs), this.random.int(0x400000));
    device.send({ pair: groupPair(user, id) }, kinds.created, body);
  }

  #changeMembers(device: Device, log: bigint): void {
    const state = device.options.cell.logs.get(log)?.state;
    if (!state) return;
    const inside = [...state.members.keys()];
    const outside = this.users.filter((each) => !state.members.has(each));
    const adds = this.random.next() < 0.55 && outside.length > 0;
    const chosen = this.pick(adds ? outside : state.creator === device.options.user ? inside : [device.options.user]);
    if (chosen === undefined) return;
    if (adds) {
      const members = [{ user: chosen, home: birthCell(chosen), from: 0n }];
      device.send({ log }, kinds.membersAdded, MembersAdded.encode({ members }).finish());
    } else device.send({ log }, kinds.membersRemoved, MembersRemoved.encode({ users: [chosen] }).finish());
  }

  async run(seed: number): Promise<Verdict> {
    for (const device of this.devices) this.#live(device);
    const heal = breakThings(this, chaosMs);
    await this.time.run(chaosMs);
    heal();
    const healedMs = this.time.nowMs;
    while (this.time.nowMs < healedMs + restMsMax && !this.#rests()) await this.time.run(this.time.nowMs + 500);
    const restMs = this.time.nowMs - healedMs;
    // What was acknowledged last is still to be read by the devices.
    await this.time.run(this.time.nowMs + 2_000);
    return this.#verdict(seed, restMs);
  }

  #rests(): boolean {
    return unsettled(this.cells).length === 0 && this.devices.every(({ open }) => open === 0);
  }

  #live(device: Device): void {
    const { time, random } = this;
    const poll = (): void => {
      device.poll();
      time.after(150 + random.int(100), poll);
    };
    const act = (): void => {
      if (time.nowMs >= chaosMs) return;
      this.act(device);
      time.after(50 + random.int(900), act);
    };
    time.after(random.int(200), poll);
    time.after(random.int(1_000), act);
  }

  #verdict(seed: number, restMs: number): Verdict {
    const devices = this.devices.map(({ options }) => ({
      device: options.name,
      user: options.user,
      cell: String(options.cell.number),
      settled: true,
    }));
    const unanswered = this.devices.flatMap((device) => device.waiting().map((item) => `${device.options.name} waits for ${item}`));
    const wrong = [...new Set(this.bugs), ...judge({ cells: this.cells, devices, events: this.events }), ...unanswered];
    const count = (what: HistoryEvent['what']): number => this.events.filter((event) => event.what === what).length;
    return {
      seed,
      hash: this.#hash.digest('hex').slice(0, 16),
      wrong,
      counts: {
        events: this.time.ran,
        sent: count('sent'),
        accepted: count('accepted'),
        pending: count('pending'),
        refused: count('refused'),
        shown: count('shown'),
      },
      restMs,
    };
  }
}

export const simulate = (seed: number, mutation?: Mutation): Promise<Verdict> => new World(seed, mutation).run(seed);
