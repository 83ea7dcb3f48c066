// Time and own CPU since construction.

export class Stopwatch {
  readonly #start = performance.now();
  readonly #cpu = process.cpuUsage();

  read(): { readonly ms: number; readonly ownCpuMs: number } {
    const { user, system } = process.cpuUsage(this.#cpu);
    return { ms: performance.now() - this.#start, ownCpuMs: Math.round((user + system) / 1000) };
  }
}
