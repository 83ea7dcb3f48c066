// Carries out the faults of a run, and takes them all back at the end.

import type { Breakable } from './breakable.ts';
import { type Fault, type FaultKind, restoreKind } from './fault.ts';
import { lie } from './lie.ts';
import type { MemoryCell } from './memory-cell.ts';
import type { Person } from './person.ts';
import { nameOf, type SimulatedNode } from './simulated-node.ts';

type Breaking = (world: Breakable, fault: Fault) => void;

const cellOf = (world: Breakable, fault: Fault): MemoryCell => world.cells[fault.cell] as MemoryCell;
const personOf = (world: Breakable, fault: Fault): Person => world.people[fault.person] as Person;
const nodeOf = (world: Breakable, fault: Fault): SimulatedNode | undefined => world.nodes.get(`${fault.cell + 1}.${fault.node}`);

/** Something that is so for a while. */
const during =
  (begin: Breaking, end: Breaking): Breaking =>
  (world, fault) => {
    begin(world, fault);
    world.time.after(fault.forMs, () => end(world, fault));
  };

const cut = (linksOf: (world: Breakable, fault: Fault) => readonly string[]): Breaking =>
  during(
    (world, fault) => linksOf(world, fault).forEach((link) => void world.network.cut(link)),
    (world, fault) => linksOf(world, fault).forEach((link) => void world.network.mend(link)),
  );

const out = (fault: Fault): string => `${nameOf(fault.cell + 1)}>hub`;
const into = (fault: Fault): string => `hub>${nameOf(fault.cell + 1)}`;

/** A chance that is higher for a while. */
function chance<F extends object>(of: (world: Breakable) => F, name: keyof F, most: number): Breaking {
  return during(
    (world, fault) => Object.assign(of(world), { [name]: fault.strength * most }),
    (world) => Object.assign(of(world), { [name]: 0 }),
  );
}

function killNode(world: Breakable, fault: Fault): void {
  killOne(world, fault.cell + 1, { node: fault.node, forMs: fault.forMs });
}

function killOne(world: Breakable, cell: number, { node, forMs }: { readonly node: number; readonly forMs: number }): void {
  if (!world.nodes.get(`${cell}.${node}`)?.alive) return;
  world.kill(cell, node);
  world.time.after(forMs, () => world.nodes.get(`${cell}.${node}`)?.alive || world.start(cell, node));
}

function killCell(world: Breakable, fault: Fault): void {
  for (let node = 0; node < world.shape.nodes; node++) killOne(world, fault.cell + 1, { node, forMs: fault.forMs });
}

/** A node dies at a named point of the code, at one of its next passes. */
const crashAt =
  (name: 'after-commit-before-tell' | 'after-publish-before-acknowledgement'): Breaking =>
  (world, fault) => {
    nodeOf(world, fault)?.failpoints.arm(name, 1 + Math.floor(fault.strength * 4));
  };

function freeze(world: Breakable, fault: Fault): void {
  const clock = nodeOf(world, fault)?.options.clock;
  if (!clock?.alive || clock.frozen) return;
  clock.freeze();
  world.time.after(fault.forMs, () => clock.alive && clock.frozen && clock.thaw());
}

function stopSql(world: Breakable, fault: Fault): void {
  const cell = cellOf(world, fault);
  cell.down = true;
  cell.abort(() => true);
  world.time.after(Math.min(fault.forMs, 1_500), () => {
    cell.down = false;
  });
}

function stopCell(world: Breakable, fault: Fault): void {
  const name = nameOf(fault.cell + 1);
  killCell(world, fault);
  // Meanwhile its broker stores what nobody takes out.
  world.time.after(fault.forMs / 2, () => {
    world.network.stop(name);
    if (fault.strength < 0.3) world.network.wipe(name);
    else if (fault.strength < 0.6) world.network.cutPower(name);
    world.network.start(name);
  });
}

const client =
  (begin: (person: Person) => void, end: (person: Person) => void): Breaking =>
  (world, fault) => {
    const person = personOf(world, fault);
    begin(person);
    world.time.after(fault.forMs, () => end(person));
  };

const breakings: Readonly<Record<FaultKind, Breaking>> = {
  'kill-node': killNode,
  'crash-after-commit': crashAt('after-commit-before-tell'),
  'crash-after-publish': crashAt('after-publish-before-acknowledgement'),
  'freeze-node': freeze,
  'freeze-cell': (world, fault) => {
    for (let node = 0; node < world.shape.nodes; node++) freeze(world, { ...fault, node });
  },
  'drain-node': (world, fault) => {
    const node = nodeOf(world, fault);
    if (!node?.alive || node.options.clock.frozen) return;
    node.edge.leave('');
    world.time.after(1_000, () => node.alive && killNode(world, fault));
  },
  'stop-cell': stopCell,
  'cut-out': cut((_, fault) => [out(fault)]),
  'cut-in': cut((_, fault) => [into(fault)]),
  'cut-off': cut((_, fault) => [out(fault), into(fault)]),
  'cut-regions': cut((_, fault) => (fault.strength < 0.5 ? ['r1>r2', 'r2>r1'] : ['r1>r2'])),
  lossy: chance((world) => world.network.faults, 'lose', 0.2),
  duplicating: chance((world) => world.network.faults, 'duplicate', 0.3),
  late: chance((world) => world.network.faults, 'late', 0.4),
  'drop-pushes': chance((world) => world.network.faults, 'dropPush', 1),
  'leave-out-push': (world, fault) => nodeOf(world, fault)?.failpoints.arm('drop-push', 1 + Math.floor(fault.strength * 4), 4),
  'stop-broker': during(
    (world, fault) => world.network.stop(nameOf(fault.cell + 1)),
    (world, fault) => world.network.start(nameOf(fault.cell + 1)),
  ),
  'wipe-broker': (world, fault) => world.network.wipe(nameOf(fault.cell + 1)),
  'lose-stream': (world, fault) => world.network.broker(nameOf(fault.cell + 1)).stream.lose(),
  'power-cut': (world, fault) => world.network.cutPower(nameOf(fault.cell + 1)),
  'change-leader': (world, fault) => world.network.changeLeader(nameOf(fault.cell + 1)),
  'full-stream': during(
    (world, fault) => Object.assign(world.network.broker(nameOf(fault.cell + 1)), { isFull: true }),
    (world, fault) => Object.assign(world.network.broker(nameOf(fault.cell + 1)), { isFull: false }),
  ),
  'stop-sql': stopSql,
  'stop-sql-and-nodes': (world, fault) => {
    stopSql(world, { ...fault, forMs: 300 });
    world.time.after(300, () => killCell(world, { ...fault, forMs: 500 }));
  },
  'sql-before-commit': chance((world) => world.storeFaults, 'failBefore', 0.2),
  'sql-after-commit': chance((world) => world.storeFaults, 'failAfter', 0.2),
  'sql-reads': chance((world) => world.storeFaults, 'failRead', 0.1),
  'step-clock': (world, fault) => nodeOf(world, fault)?.options.clock.step(Math.round((fault.strength - 0.5) * 2_000)),
  'steal-leases': (world, fault) => cellOf(world, fault).leases.clear(),
  'slow-reader': client(
    (person) => person.links.forEach((link) => void link.tcp.stall(true)),
    (person) => person.links.forEach((link) => void link.tcp.stall(false)),
  ),
  'sever-client': client(
    (person) => person.links.forEach((link) => void link.sever()),
    (person) => person.links.forEach((link) => void link.heal()),
  ),
  'reset-client': (world, fault) => personOf(world, fault).links.forEach((link) => void link.breakOff()),
  'kill-client': client(
    (person) => person.kill(),
    (person) => person.clock.alive || person.start(),
  ),
  'freeze-client': client(
    (person) => person.clock.freeze(),
    (person) => person.clock.frozen && person.clock.thaw(),
  ),
  'restore-cell': (world, fault) => world.restores.restore(world, fault),
  lie,
};

/** Each fault at its time, while the chaos lasts. */
export function breakThings(world: Breakable, faults: readonly Fault[]): void {
  for (const fault of faults) {
    if (fault.kind === restoreKind) world.restores.schedule(world, fault);
    world.time.after(fault.atMs, () => {
      world.trace.add(
        `fault ${fault.kind} cell ${fault.cell + 1} node ${fault.node} person ${fault.person + 1} ${fault.strength.toFixed(3)}`,
      );
      breakings[fault.kind](world, fault);
    });
  }
}

export function heal(world: Breakable): void {
  const { network, storeFaults } = world;
  Object.assign(network.faults, { lose: 0, duplicate: 0, late: 0, dropPush: 0 });
  Object.assign(storeFaults, { failBefore: 0, failAfter: 0, failRead: 0 });
  network.healAll();
  for (const cell of world.cells) cell.down = false;
  for (const broker of network.brokers.values()) {
    broker.isFull = false;
    network.start(broker.cell);
  }
  for (const [key, node] of world.nodes) {
    const [cell, index] = key.split('.').map(Number) as [number, number];
    node.failpoints.disarm();
    if (!node.alive) world.start(cell, index);
    else if (node.options.clock.frozen) node.options.clock.thaw();
  }
  for (const person of world.people) {
    if (!person.clock.alive) person.start();
    else if (person.clock.frozen) person.clock.thaw();
    for (const link of person.links) {
      link.heal();
      link.tcp.stall(false);
    }
  }
  world.trace.add('healed');
}
