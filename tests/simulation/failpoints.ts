// The failpoints of one simulated node: armed while it runs, and ending it where they act.
import { type FailpointName, Failpoints } from '@weft/cells/failpoints.ts';

export class ArmedFailpoints extends Failpoints {
  readonly #armed = new Map<FailpointName, { pass: number; times: number }>();
  readonly #died: (name: FailpointName) => void;

  constructor(died: (name: FailpointName) => void) {
    super([], died);
    this.#died = died;
  }

  /** Acts at the `pass`-th pass from now, and so often. */
  arm(name: FailpointName, pass: number, times = 1): void {
    this.#armed.set(name, { pass, times });
  }

  disarm(): void {
    this.#armed.clear();
  }

  override reach(name: FailpointName): boolean {
    const armed = this.#armed.get(name);
    if (armed === undefined) return false;
    armed.pass -= 1;
    if (armed.pass > 0) return false;
    armed.times -= 1;
    if (armed.times === 0) this.#armed.delete(name);
    if (name !== 'drop-push') this.#died(name);
    return true;
  }
}
