// What breaks in one run, drawn from its seed: how often, what and when. Healing takes it all back.

import { kinds } from '@weft/cells/delivery/entry.ts';
import { ownerOf } from '@weft/cells/delivery/log-state.ts';
import type { IntakeRow } from '@weft/cells/delivery/ports.ts';
import { Envelope, EnvelopesFrame, IntakeFrame } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { makeId } from '@weft/proto/ids.ts';
import type { Random } from '@weft/runtime/random.ts';
import { encodeRuns } from './entry-wire.ts';
import { sharedLogs } from './judge.ts';
import type { MemoryCell } from './memory-cell.ts';
import type { StoreFaults } from './memory-log-store.ts';
import type { MemoryNetwork } from './memory-network.ts';
import type { ProcessClock, SimulatedTime } from './simulated-time.ts';

/** What of a world can be broken. */
export interface Breakable {
  readonly time: SimulatedTime;
  readonly random: Random;
  readonly network: MemoryNetwork;
  readonly cells: readonly MemoryCell[];
  readonly storeFaults: StoreFaults;
  readonly doubleLease: Set<number>;
  readonly processes: ReadonlyMap<string, { readonly clock: ProcessClock }>;
  pick<T>(from: readonly T[]): T | undefined;
  start(cell: number, node: number): void;
  kill(cell: number, node: number): void;
  trace(what: string): void;
}

type Fault = (world: Breakable, forMs: number) => void;

const faultsMax = 10;

/** Breaks things during the next `chaosMs`, until the returned function heals them. */
export function breakThings(world: Breakable, chaosMs: number): () => void {
  const { random, time, network, storeFaults } = world;
  network.faults.lose = random.next() < 0.5 ? random.next() * 0.15 : 0;
  network.faults.duplicate = random.next() < 0.5 ? random.next() * 0.2 : 0;
  network.faults.late = random.next() < 0.5 ? random.next() * 0.3 : 0;
  storeFaults.failBefore = random.next() < 0.5 ? random.next() * 0.1 : 0;
  storeFaults.failAfter = random.next() < 0.5 ? random.next() * 0.1 : 0;
  storeFaults.failRead = random.next() < 0.3 ? random.next() * 0.05 : 0;
  const many = random.int(faultsMax);
  for (let i = 0; i < many; i++) {
    const fault = world.pick(faults) as Fault;
    const at = random.int(chaosMs);
    const forMs = 200 + random.int(4_000);
    time.after(at, () => fault(world, forMs));
  }
  return () => heal(world);
}

function heal(world: Breakable): void {
  const { network, storeFaults, cells } = world;
  Object.assign(network.faults, { lose: 0, duplicate: 0, late: 0 });
  Object.assign(storeFaults, { failBefore: 0, failAfter: 0, failRead: 0 });
  network.cut.clear();
  world.doubleLease.clear();
  for (const cell of cells) cell.down = false;
  for (const [key, { clock }] of world.processes) {
    const [cell, node] = key.split('.').map(Number) as [number, number];
    if (!clock.alive) world.start(cell, node);
    else if (clock.frozen) clock.thaw();
  }
  world.trace('healed');
}

const anyNode = (world: Breakable): [cell: number, node: number] => [1 + world.random.int(3), world.random.int(2)];

const faults: readonly Fault[] = [
  killNode,
  killNode,
  freezeNode,
  cutLink,
  cutBoth,
  stopSql,
  stopSqlAndNodes,
  stopCell,
  stopCell,
  wipeStream,
  loseStream,
  twoHolders,
  stepClock,
  lieAbout,
];

function killNode(world: Breakable, forMs: number): void {
  killOne(world, anyNode(world), forMs);
}

function killOne(world: Breakable, [cell, node]: [number, number], forMs: number): void {
  if (!world.processes.get(`${cell}.${node}`)?.clock.alive) return;
  world.kill(cell, node);
  world.time.after(forMs, () => {
    if (!world.processes.get(`${cell}.${node}`)?.clock.alive) world.start(cell, node);
  });
}

function freezeNode(world: Breakable, forMs: number): void {
  const [cell, node] = anyNode(world);
  const clock = world.processes.get(`${cell}.${node}`)?.clock;
  if (!clock?.alive || clock.frozen) return;
  world.trace(`freeze ${cell}.${node}`);
  clock.freeze();
  world.time.after(forMs, () => clock.alive && clock.frozen && clock.thaw());
}

function cutLink(world: Breakable, forMs: number): void {
  const src = 1 + world.random.int(3);
  const dst = 1 + ((src + world.random.int(2)) % 3);
  world.network.cut.add(`${src}>${dst}`);
  world.trace(`cut ${src}>${dst}`);
  world.time.after(forMs, () => world.network.cut.delete(`${src}>${dst}`));
}

function cutBoth(world: Breakable, forMs: number): void {
  const cell = 1 + world.random.int(3);
  const links = [1, 2, 3].filter((each) => each !== cell).flatMap((each) => [`${cell}>${each}`, `${each}>${cell}`]);
  for (const link of links) world.network.cut.add(link);
  world.trace(`cut off ${cell}`);
  world.time.after(forMs, () => {
    for (const link of links) world.network.cut.delete(link);
  });
}

function stopSql(world: Breakable, forMs: number): void {
  const cell = world.pick(world.cells) as MemoryCell;
  cell.down = true;
  cell.abort(() => true);
  world.trace(`sql of ${cell.number} down`);
  world.time.after(Math.min(forMs, 1_500), () => {
    cell.down = false;
  });
}

/** The nodes die while they wait for their database. */
function stopSqlAndNodes(world: Breakable): void {
  const cell = world.pick(world.cells) as MemoryCell;
  cell.down = true;
  cell.abort(() => true);
  world.trace(`sql of ${cell.number} down, and its nodes`);
  world.time.after(300, () => {
    for (const node of [0, 1]) killOne(world, [cell.number, node], 500);
    cell.down = false;
  });
}

/** A whole cell, and what its broker holds for it. */
function stopCell(world: Breakable, forMs: number): void {
  const cell = 1 + world.random.int(3);
  for (const node of [0, 1]) killOne(world, [cell, node], forMs);
  const wiped = world.random.next() < 0.5;
  world.time.after(forMs / 2, () => (wiped ? world.network.wipe(cell) : world.network.lose(cell)));
}

function wipeStream(world: Breakable): void {
  world.network.wipe(1 + world.random.int(3));
}

function loseStream(world: Breakable): void {
  world.network.lose(1 + world.random.int(3));
}

function twoHolders(world: Breakable, forMs: number): void {
  const cell = 1 + world.random.int(3);
  world.doubleLease.add(cell);
  world.time.after(forMs, () => world.doubleLease.delete(cell));
}

function stepClock(world: Breakable): void {
  const [cell, node] = anyNode(world);
  world.processes.get(`${cell}.${node}`)?.clock.step(world.random.int(1_000) - 500);
}

/** A cell says what it may not say: in another's name, about a log it does not own, for an owner it is not. */
function lieAbout(world: Breakable): void {
  const { random, time } = world;
  const log = world.pick(sharedLogs(world.cells).filter(({ copies }) => copies.length > 0));
  if (!log) return;
  const { row, state } = log.owner;
  const owner = ownerOf(state);
  const liar = 1 + ((owner + random.int(2)) % 3);
  const id = makeId(1_767_225_600_000 + 5_000_000_000 + Math.floor(time.nowMs), liar, 31, random.int(32));
  const frame = (dst: number, cls: 'e' | 'i' | 'v', bytes: Uint8Array): void => {
    world.network.publish(liar, { dst, class: cls, lane: 0, id: id + BigInt(dst), attempt: 1, bytes }).catch(() => undefined);
  };
  world.trace(`lie of ${liar} about ${row.log}`);
  const honest = [...state.members].find(([, { home }]) => home !== liar);
  if (honest) {
    const [author, { home }] = honest;
    const stream = state.kind === 'direct' ? { log: 0n, low: state.low, high: state.high } : { log: row.log, low: 0n, high: 0n };
    const clientEntryId = BigInt(1_000_000 + random.int(1_000_000));
    const lie = {
      ...stream,
      n: 1_000n,
      lowestOpen: 1_000n,
      author,
      clientEntryId,
      kind: kinds.text,
      body: Buffer.from('lie'),
      peerHome: 0,
    };
    frame(owner, 'i', IntakeFrame.encode({ intakes: [lie] }).finish());
    const waiting = [...(world.cells[home - 1]?.intake.values() ?? [])].find((each) => each.dst !== liar);
    if (waiting) refuse(world, waiting, (bytes) => frame(home, 'v', bytes));
  }
  for (const { cell, stored } of log.copies) {
    if (cell.number === liar || !stored) continue;
    const entry = {
      ...stored.row,
      seq: stored.row.head + 1,
      author: state.creator,
      clientEntryId: 7n,
      kind: kinds.text,
      flags: 0,
      body: Buffer.from('lie'),
    };
    frame(cell.number, 'e', encodeRuns([{ ...entry, ord: stored.row.ord + 1 }]));
  }
}

function refuse(world: Breakable, waiting: IntakeRow, send: (bytes: Uint8Array) => void): void {
  const isPair = waiting.stream.b !== 0n;
  const value = {
    log: waiting.log,
    low: isPair ? waiting.stream.a : 0n,
    high: isPair ? waiting.stream.b : 0n,
    n: BigInt(waiting.n),
    author: waiting.author,
    clientEntryId: waiting.clientEntryId,
    code: 'not_allowed',
    text: 'a lie',
  };
  world.trace('a lie about a refusal');
  send(EnvelopesFrame.encode({ envelopes: [Envelope.fromPartial({ notice: { $case: 'refused', value } })] }).finish());
}
