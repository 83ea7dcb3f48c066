// What `npm start` shows: lines that stay, and on a terminal a part below them that is redrawn in place.
import type { FabricFile } from './fabric-file.ts';
import { limits } from './limits.ts';
import { type BookOf, type LinkBook, verdictOf } from './link-books.ts';
import type { LinkNumbers } from './link-stats.ts';

export interface Output {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  readonly rows?: number | undefined;
  write(text: string): unknown;
  on(event: 'resize', listener: () => void): unknown;
  off(event: 'resize', listener: () => void): unknown;
}

/** Lines that stay, above a live part. Not a terminal: only the lines, without a single escape code. */
export class Screen implements Disposable {
  readonly live: boolean;
  readonly #out: Output;
  #lines: readonly string[] = [];
  /** Lines of the live part that are on the screen now. */
  #drawn = 0;
  readonly #onResize = (): void => this.#redraw('', true);

  constructor(out: Output, plain: boolean) {
    this.#out = out;
    this.live = out.isTTY === true && !plain;
    if (this.live) out.on('resize', this.#onResize);
  }

  get width(): number {
    return this.live ? (this.#out.columns ?? limits.columnsDefault) : limits.columnsDefault;
  }

  /** Adds lines that stay. */
  line(text: string): void {
    if (this.live) this.#redraw(`${text}\n`, false);
    else this.#out.write(`${text}\n`);
  }

  /** Replaces the live part; nothing happens off a terminal. */
  show(lines: readonly string[]): void {
    if (!this.live) return;
    this.#lines = lines;
    this.#redraw('', false);
  }

  /** The live part stays as it is and is not touched again. */
  [Symbol.dispose](): void {
    if (!this.live) return;
    this.#out.off('resize', this.#onResize);
    this.#drawn = 0;
    this.#lines = [];
  }

  /** One write: up over the old live part, the new lines each cleared to their end, and whatever was below. No flicker. */
  #redraw(above: string, resized: boolean): void {
    const rows = Math.max(1, (this.#out.rows ?? limits.rowsDefault) - 1);
    const lines = this.#lines.slice(0, rows).map((line) => clip(line, this.width));
    const up = this.#drawn > 0 ? `\x1b[${this.#drawn}A\r` : '\r';
    // After a resize the old lines may have wrapped: what is below their first one is wiped before it is drawn again.
    const wipe = resized ? '\x1b[J' : '';
    const stay = above === '' ? '' : `${above.trimEnd().split('\n').join('\x1b[K\n')}\x1b[K\n`;
    const drawn = lines.map((line) => `${line}\x1b[K\n`).join('');
    this.#out.write(`${up}${wipe}${stay}${drawn}\x1b[J`);
    this.#drawn = lines.length;
  }
}

/** A line longer than the terminal would wrap and spoil the count of lines. */
export const clip = (line: string, width: number): string => (line.length < width ? line : `${line.slice(0, Math.max(0, width - 2))}…`);

/** Regions, cells and where each answers. */
export function addressTable(fabric: FabricFile): string[] {
  const rows = fabric.cells.map((cell) => {
    const region = fabric.regions.find(({ name }) => name === cell.region);
    return [
      cell.region,
      region?.router ?? '',
      cell.name,
      cell.urls.map((url) => url.replace('http://', '')).join(' '),
      cell.database.replace('postgres://postgres@', ''),
    ];
  });
  return columns([['region', 'router', 'cell', 'nodes', 'database'], ...rows]);
}

const noBooks: BookOf = () => undefined;

/** One line per directed link, with its books once any are known; two side by side when there is room. */
export function linkTable(links: readonly LinkNumbers[], width: number, bookOf: BookOf = noBooks): string[] {
  const hasBooks = links.some(({ from, to }) => bookOf(from, to));
  const head = [
    'link',
    'messages',
    'p50 ms',
    'p99 ms',
    'backlog',
    ...(hasBooks ? ['accepted', 'applied', 'waiting', 'refused', 'books'] : []),
  ];
  const rows = links.map((link) => [
    `${link.from} → ${link.to}`,
    String(link.shown),
    milliseconds(link.p50),
    milliseconds(link.p99),
    waits(link) ? `${link.backlog} for ${seconds(link.oldestMs)}` : String(link.backlog),
    ...(hasBooks ? bookCells(bookOf(link.from, link.to)) : []),
  ]);
  const single = columns([head, ...rows], 1);
  const lineWidth = Math.max(...single.map((line) => line.length));
  if (width <= 2 * lineWidth + limits.columnGap || links.length < 4) return single;
  const half = Math.ceil(rows.length / 2);
  const left = columns([head, ...rows.slice(0, half)], 1);
  const right = columns([head, ...rows.slice(half)], 1);
  return left.map((line, at) => `${line.padEnd(lineWidth + limits.columnGap)}${right[at] ?? ''}`.trimEnd());
}

const bookCells = (book: LinkBook | undefined): string[] => [
  ...(['accepted', 'applied', 'waiting', 'refused'] as const).map((what) => (book ? String(book[what]) : '–')),
  verdictOf(book),
];

/** The same in one line, for logs. */
export function linkSummary(links: readonly LinkNumbers[], bookOf: BookOf = noBooks): string {
  const shown = links.reduce((sum, link) => sum + link.shown, 0);
  const backlog = links.reduce((sum, link) => sum + link.backlog, 0);
  const worst = [...links].sort((a, b) => (b.p99 ?? -1) - (a.p99 ?? -1))[0];
  const up = links.filter((link) => link.shown > 0 && !waits(link)).length;
  const longest = links.filter(waits).sort((a, b) => b.oldestMs - a.oldestMs)[0];
  const waiting = longest
    ? `, ${links.filter(waits).length} wait, the longest for ${seconds(longest.oldestMs)} (${longest.from} → ${longest.to})`
    : '';
  const slowest = worst?.p99 === undefined ? '' : `, slowest p99 ${milliseconds(worst.p99)} ms (${worst.from} → ${worst.to})`;
  return `links: ${up} of ${links.length} up${waiting}, ${shown} messages${slowest}, backlog ${backlog}${booksSummary(links, bookOf)}`;
}

function booksSummary(links: readonly LinkNumbers[], bookOf: BookOf): string {
  const known = links.map(({ from, to }) => ({ from, to, book: bookOf(from, to) })).filter(({ book }) => book !== undefined);
  const wrong = known.filter(({ book }) => Object.keys(book?.alarms ?? {}).length > 0);
  if (wrong.length > 0) return `, books: ${wrong.map(({ from, to, book }) => `${verdictOf(book)} (${from} → ${to})`).join(', ')}`;
  return known.length > 0 ? ', the books balance' : '';
}

/** Whether what is on its way over a link should have been shown by now. */
const waits = ({ oldestMs }: LinkNumbers): boolean => oldestMs > limits.linkWaitsMs;

const seconds = (ms: number): string => `${Math.round(ms / 1_000)} s`;

const milliseconds = (ms: number | undefined): string => (ms === undefined ? '–' : ms.toFixed(ms < 100 ? 1 : 0));

/** Columns as wide as their widest cell; from `rightFrom` on numbers, aligned right. */
function columns(rows: readonly (readonly string[])[], rightFrom = Number.POSITIVE_INFINITY): string[] {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => (row[at] ?? '').length)));
  const pad = (text: string, at: number): string => (at >= rightFrom ? text.padStart(widths[at] ?? 0) : text.padEnd(widths[at] ?? 0));
  return rows.map((row) => `  ${row.map(pad).join('  ')}`.trimEnd());
}
