// What of a world can be broken.
import type { Fault } from './fault.ts';
import type { Forgeries } from './forgeries.ts';
import type { MemoryCell } from './memory-cell.ts';
import type { MemoryLives } from './memory-life.ts';
import type { StoreFaults } from './memory-log-store.ts';
import type { Person } from './person.ts';
import type { Shape } from './shape.ts';
import type { SimulatedNode } from './simulated-node.ts';
import type { SimulatedTime } from './simulated-time.ts';
import type { Supercluster } from './supercluster.ts';
import type { Trace } from './trace.ts';

/** Cells that are restored from backups. */
interface Restoring {
  schedule(world: Breakable, fault: Fault): void;
  restore(world: Breakable, fault: Fault): void;
}

export interface Breakable {
  readonly time: SimulatedTime;
  readonly trace: Trace;
  readonly shape: Shape;
  readonly network: Supercluster;
  readonly cells: readonly MemoryCell[];
  /** By cell and index: "1.0". */
  readonly nodes: ReadonlyMap<string, SimulatedNode>;
  readonly people: readonly Person[];
  readonly storeFaults: StoreFaults;
  readonly lives: MemoryLives;
  readonly restores: Restoring;
  readonly forgeries: Pick<Forgeries, 'refused'>;
  /** Starts a node of a cell, for the first time or again. */
  start(cell: number, index: number): void;
  kill(cell: number, index: number): void;
}
