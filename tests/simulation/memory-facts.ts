// What one transaction found. Rows, states, entries and decided numbers are of the moment of the locks; intake of a later one.
import type { Entry } from '@weft/cells/delivery/entry.ts';
import { type LogState, type Pair, pairKey, type Stream, streamKey, streamOf } from '@weft/cells/delivery/log-state.ts';
import type { AppendKey, DecidedKey, Facts, IntakeRow, LogRow, WriteKeys } from '@weft/cells/delivery/ports.ts';
import { refusalsToFind } from '@weft/cells/delivery/self-entries.ts';
import { entryKey, intakeKey, type MemoryCell } from './memory-cell.ts';

export class MemoryFacts implements Facts {
  readonly rows = new Map<bigint, LogRow>();
  readonly states = new Map<bigint, LogState>();
  readonly #cell: MemoryCell;
  readonly #keys: WriteKeys;
  readonly #known = new Map<string, Entry>();
  readonly #stored = new Map<string, Entry>();
  readonly #targets = new Map<string, Entry>();
  readonly #decided = new Map<string, number>();
  readonly #pairs = new Map<string, bigint>();
  readonly #waiting = new Map<string, number>();
  readonly #open = new Map<bigint, number>();
  readonly #next = new Map<string, number>();
  readonly #above = new Map<bigint, readonly Entry[]>();
  readonly #allDecided: { readonly key: DecidedKey; readonly n: number }[] = [];
  readonly #own = new Map<string, IntakeRow[]>();

  constructor(cell: MemoryCell, keys: WriteKeys) {
    this.#cell = cell;
    this.#keys = keys;
    for (const log of keys.logs) {
      const stored = cell.logs.get(log);
      if (!stored) continue;
      this.rows.set(log, { ...stored.row });
      this.states.set(log, stored.state);
    }
    for (const { log, author, clientEntryId } of [...keys.known, ...refusalsToFind(keys.refusals, this.states, cell.number)]) {
      const stored = cell.logs.get(log);
      const seq = stored?.byKey.get(entryKey(author, clientEntryId));
      const entry = seq === undefined ? undefined : stored?.entries.get(seq);
      if (entry) this.#known.set(`${log}/${entryKey(author, clientEntryId)}`, header(entry));
    }
    for (const { log, seq } of keys.targets) {
      const entry = cell.logs.get(log)?.entries.get(seq);
      if (entry) this.#targets.set(`${log}/${seq}`, entry);
    }
    for (const { log, from, to } of keys.runs) {
      const stored = cell.logs.get(log);
      for (let seq = from; seq <= Math.min(to, stored?.row.head ?? 0); seq++) {
        const entry = stored?.entries.get(seq);
        if (entry) this.#stored.set(`${log}/${seq}`, header(entry));
      }
    }
    for (const { log, above } of keys.cuts) this.#above.set(log, cell.above(log, above));
    for (const stream of this.moving()) this.#allDecided.push(...cell.decidedOf(stream));
    for (const key of keys.decided) this.#decided.set(decidedKey(key), cell.decided.get(decidedKey(key)) ?? 0);
    for (const pair of keys.pairs) {
      const log = cell.pairs.get(pairKey(pair));
      if (log !== undefined) this.#pairs.set(pairKey(pair), log);
    }
  }

  /** Streams of logs whose owner may change. */
  moving(): Stream[] {
    return this.#keys.moves.flatMap((log) => this.states.get(log) ?? []).map(streamOf);
  }

  /** Once these streams are locked. */
  readIntake(streams: Iterable<Stream>): void {
    const cell = this.#cell;
    const authors = new Set(this.#keys.intakes.map(({ author }) => author));
    for (const author of authors) this.#open.set(author, cell.openIntake.get(author) ?? 0);
    const ids = new Set(this.#keys.intakes.map(({ author, clientEntryId }) => entryKey(author, clientEntryId)));
    for (const stream of streams) this.#next.set(streamKey(stream), cell.nextIntake.get(streamKey(stream)) ?? 1);
    for (const stream of this.moving()) this.#own.set(streamKey(stream), cell.intakeOf(stream));
    if (ids.size === 0) return;
    for (const [key, row] of cell.intake) if (ids.has(entryKey(row.author, row.clientEntryId))) this.#waiting.set(key, row.n);
  }

  known({ log, author, clientEntryId }: AppendKey): Entry | undefined {
    return this.#known.get(`${log}/${entryKey(author, clientEntryId)}`);
  }

  stored(log: bigint, seq: number): Entry | undefined {
    return this.#stored.get(`${log}/${seq}`);
  }

  target(log: bigint, seq: number): Entry | undefined {
    return this.#targets.get(`${log}/${seq}`);
  }

  pairLog(pair: Pair): bigint | undefined {
    return this.#pairs.get(pairKey(pair));
  }

  nextIntake(stream: Stream): number {
    return this.#next.get(streamKey(stream)) ?? 1;
  }

  waiting(author: bigint, clientEntryId: bigint, stream: Stream): number | undefined {
    return this.#waiting.get(intakeKey({ stream, author, clientEntryId }));
  }

  openIntake(author: bigint): number {
    return this.#open.get(author) ?? 0;
  }

  decided(key: DecidedKey): number {
    return this.#decided.get(decidedKey(key)) ?? 0;
  }

  decidedOf(stream: Stream): { readonly key: DecidedKey; readonly n: number }[] {
    return this.#allDecided.filter(({ key }) => streamKey(key.stream) === streamKey(stream));
  }

  lowestIntake(stream: Stream): number | undefined {
    return this.#own.get(streamKey(stream))?.[0]?.n;
  }

  ownIntake(stream: Stream): readonly IntakeRow[] {
    return this.#own.get(streamKey(stream)) ?? [];
  }

  above(log: bigint): readonly Entry[] {
    return this.#above.get(log) ?? [];
  }
}

const decidedKey = ({ stream, cell, generation }: DecidedKey): string => `${streamKey(stream)}:${cell}:${generation}`;

/** As SQL reads headers: without the body, and unproved. */
const header = ({ prev: _, ...entry }: Entry): Entry => ({ ...entry, body: noBody });
const noBody = new Uint8Array();
