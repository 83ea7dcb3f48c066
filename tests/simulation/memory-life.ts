// Which life of its store each simulated cell is in, as cells/store-life.ts finds out: a beat and a generation in the store,
// in a file of each node that outlives both, and, the generation alone, in the directory, which hears of it a moment later.
import { cellLimits } from '@weft/cells/limits.ts';
import { judgeLife, type RememberedLife } from '@weft/cells/store-life.ts';
import type { MemoryCell } from './memory-cell.ts';
import type { ProcessClock, SimulatedTime } from './simulated-time.ts';

/** Of a real server it would be its own id; a base backup keeps that. */
const system = '';

export class MemoryLives {
  readonly #time: SimulatedTime;
  /** As the directory's cell table has them. */
  readonly #published = new Map<number, number>();
  /** By cell and node: "1.0". */
  readonly #files = new Map<string, RememberedLife>();

  constructor(time: SimulatedTime) {
    this.#time = time;
  }

  /** The generation that other cells know. */
  readonly published = (cell: number): number => this.#published.get(cell) ?? 1;

  /** What a node does before it serves anybody: looks at the store, and begins a new generation where it was restored. */
  open(cell: MemoryCell, index: number): number {
    const file = this.#files.get(`${cell.number}.${index}`);
    const { generation, beat } = cell;
    const verdict = judgeLife({ generation, beat, system }, file, this.published(cell.number));
    if (verdict.kind === 'restored') cell.raiseLife({ generation: verdict.generation, beat: file?.beat ?? 0 });
    this.#remember(cell, index);
    return cell.generation;
  }

  /** While the node runs: it beats, and it registers with the directory. */
  keep(cell: MemoryCell, index: number, { clock, registersAfterMs }: { clock: ProcessClock; registersAfterMs: number }): void {
    const { generation } = cell;
    clock.every(cellLimits.lifeBeatMs, () => {
      if (cell.down) return;
      cell.beat += 1;
      this.#remember(cell, index);
    });
    if (generation > this.published(cell.number))
      this.#time.after(registersAfterMs, () => this.#published.set(cell.number, generation), clock);
  }

  /** Whether a node of the cell would notice by itself that the store is an older one. */
  notices(cell: MemoryCell, nodes: number): boolean {
    const { generation, beat } = cell;
    const files = Array.from({ length: nodes }, (_, index) => this.#files.get(`${cell.number}.${index}`));
    return files.every((file) => judgeLife({ generation, beat, system }, file, this.published(cell.number)).kind === 'restored');
  }

  #remember({ number, generation, beat }: MemoryCell, index: number): void {
    this.#files.set(`${number}.${index}`, { generation, beat, system });
  }
}
