// Where lines are shown and typed: a terminal with a status in its prompt, or plain lines for pipes and scripts.

import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';

import { terminalLimits as limits } from './limits.ts';
import { visibleWidth } from './paint.ts';

export interface ScreenEvents {
  typed(line: string): void;
  /** No more input will come. */
  ended(): void;
}

export interface Screen {
  /** True: printed lines can be replaced, and what was typed is erased by the screen. */
  readonly live: boolean;
  /** Shows a line; the number names it for `replace`. */
  print(text: string): number;
  /** Changes a line that is still on the screen; elsewhere nothing happens. */
  replace(line: number, text: string): void;
  status(text: string): void;
  close(): void;
}

/** Plain lines out, plain lines in; the status is a line too. */
export class PlainScreen implements Screen {
  readonly live = false;
  readonly #output: Writable;
  readonly #input: Interface;
  #lines = 0;
  #status = '';

  constructor(options: { input: Readable; output: Writable; events: ScreenEvents }) {
    this.#output = options.output;
    this.#input = createInterface({ input: options.input, terminal: false });
    this.#input.on('line', (line) => options.events.typed(line));
    this.#input.on('close', () => options.events.ended());
  }

  print(text: string): number {
    this.#output.write(`${text}\n`);
    this.#lines += 1;
    return this.#lines;
  }

  replace(): void {
    // What was piped on cannot be taken back.
  }

  status(text: string): void {
    if (text === this.#status) return;
    this.#status = text;
    this.print(`-- ${text}`);
  }

  close(): void {
    this.#input.close();
  }
}

interface Printed {
  readonly line: number;
  readonly rows: number;
}

const esc = String.fromCharCode(27);

/** Lines scroll above the prompt; the prompt carries the status and survives what is printed over it. */
export class TerminalScreen implements Screen {
  readonly live = true;
  readonly #output: NodeJS.WriteStream;
  readonly #input: Interface;
  readonly #printed: Printed[] = [];
  #lines = 0;
  /** readline throws at whoever writes after its end. */
  #closed = false;

  constructor(options: { input: NodeJS.ReadStream; output: NodeJS.WriteStream; events: ScreenEvents }) {
    this.#output = options.output;
    this.#input = createInterface({ input: options.input, output: options.output, terminal: true });
    this.#input.on('close', () => {
      this.#closed = true;
    });
    this.#input.on('line', (line) => {
      // The echo goes: what was typed is shown as an entry, with its mark.
      const rows = this.#rows(this.#input.getPrompt() + line);
      this.#output.write(`${esc}[${rows}A\r${esc}[J`);
      options.events.typed(line);
      if (!this.#closed) this.#input.prompt();
    });
    this.#input.on('close', () => options.events.ended());
  }

  print(text: string): number {
    this.#lines += 1;
    if (this.#closed) return this.#lines;
    this.#printed.push({ line: this.#lines, rows: this.#rows(text) });
    if (this.#printed.length > limits.linesMax) this.#printed.shift();
    this.#toPromptStart();
    this.#output.write(`${esc}[J${text}\n`);
    this.#input.prompt(true);
    return this.#lines;
  }

  replace(line: number, text: string): void {
    if (this.#closed) return;
    const index = this.#printed.findIndex((printed) => printed.line === line);
    const target = this.#printed[index];
    // A line that would take more or fewer rows would tear the screen.
    if (target === undefined || target.rows !== this.#rows(text)) return;
    const up = this.#printed.slice(index).reduce((sum, { rows }) => sum + rows, 0) + this.#input.getCursorPos().rows;
    if (up >= this.#output.rows) return;
    this.#output.write(`${esc}7${esc}[${up}A\r${esc}[${target.rows > 1 ? '0' : '2'}K${text}${esc}8`);
  }

  status(text: string): void {
    if (this.#closed) return;
    this.#toPromptStart();
    this.#output.write(`${esc}[J`);
    this.#input.setPrompt(`${text} › `);
    this.#input.prompt(true);
  }

  close(): void {
    if (!this.#closed) this.#output.write('\n');
    this.#input.close();
  }

  /** Back from wherever the person is typing. */
  #toPromptStart(): void {
    const { rows } = this.#input.getCursorPos();
    this.#output.write(rows > 0 ? `\r${esc}[${rows}A` : '\r');
  }

  #rows(text: string): number {
    return Math.max(1, Math.ceil(visibleWidth(text) / Math.max(1, this.#output.columns)));
  }
}
