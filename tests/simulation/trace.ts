// Everything that happened in one run, in order: its hash tells two runs apart, its lines tell the story.
import { createHash, type Hash } from 'node:crypto';

export interface TraceLine {
  readonly atMs: number;
  readonly text: string;
}

const blockChars = 32_768;

export class Trace {
  readonly #now: () => number;
  readonly #hash: Hash = createHash('sha256');
  readonly lines: TraceLine[] = [];
  /** Keeps the lines, for whoever looks into a seed. */
  keeps = false;
  #block = '';
  /** The moment of the line before, and how it is written. */
  #atMs = Number.NaN;
  #stamp = '';

  constructor(now: () => number) {
    this.#now = now;
  }

  add = (text: string): void => {
    const atMs = this.#now();
    if (atMs !== this.#atMs) {
      this.#atMs = atMs;
      this.#stamp = atMs.toFixed(3);
    }
    this.#block += `${this.#stamp} ${text}\n`;
    if (this.#block.length > blockChars) this.#flush();
    if (this.keeps) this.lines.push({ atMs, text });
  };

  digest(): string {
    this.#flush();
    return this.#hash.copy().digest('hex').slice(0, 16);
  }

  #flush(): void {
    this.#hash.update(this.#block);
    this.#block = '';
  }
}
