// Really sends a message over every directed link each second, as a person would, and watches it being shown.
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CanaryUser } from './canary-user.ts';
import type { FabricFile } from './fabric-file.ts';
import { limits } from './limits.ts';
import { type LinkNumbers, LinkStats } from './link-stats.ts';
import { readJson, writeJson } from './state-file.ts';

export interface CanaryOptions {
  readonly fabric: FabricFile;
  readonly links: readonly { readonly from: string; readonly to: string }[];
  /** Keeps the canaries' passwords (0600). */
  readonly dataDir: string;
  readonly say: (line: string) => void;
}

/** One user per cell, one direct conversation per pair of cells. */
export class Canary implements AsyncDisposable {
  readonly #options: CanaryOptions;
  readonly #links: readonly LinkStats[];
  readonly #users = new Map<string, Promise<CanaryUser>>();
  readonly #abort = new AbortController();
  readonly #allUp = Promise.withResolvers<void>();
  readonly #running: Promise<void>[] = [];
  /** Tells our messages from those of an earlier run, which resume brings too. */
  readonly #run = randomBytes(4).toString('hex');

  constructor(options: CanaryOptions) {
    this.#options = options;
    this.#links = options.links.map(({ from, to }) => new LinkStats(from, to));
  }

  /** Settles when every link has carried a message. */
  get allUp(): Promise<void> {
    return this.#allUp.promise;
  }

  numbers(): LinkNumbers[] {
    return this.#links.map((link) => link.numbers(performance.now()));
  }

  start(): void {
    const passwords = this.#passwords();
    for (const { name } of this.#options.fabric.cells) {
      const user = this.#open(name, passwords[name] ?? '');
      // Rejects when we are disposed first; whoever waits for it hears of it too.
      user.catch(() => undefined);
      this.#users.set(name, user);
    }
    this.#running.push(...this.#links.map((link, at) => this.#sing(link, at)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    await Promise.allSettled(this.#running);
    const users = await Promise.allSettled(this.#users.values());
    await Promise.allSettled(users.map((user) => (user.status === 'fulfilled' ? user.value[Symbol.asyncDispose]() : undefined)));
  }

  #passwords(): Record<string, string> {
    const file = join(this.#options.dataDir, 'canary.json');
    const kept = readJson<Record<string, string>>(file) ?? {};
    const all = {
      ...Object.fromEntries(this.#options.fabric.cells.map(({ name }) => [name, randomBytes(24).toString('base64url')])),
      ...kept,
    };
    writeJson(file, all);
    return all;
  }

  #open(cell: string, password: string): Promise<CanaryUser> {
    const signal = this.#abort.signal;
    return this.#untilDone(`the canary of ${cell}`, () => CanaryUser.open({ fabric: this.#options.fabric, cell, password, signal }));
  }

  async #sing(link: LinkStats, at: number): Promise<void> {
    const signal = this.#abort.signal;
    try {
      const [from, to] = await Promise.all([this.#user(link.from), this.#user(link.to)]);
      await this.#untilDone(`the canary of ${link.to}`, () => to.hear(from.handle, (text) => this.#seen(link, text)));
      // The first message at once, the others spread over the second: no link's latency is to be that of the other eleven.
      let pauseMs = limits.canaryEveryMs + (at * limits.canaryEveryMs) / this.#links.length;
      for (let n = 0; ; n++) {
        if (link.open) this.#send(link, { from, to: to.handle, text: `canary ${this.#run} ${link.from} ${link.to} ${n}` });
        await sleep(pauseMs, undefined, { signal });
        pauseMs = limits.canaryEveryMs;
      }
    } catch (error) {
      if (signal.aborted) return;
      this.#options.say(`canary ${link.from} → ${link.to} ended: ${String(error)}`);
    }
  }

  #seen(link: LinkStats, text: string): void {
    link.seen(text, performance.now());
    if (this.#links.every((one) => one.up)) this.#allUp.resolve();
  }

  /** The first failures are those of a fabric that has only just come up; from then on they are told now and then. */
  async #untilDone<T>(what: string, attempt: () => Promise<T>): Promise<T> {
    const signal = this.#abort.signal;
    for (let tries = 1; ; tries++) {
      try {
        return await attempt();
      } catch (error) {
        signal.throwIfAborted();
        if (tries % limits.canaryComplainEvery === 0) this.#options.say(`${what} is not in yet: ${String(error)}`);
        await sleep(limits.canaryAgainMs, undefined, { signal });
      }
    }
  }

  /** Not awaited by the second's beat: while a cell is away, messages wait in the sender's outbox, as a person's would. */
  #send(link: LinkStats, message: { from: CanaryUser; to: string; text: string }): void {
    link.sent(message.text, performance.now());
    message.from.say(message.to, message.text).catch((error: unknown) => {
      link.gone(message.text);
      if (!this.#abort.signal.aborted) this.#options.say(`canary ${link.from} → ${link.to}: ${String(error)}`);
    });
  }

  #user(cell: string): Promise<CanaryUser> {
    return this.#users.get(cell) ?? Promise.reject(new Error(`there is no canary in ${cell}`));
  }
}
