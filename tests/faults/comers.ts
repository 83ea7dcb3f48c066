// Thousands of people who only come (back): a process of their own, as they would be machines of their own, so that they hold up
// neither the people whose answers are timed nor each other's servers more than they must.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** What the process is told, one at a time. */
export type ComersTask =
  | { readonly task: 'meet'; readonly url: string; readonly device: string; readonly tokens: readonly string[] }
  /** So many come, so many at once; whoever is connected is cut first. */
  | { readonly task: 'come'; readonly count: number; readonly atOnce: number };

export interface Came {
  readonly ms: number;
  /** Times all of them together were told to come later. */
  readonly waits: number;
}

export type ComersAnswer = { readonly came: Came } | { readonly failed: string };

export class Comers implements AsyncDisposable {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async start(init: Omit<Extract<ComersTask, { task: 'meet' }>, 'task'>): Promise<Comers> {
    const comers = new Comers(fork(fileURLToPath(new URL('comers-process.ts', import.meta.url)), [], { execArgv: [] }));
    await comers.#do({ task: 'meet', ...init });
    return comers;
  }

  /** Resolves when the first `count` of them are welcome; rejects when one is answered by anything but a welcome or "later". */
  come(count: number, atOnce: number): Promise<Came> {
    return this.#do({ task: 'come', count, atOnce });
  }

  async #do(task: ComersTask): Promise<Came> {
    const gone = new AbortController();
    const ended = once(this.#child, 'exit', { signal: gone.signal }).then(([code]) => ({ failed: `it ended with ${code}` }));
    const answered = once(this.#child, 'message', { signal: gone.signal }).then(([answer]) => answer as ComersAnswer);
    ended.catch(() => undefined);
    answered.catch(() => undefined);
    this.#child.send(task);
    const answer = await Promise.race([answered, ended]).finally(() => gone.abort());
    if ('failed' in answer) throw new Error(`the process of those who come: ${answer.failed}`);
    return answer.came;
  }

  /** Everybody is cut. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    if (this.#child.connected) this.#child.disconnect();
    await ended;
  }
}
