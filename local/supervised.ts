// One process that is wanted up: started again whenever it ends without being told to.
import { setTimeout as sleep } from 'node:timers/promises';
import { limits } from './limits.ts';
import { type ProcessPlan, type RunningProcess, startProcess } from './processes.ts';

export type SupervisedState = 'stopped' | 'starting' | 'running' | 'frozen' | 'restarting';

export interface FabricEvent {
  readonly name: string;
  readonly what: 'started' | 'died' | 'restarted' | 'failing' | 'stopped' | 'frozen' | 'thawed';
  /** Milliseconds it took: to readiness, or since the death it comes back from. */
  readonly ms: number;
  /** What ended it, or why it does not start. */
  readonly detail: string;
}

/**
 * stopped → starting → running → (dies) → restarting → running. `stop` wins over everything, `start` from any state
 * answers when the process is ready. Verbs of one process may overlap; the last of stop and start counts.
 */
export class Supervised {
  readonly name: string;
  readonly #plan: () => Promise<ProcessPlan>;
  readonly #tell: (event: FabricEvent) => void;
  #running: RunningProcess | undefined;
  #state: SupervisedState = 'stopped';
  /** The keeper's life from start to stop; aborted by stop. */
  #keeping: { readonly abort: AbortController; readonly firstReady: Promise<void>; readonly done: Promise<void> } | undefined;
  #restarts = 0;

  constructor(name: string, plan: () => Promise<ProcessPlan>, tell: (event: FabricEvent) => void) {
    this.name = name;
    this.#plan = plan;
    this.#tell = tell;
  }

  get state(): SupervisedState {
    return this.#state;
  }

  get restarts(): number {
    return this.#restarts;
  }

  /** The process's id while it runs. */
  get pid(): number | undefined {
    return this.#running?.alive ? this.#running.pid : undefined;
  }

  /** Answers when it is ready. Throws when its very first start fails; later failures are tried again for ever. */
  async start(): Promise<void> {
    if (this.#keeping === undefined) {
      const first = Promise.withResolvers<void>();
      const abort = new AbortController();
      const done = this.#keep(abort.signal, first);
      this.#keeping = { abort, firstReady: first.promise, done };
    }
    await this.#keeping.firstReady;
    await this.ready();
  }

  /** Waits until it is running again, at most `limits.readyMsMax`. */
  async ready(): Promise<void> {
    const deadline = performance.now() + limits.readyMsMax;
    while (this.#state !== 'running' || !this.#running?.alive) {
      if (this.#keeping === undefined) throw new Error(`${this.name} is stopped`);
      if (performance.now() > deadline) throw new Error(`${this.name} is not back after ${limits.readyMsMax / 1_000} s`);
      await sleep(limits.readyPollMs);
    }
  }

  /** Stops it, and it stays stopped. */
  async stop(): Promise<void> {
    const keeping = this.#keeping;
    if (keeping === undefined) return;
    this.#keeping = undefined;
    keeping.abort.abort();
    await this.#running?.stop();
    await keeping.done;
    if (this.#keeping === undefined) this.#to('stopped', 0);
  }

  /** Ends the process as a fault would, and answers when it is gone; the keeper starts it again. False: it was not running. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<boolean> {
    const running = this.#running;
    if (running === undefined || !running.alive) return false;
    running.signal(signal);
    await running.ended;
    return true;
  }

  freeze(): void {
    if (this.#running === undefined || this.#state !== 'running') throw new Error(`${this.name} is not running`);
    this.#running.freeze();
    this.#to('frozen', 0);
  }

  thaw(): void {
    if (this.#running === undefined || this.#state !== 'frozen') throw new Error(`${this.name} is not frozen`);
    this.#running.thaw();
    this.#state = 'running';
    this.#tell({ name: this.name, what: 'thawed', ms: 0, detail: '' });
  }

  #to(state: 'stopped' | 'frozen', ms: number): void {
    this.#state = state;
    this.#tell({ name: this.name, what: state, ms, detail: '' });
  }

  async #keep(signal: AbortSignal, first: PromiseWithResolvers<void>): Promise<void> {
    this.#state = 'starting';
    let running: RunningProcess | undefined;
    try {
      running = await this.#startOnce(signal);
    } catch (error) {
      if (this.#keeping?.abort.signal === signal) this.#keeping = undefined;
      this.#state = 'stopped';
      first.reject(error);
      return;
    }
    this.#state = 'running';
    this.#tell({ name: this.name, what: 'started', ms: running.bootMs, detail: '' });
    first.resolve();
    for (let quickDeaths = 0; !signal.aborted; ) {
      const startedMs = performance.now();
      const { code, signal: by } = await running.ended;
      if (signal.aborted) return;
      const diedMs = performance.now();
      quickDeaths = diedMs - startedMs < limits.quickDeathMs ? quickDeaths + 1 : 0;
      this.#state = 'restarting';
      this.#tell({ name: this.name, what: 'died', ms: 0, detail: by ?? `exit code ${code}` });
      running = await this.#revive(signal, quickDeaths);
      if (running === undefined) return;
      this.#restarts++;
      this.#state = 'running';
      this.#tell({ name: this.name, what: 'restarted', ms: Math.round(performance.now() - diedMs), detail: '' });
    }
  }

  /** Tries until it runs again, at once at first and then less and less often. Undefined: it was stopped meanwhile. */
  async #revive(signal: AbortSignal, failuresBefore: number): Promise<RunningProcess | undefined> {
    for (let failures = Math.max(0, failuresBefore - 1); !signal.aborted; failures++) {
      const waitMs = failures === 0 ? 0 : Math.min(limits.restartMsMax, limits.restartMsMin * 2 ** (failures - 1));
      await sleep(waitMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) break;
      try {
        return await this.#startOnce(signal);
      } catch (error) {
        if (signal.aborted) break;
        this.#tell({ name: this.name, what: 'failing', ms: 0, detail: error instanceof Error ? error.message : String(error) });
      }
    }
    return undefined;
  }

  async #startOnce(signal: AbortSignal): Promise<RunningProcess> {
    const running = await startProcess(await this.#plan(), signal);
    // Stopped in the moment between its readiness and now: nobody else knows of it yet.
    if (signal.aborted) {
      await running.stop();
      signal.throwIfAborted();
    }
    this.#running = running;
    return running;
  }
}
