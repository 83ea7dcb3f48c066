// What the books say, as metrics and, when a difference becomes an alarm or goes again, as a line in the log.
import type { Log } from '@weft/runtime/log.ts';
import { hops } from '../delivery/balance.ts';
import type { CellMetrics } from '../metrics.ts';
import type { Peers } from '../peers.ts';
import type { KeptLink } from './book-keeper.ts';

export interface BookMetricsOptions {
  readonly cell: { readonly name: string };
  readonly peers: Pick<Peers, 'nameOf'>;
  readonly log: Log;
  readonly metrics: () => CellMetrics;
}

export class BookMetrics {
  readonly #options: BookMetricsOptions;
  readonly #alarmed = new Map<string, number>();

  constructor(options: BookMetricsOptions) {
    this.#options = options;
  }

  tell(links: readonly KeptLink[]): void {
    const { cell, peers, metrics } = this.#options;
    const { books, unbalanced } = metrics();
    books.reset();
    unbalanced.reset();
    for (const { dst, line, alarms } of links) {
      const labels = { src: cell.name, dst: peers.nameOf(dst) ?? String(dst) };
      for (const what of ['accepted', 'applied', 'waiting', 'refused'] as const) books.set({ ...labels, what }, line[what]);
      for (const hop of hops) {
        const entries = alarms.get(hop) ?? 0;
        unbalanced.set({ ...labels, hop }, entries);
        this.#say({ ...labels, hop }, entries);
      }
    }
  }

  #say(of: { readonly src: string; readonly dst: string; readonly hop: string }, entries: number): void {
    const key = `${of.dst}:${of.hop}`;
    const before = this.#alarmed.get(key) ?? 0;
    if (entries === before) return;
    if (entries === 0) {
      this.#alarmed.delete(key);
      this.#options.log.info(of, 'the books of a link balance again');
      return;
    }
    this.#alarmed.set(key, entries);
    this.#options.log.error({ ...of, entries }, 'the books of a link do not balance: entries went missing');
  }
}
