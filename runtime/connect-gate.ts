// A PostgreSQL that has just recovered forks a process for each connection, and none the less for one that was given up:
// where more are tried at once than it can finish in time, none is finished, for as long as everybody tries again.

/** So many connections are being opened at once, the others wait for their turn. */
export class ConnectGate {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(atOnceMax: number) {
    this.#free = atOnceMax;
  }

  async through<T>(open: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await open();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }
}
