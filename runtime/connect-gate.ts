// A PostgreSQL that has just recovered forks a process for each connection, and none the less for one that was given up:
// where more are tried at once than it can finish in time, none is finished, for as long as everybody tries again.
// So a few are opened at once; and where one was taken and not greeted in time, the next ones go one by one and get twice the
// time, until one is greeted. A host that does not even take connections is tried as often as before: it is not slow, it is away.

export interface GateLimits {
  readonly atOnceMax: number;
  /** Time for one connection, and the longest it grows to. */
  readonly patienceMs: number;
  readonly patienceMsMax: number;
}

export class ConnectGate {
  readonly #limits: GateLimits;
  #underWay = 0;
  #patienceMs: number;
  readonly #waiting: (() => void)[] = [];

  constructor(limits: GateLimits) {
    this.#limits = limits;
    this.#patienceMs = limits.patienceMs;
  }

  /** Milliseconds that a connection which begins now is given. Its owner gives it up then. */
  get patienceMs(): number {
    return this.#patienceMs;
  }

  /** `wasTaken`: whether the host took the connection that failed. */
  async through<T>(open: () => Promise<T>, wasTaken: () => boolean = () => false): Promise<T> {
    if (this.#underWay >= this.#atOnceMax) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#underWay += 1;
    const patienceMs = this.#patienceMs;
    const sinceMs = performance.now();
    try {
      const opened = await open();
      this.#patienceMs = this.#limits.patienceMs;
      return opened;
    } catch (error) {
      const wasGivenUp = performance.now() - sinceMs > patienceMs * givenUpShare;
      if (wasGivenUp && wasTaken()) this.#patienceMs = Math.min(2 * patienceMs, this.#limits.patienceMsMax);
      throw error;
    } finally {
      this.#underWay -= 1;
      this.#admit();
    }
  }

  get #atOnceMax(): number {
    return this.#patienceMs > this.#limits.patienceMs ? 1 : this.#limits.atOnceMax;
  }

  #admit(): void {
    while (this.#underWay < this.#atOnceMax) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#underWay += 1;
      next();
    }
  }
}

/** Of its time: timers are not exact. */
const givenUpShare = 0.9;
