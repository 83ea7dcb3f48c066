// Kills a node, a nats-server and a PostgreSQL at random moments, in turn, and waits until the supervisor has restarted each.

import { readFabric } from '@weft/local/fabric-file.ts';
import { replayLimits } from './limits.ts';

export interface Kill {
  readonly name: string;
  readonly atMs: number;
  /** Until the supervisor said that it runs again. */
  readonly backMs: number;
}

const kinds = ['node-', 'nats-', 'postgres-'] as const;

/** Ends processes of the running fabric until told to stop; a short replay may see only some kinds go. */
export class Chaos {
  readonly kills: Kill[] = [];
  readonly #dataDir: string;
  readonly #say: (line: string) => void;
  readonly #stop = new AbortController();
  readonly #start = performance.now();

  constructor(dataDir: string, say: (line: string) => void) {
    this.#dataDir = dataDir;
    this.#say = say;
  }

  /** Resolves after `stop`, when what was killed last runs again. Rejects when something does not come back. */
  async run(): Promise<void> {
    for (let turn = 0; !this.#stop.signal.aborted; turn++) {
      await this.#pause(replayLimits.killEveryMsMin + Math.random() * (replayLimits.killEveryMsMax - replayLimits.killEveryMsMin));
      if (this.#stop.signal.aborted) return;
      await this.#kill(kinds[turn % kinds.length] ?? 'node-');
    }
  }

  /** "3 node, 2 nats, 2 postgres". */
  get counts(): string {
    return kinds.map((kind) => `${this.kills.filter(({ name }) => name.startsWith(kind)).length} ${kind.slice(0, -1)}`).join(', ');
  }

  stop(): void {
    this.#stop.abort();
  }

  async #kill(kind: string): Promise<void> {
    const running = readFabric(this.#dataDir).processes.filter(
      ({ name, pid }) => name.startsWith(kind) && name !== 'postgres-directory' && pid !== null,
    );
    const victim = running[Math.floor(Math.random() * running.length)];
    if (victim === undefined || victim.pid === null) return;
    process.kill(victim.pid, 'SIGKILL');
    const at = performance.now();
    const until = at + replayLimits.restartMsMax;
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      const now = readFabric(this.#dataDir).processes.find(({ name }) => name === victim.name);
      if (now !== undefined && now.pid !== null && now.pid !== victim.pid && now.state === 'running') break;
      if (performance.now() > until) throw new Error(`${victim.name} did not come back within ${replayLimits.restartMsMax} ms`);
    }
    const kill = { name: victim.name, atMs: Math.round(at - this.#start), backMs: Math.round(performance.now() - at) };
    this.kills.push(kill);
    this.#say(`killed ${kill.name}; it runs again after ${kill.backMs} ms`);
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#stop.signal.addEventListener(
        'abort',
        () => {
          clearTimeout(timer);
          resolve();
        },
        { once: true },
      );
    });
  }
}
