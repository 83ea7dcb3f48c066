// A cell of a fabric of its own, on the same machine, which no fault touches. Its people are asked in the same moments as
// those of the cells under trial: what they wait longer than usual, the machine took, and nobody else.
import { Crowd, type Probe } from './crowd.ts';
import { Stage } from './stage.ts';

const cell = 'eu-1';

export class ControlCell implements AsyncDisposable {
  readonly #stage: Stage;
  readonly #crowd: Crowd;
  #isOver = false;

  static async open(): Promise<ControlCell> {
    const stage = await Stage.open({ cells: [cell], nodes: { [cell]: 1 }, placed: false });
    try {
      return new ControlCell(stage, await Crowd.gather(stage, 'control'));
    } catch (error) {
      await stage[Symbol.asyncDispose]();
      throw error;
    }
  }

  private constructor(stage: Stage, crowd: Crowd) {
    this.#stage = stage;
    this.#crowd = crowd;
  }

  probe(n: number, roundMs: number): void {
    // A run that is stopped may still be talking.
    if (!this.#isOver) this.#crowd.probe(n, roundMs);
  }

  /** Every answer since then. */
  answersSince(sinceMs: number): Probe[] {
    return this.#crowd.probes.filter(({ sentMs }) => sentMs >= sinceMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await this.#crowd[Symbol.asyncDispose]();
    await this.#stage[Symbol.asyncDispose]();
  }
}
