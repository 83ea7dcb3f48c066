// What the cells' books say of each directed link, asked again and again of every node; one node of a cell keeps them.
import type { BooksAnswer } from '@weft/proto/passport.ts';
import type { FabricFile } from './fabric-file.ts';
import { limits } from './limits.ts';
import { askNodes, operatorToken } from './operator.ts';

export type LinkBook = BooksAnswer['links'][number];

/** Of a link's source and destination. */
export type BookOf = (from: string, to: string) => LinkBook | undefined;

export class LinkBooks implements Disposable {
  readonly #fabric: Pick<FabricFile, 'cells'>;
  readonly #token: string;
  readonly #books = new Map<string, { readonly book: LinkBook; readonly atMs: number }>();
  readonly #timer: NodeJS.Timeout;
  #asking = false;

  constructor(fabric: Pick<FabricFile, 'cells' | 'credentialsFile'>) {
    this.#fabric = fabric;
    this.#token = operatorToken(fabric);
    this.#timer = setInterval(() => void this.#ask(), limits.booksEveryMs);
  }

  /** Undefined while its cell does not tell. */
  of: BookOf = (from, to) => {
    const known = this.#books.get(`${from} ${to}`);
    return known && performance.now() - known.atMs <= limits.booksKeptMs ? known.book : undefined;
  };

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  /** Never rejects: who does not answer is simply not heard. */
  async #ask(): Promise<void> {
    if (this.#asking) return;
    this.#asking = true;
    for (const { answer } of await askNodes<BooksAnswer>(this.#fabric, this.#token, 'books'))
      for (const book of answer?.links ?? []) this.#books.set(`${answer?.cell} ${book.dst}`, { book, atMs: performance.now() });
    this.#asking = false;
  }
}

/** ✓ in balance, – while the other cell is silent, else what went missing and where. */
export function verdictOf(book: LinkBook | undefined): string {
  if (book === undefined) return '–';
  const alarms = Object.entries(book.alarms);
  if (alarms.length > 0) return alarms.map(([hop, entries]) => `Δ${entries} ${hop}`).join(', ');
  return book.heard ? '✓' : '–';
}
