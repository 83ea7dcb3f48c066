// One simulated fabric: cells of several nodes, people with devices, faults; all of it drawn from one seed. First everything
// may break; then all is healed, and everything has to come to rest within a bound.
import { RunAgain } from '@weft/cells/delivery/ports.ts';
import { deliveryLimits } from '@weft/cells/limits.ts';
import { WeftError } from '@weft/proto/faults.ts';
import { idEpochMs, makeId } from '@weft/proto/ids.ts';
import { limits } from '@weft/proto/limits.ts';
import { makeEpoch } from '@weft/proto/positions.ts';
import { type Random, seededRandom } from '@weft/runtime/random.ts';
import type { HistoryEvent } from '../history.ts';
import type { Breakable } from './breakable.ts';
import { breakThings, heal } from './breaking.ts';
import { ClientLink } from './client-link.ts';
import { drawFaults, drawRestores, type Fault, moreRestoringShare, restoringShare } from './fault.ts';
import { Forgeries } from './forgeries.ts';
import { judge, type Pardons, unsettled, wrongMarks } from './judge.ts';
import { MemoryCell } from './memory-cell.ts';
import { MemoryLives } from './memory-life.ts';
import { ConnectionLost, type StoreFaults } from './memory-log-store.ts';
import { type Mutation, noMutation, valued } from './mutation.ts';
import { Person } from './person.ts';
import { forbidRealWorld } from './real-world.ts';
import { Restores } from './restores.ts';
import { drawShape, type Shape } from './shape.ts';
import { nameOf, SimulatedNode, smallLimits } from './simulated-node.ts';
import { inMacrotask, ProcessClock, SimulatedTime } from './simulated-time.ts';
import { Supercluster } from './supercluster.ts';
import { Trace } from './trace.ts';
import { describeError, describeEvent } from './trace-line.ts';
import type { Verdict, WorldOptions } from './verdict.ts';

export type { Verdict, WorldOptions } from './verdict.ts';

const startMs = idEpochMs + 1_000_000_000;
/** The longest wait of anything is a minute between two resends; two of them and some slack. */
const restMsMax = 180_000;
/** The directory hears of a new generation within this. */
const registersAfterMsMax = 1_000;

const shareOf = (restores: boolean | undefined): number => (restores ? moreRestoringShare : restores === undefined ? restoringShare : 0);

export class World implements Breakable {
  readonly time = new SimulatedTime();
  readonly trace = new Trace(() => this.time.nowMs);
  readonly shape: Shape;
  readonly faults: readonly Fault[];
  readonly network: Supercluster;
  readonly cells: readonly MemoryCell[];
  readonly nodes = new Map<string, SimulatedNode>();
  readonly people: Person[] = [];
  readonly events: HistoryEvent[] = [];
  readonly storeFaults: StoreFaults = { failBefore: 0, failAfter: 0, failRead: 0 };
  readonly bugs = new Set<string>();
  readonly lives = new MemoryLives(this.time);
  readonly restores = new Restores();
  readonly forgeries = new Forgeries();
  readonly takeovers = new Map<bigint, { epoch: bigint; owner: number }>();
  readonly #seed: number;
  readonly #mutation: Mutation;
  readonly #random: Random;
  readonly #nodeNumbers = new Map<number, number>();
  readonly #users = new Set<bigint>();
  readonly #given = new Set<string>();
  readonly #pardons: Pardons = { restored: this.restores.cells, given: this.#given };
  readonly #laterCells = new Set<number>();

  constructor({ seed, shape, faults, mutation = noMutation, restores, owners }: WorldOptions) {
    // Each part draws from numbers of its own: what one needs more does not change the others.
    const drawn = seededRandom(seed * 4 + 1);
    this.shape = shape ?? drawShape(drawn);
    this.#seed = seed;
    this.#random = seededRandom(seed * 4 + 2);
    this.#mutation = mutation;
    this.cells = Array.from({ length: this.shape.cells }, (_, i) => new MemoryCell(i + 1));
    this.network = new Supercluster({
      time: this.time,
      random: seededRandom(seed * 4 + 3),
      cells: this.cells.map(({ number }) => ({ name: nameOf(number), region: number % 2 === 1 ? 'r1' : 'r2' })),
      regionMs: this.shape.regionMs,
      inboundBytesMax: this.shape.inboundBytesMax,
      trace: this.trace.add,
    });
    for (const cell of this.cells) {
      if (drawn.next() < this.shape.laterShare) this.#laterCells.add(cell.number);
      cell.uniqueEntries = !mutation.entriesNotUnique;
      for (let i = 0; i < this.shape.usersPerCell; i++) this.#signUp(cell, i);
      for (let node = 0; node < this.shape.nodes; node++) this.start(cell.number, node);
    }
    owners?.(this, { random: seededRandom(seed * 4 + 5), untilMs: this.shape.chaosMs });
    const extent = { ...this.shape, people: this.people.length };
    const share = shareOf(restores ?? (owners ? false : undefined));
    this.faults = faults ?? [...drawFaults(drawn, extent), ...drawRestores(seededRandom(seed * 4), { ...extent, share })];
  }

  /** Starts (again) a node of a cell. */
  start(cell: number, index: number): void {
    const number = this.#nodeNumbers.get(cell) ?? 0;
    // Each start has a node number of its own, as leased ones would: ids never repeat.
    this.#nodeNumbers.set(cell, number + 1);
    const random = seededRandom(this.#seed * 1_000 + cell * 100 + number);
    const store = this.cells[cell - 1] as MemoryCell;
    const generation = this.lives.open(store, index);
    const node: SimulatedNode = new SimulatedNode({
      cell: store,
      generation,
      generationOf: this.lives.published,
      cells: this.cells,
      index,
      number: number % 32,
      time: this.time,
      clock: new ProcessClock(this.time, startMs, random.int(200) - 100),
      random,
      network: this.network,
      storeFaults: this.storeFaults,
      takeover: (log) => this.takeovers.get(log),
      knowsUser: (user) => this.#users.has(user),
      limits: this.shape.small ? smallLimits : deliveryLimits,
      heartbeatMs: this.shape.heartbeatMs,
      later: this.#laterCells.has(cell),
      mutation: this.#mutation,
      trace: this.trace.add,
      died: (why) => {
        this.trace.add(`failpoint ${cell}.${index} ${why}`);
        this.kill(cell, index);
        this.time.after(500, () => this.nodes.get(`${cell}.${index}`)?.alive || this.start(cell, index));
      },
      failed: (what, error) => this.#failed(what, error),
      rejected: (what) => this.trace.add(`rejected ${cell} ${what}`),
    });
    this.nodes.set(`${cell}.${index}`, node);
    const registersAfterMs = generation > this.lives.published(cell) ? random.int(registersAfterMsMax) : 0;
    this.lives.keep(store, index, { clock: node.options.clock, registersAfterMs });
    for (const log of this.takeovers.keys()) node.delivery.ownership.given(log);
    this.trace.add(`start ${cell}.${index}`);
  }

  /** The directory signs; every node hears of it. */
  sign(log: bigint, takeover: { epoch: bigint; owner: number }): void {
    this.takeovers.set(log, takeover);
    this.#given.add(`${log}/${takeover.owner}`);
    for (const node of this.nodes.values()) if (node.alive) node.delivery.ownership.given(log);
  }

  kill(cell: number, index: number): void {
    const node = this.nodes.get(`${cell}.${index}`) as SimulatedNode;
    node.kill();
    this.cells[cell - 1]?.abort((holder) => holder === node.options.clock);
    this.trace.add(`kill ${cell}.${index}`);
  }

  /** The whole run. From anywhere; one at a time in a process. */
  run(): Promise<Verdict> {
    return inMacrotask(() => {
      const rejected = (error: unknown): void => void this.bugs.add(`nobody caught: ${String(error)}`);
      process.on('unhandledRejection', rejected);
      using _ = forbidRealWorld();
      using __ = valued(limits, 'groupMembersDefault', this.shape.groupMembersDefault);
      using ___ = this.#mutation.patch?.();
      try {
        return this.#run();
      } finally {
        process.off('unhandledRejection', rejected);
      }
    });
  }

  #run(): Verdict {
    const { chaosMs } = this.shape;
    let restMs = 0;
    try {
      for (const person of this.people) this.#live(person);
      breakThings(this, this.faults);
      this.time.run(chaosMs);
      heal(this);
      const healedMs = this.time.nowMs;
      this.#rest(healedMs);
      restMs = this.time.nowMs - healedMs;
      // What was acknowledged last is still on its way to the devices, and what they say to it on its way back.
      this.time.run(this.time.nowMs + 2_000);
      this.#rest(healedMs);
    } catch (error) {
      this.bugs.add(`thrown: ${error instanceof Error ? (error.stack ?? '') : String(error)}`);
    }
    return this.#verdict(restMs);
  }

  #rest(healedMs: number): void {
    while (this.time.nowMs < healedMs + restMsMax && this.#restless().length > 0) this.time.run(this.time.nowMs + 500);
  }

  /** What keeps the fabric from being at rest. */
  #restless(): string[] {
    const found = [...unsettled(this.cells, this.#pardons), ...this.restores.regaining(this.cells)];
    for (const person of this.people) {
      if (!person.isLive) found.push(`${person.options.name} is ${person.weft?.state.name ?? 'not started'}`);
      if (person.open > 0) found.push(...person.waiting().map((item) => `${person.options.name} waits for ${item}`));
    }
    if (found.length > 0) return found;
    return [...this.people.flatMap((person) => this.#lacking(person)), ...wrongMarks(this.cells, this.restores.cells)];
  }

  /** Logs that a device does not hold up to their end. */
  #lacking(person: Person): string[] {
    const cell = this.cells[person.options.home - 1] as MemoryCell;
    return [...cell.logsOf(person.user).values()].flatMap(({ log, until }) => {
      const head = cell.logs.get(log)?.row.head ?? 0;
      const held = until === 0 && log !== person.user ? person.headOf(log) : head;
      const isGone = held > head && this.restores.endedLogs.has(log) && this.restores.cells.has(cell.number);
      return held === head || isGone ? [] : [`${person.options.name} holds log ${log} to ${held} of ${head}`];
    });
  }

  #failed(what: string, error: unknown): void {
    // Expected: a database that is away, and what the catalogue of faults names.
    const expected =
      error instanceof RunAgain || error instanceof ConnectionLost || (error instanceof WeftError && error.code !== 'internal');
    if (!expected) this.bugs.add(`${what}: ${describeError(error)}`);
  }

  #signUp(cell: MemoryCell, i: number): void {
    const random = this.#random;
    const user = makeId(idEpochMs + 10 + random.int(1_000_000), cell.number, 0, i % 32);
    this.#users.add(user);
    cell.addSelfLog(user, makeEpoch({ count: 1, cell: cell.number, generation: 1 }));
    const urls = Array.from({ length: this.shape.nodes }, (_, node) => `http://${nameOf(cell.number)}-${node}`);
    for (let device = 0; device <= random.int(this.shape.devicesMax); device++) {
      const own = seededRandom(this.#seed * 10_000 + this.people.length);
      const person = new Person({
        name: `${cell.number}/${i + 1}${device === 0 ? '' : `/${device + 1}`}`,
        user,
        session: user ^ BigInt(device + 1),
        home: cell.number,
        urls: own.next() < 0.5 ? urls : urls.toReversed(),
        encoding: own.next() < this.shape.jsonShare ? 'json' : 'proto',
        later: own.next() < this.shape.laterShare,
        deliveredMarks: this.shape.deliveredMarks,
        tokenMs: this.shape.tokenMs,
        time: this.time,
        random: own,
        newClock: () => new ProcessClock(this.time, startMs, own.int(2_000) - 1_000),
        connect: (of, handlers) => this.#connect(of, handlers),
        record: (event) => {
          this.events.push(this.restores.asFarAsKnown(event, cell.number));
          this.trace.add(describeEvent(event));
        },
        failed: (what, error) => this.#failed(what, error),
      });
      this.people.push(person);
    }
  }

  #connect(
    of: { person: Person; url: string; protocol: string },
    handlers: ConstructorParameters<typeof ClientLink>[0]['handlers'],
  ): ClientLink {
    const { person, url, protocol } = of;
    const [, cell, index] = /c(\d+)-(\d+)/.exec(url) as unknown as [string, string, string];
    const node = this.nodes.get(`${cell}.${index}`) as SimulatedNode;
    const delayMs = 1 + person.options.random.next() * 20;
    const { time, shape } = this;
    const link = new ClientLink({
      time,
      client: person.clock,
      node: node.options.clock,
      protocol,
      handlers,
      delayMs,
      later: person.options.later,
      weight: shape.socketWeight,
    });
    if (node.alive) node.admit(link);
    else link.nodeDied();
    return link;
  }

  #live(person: Person): void {
    const { time, shape } = this;
    const { random } = person.options;
    const act = (): void => {
      if (time.nowMs >= shape.chaosMs) return;
      if (person.clock.alive && !person.clock.frozen) this.#act(person);
      time.after(pause(), act);
    };
    const pause = (): number => (0.1 + random.next() * 1.9) * shape.actEveryMs;
    time.after(random.int(300), () => person.start());
    time.after(random.int(500) + pause(), act);
  }

  /** One thing that a person does now. */
  #act(person: Person): void {
    const { random } = person.options;
    const groups = [...person.groups];
    const group = groups[random.int(Math.max(groups.length, 1))];
    const dice = random.next();
    const many = random.next() < 0.2 ? 1 + random.int(this.shape.burstMax) : 1;
    const write = (send: (text: string) => void): void => {
      for (let i = 0; i < many; i++)
        send(`${person.options.name} ${this.time.nowMs.toFixed(1)} ${i} ${'x'.repeat(random.int(this.shape.textMax))}`);
    };
    const others = [...this.#users].filter((user) => user !== person.user);
    const peer = others[random.int(others.length)] as bigint;
    if (dice < this.shape.groupShare) return person.createGroup(others.filter(() => random.next() < 0.4).slice(0, 3));
    if (group !== undefined && dice < this.shape.groupShare + this.shape.changeShare) return this.#changeMembers(person, group);
    if (group !== undefined && dice < 0.6) return write((text) => person.sendTo(group, text));
    const logs = [...person.logs.keys()];
    const log = logs[random.int(Math.max(logs.length, 1))];
    if (log !== undefined && dice > 0.95) return person.read(log);
    if (log !== undefined && dice > 0.9) return person.markSeen(log);
    return write((text) => person.sendToPeer(peer, text));
  }

  #changeMembers(person: Person, log: bigint): void {
    const state = this.cells[person.options.home - 1]?.logs.get(log)?.state;
    if (!state) return;
    const { random } = person.options;
    const pick = (from: readonly bigint[]): bigint | undefined => from[random.int(Math.max(from.length, 1))];
    const outside = pick([...this.#users].filter((user) => !state.members.has(user)));
    if (random.next() < 0.55 && outside !== undefined) return person.changeMembers(log, { add: outside });
    const inside = pick(state.creator === person.user ? [...state.members.keys()] : [person.user]);
    if (inside !== undefined) person.changeMembers(log, { remove: inside });
  }

  #verdict(restMs: number): Verdict {
    for (const person of this.people) person.closeLeft(this.cells[person.options.home - 1] as MemoryCell);
    const devices = this.people.flatMap((person) => person.records());
    const restless = this.#restless().map((what) => `liveness: ${what}`);
    const { cells, events, restores, forgeries } = this;
    const wrong = [...this.bugs, ...judge({ cells, devices, events, restores, pardons: this.#pardons, forgeries }), ...restless];
    const count = (what: HistoryEvent['what']): number => this.events.reduce((sum, event) => sum + (event.what === what ? 1 : 0), 0);
    return {
      seed: this.#seed,
      hash: this.trace.digest(),
      wrong: [...new Set(wrong)],
      faults: this.faults,
      counts: {
        events: this.time.ran,
        sent: count('sent'),
        accepted: count('accepted'),
        pending: count('pending'),
        refused: count('refused'),
        shown: count('shown'),
      },
      virtualMs: this.time.nowMs,
      restMs,
    };
  }
}

export const simulate = (options: WorldOptions): Promise<Verdict> => new World(options).run();
