// Ranges of many logs in one round trip: what a backlog of frames names. What is read in one turn of the event loop shares a
// statement, and remembered hashes prove most of it without reading anything from below.
import { chainStart } from '@weft/proto/chain.ts';
import { isRetryable } from '@weft/runtime/sql.ts';
import type pg from 'pg';
import { type FreshEntry, genesis, type ProvedFrom } from '../delivery/chain-of.ts';
import type { Entry } from '../delivery/entry.ts';
import type { LogState } from '../delivery/log-state.ts';
import type { LogRange } from '../delivery/ports.ts';
import { queryOn, runTogether } from './corked-query.ts';
import type { EntriesTable } from './entries-table.ts';
import type { KnownChain, KnownHashes } from './known-hashes.ts';
import type { KnownStates } from './known-states.ts';
import { readCheckPoints } from './log-hashes-table.ts';
import { prove } from './proved-entries.ts';

export interface RangeReadsOptions {
  readonly entries: EntriesTable;
  readonly hashes: KnownHashes;
  readonly states: Pick<KnownStates, 'ofAll'>;
  /** One range by itself: of a log that is in another epoch than was believed. */
  readonly readAlone: (range: LogRange) => Promise<Entry[]>;
  /** Runs a read on a session whose rows are tapped, once more when that was lost. */
  readonly onSession: <T>(run: (session: pg.Client) => Promise<T>) => Promise<T>;
}

/** Ranges of one statement. A frame has at most 256. */
const rangesAtOnceMax = 1_024;

interface Waiting {
  readonly ranges: readonly LogRange[];
  readonly resolve: (entries: Entry[]) => void;
  readonly reject: (error: unknown) => void;
}

/** A range and what was found of it. */
interface Found {
  readonly range: LogRange;
  readonly state: LogState;
  readonly chain: KnownChain;
  /** The hash before it is remembered, or will be once the range before it is proved. */
  readonly isProved: boolean;
  readonly read: FreshEntry[];
  isOfEpoch: boolean;
  /** Where it is not proved. */
  point?: ProvedFrom | undefined;
}

export class RangeReads {
  readonly #options: RangeReadsOptions;
  #waiting: Waiting[] = [];

  constructor(options: RangeReadsOptions) {
    this.#options = options;
  }

  /** The entries of these ranges, one range after the other. */
  read(ranges: readonly LogRange[]): Promise<Entry[]> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.length === 0) setImmediate(() => this.#send());
      this.#waiting.push({ ranges, resolve, reject });
    });
  }

  #send(): void {
    let together: Waiting[] = [];
    let count = 0;
    for (const waiting of this.#waiting.splice(0)) {
      if (count > 0 && count + waiting.ranges.length > rangesAtOnceMax) {
        void this.#answer(together);
        [together, count] = [[], 0];
      }
      together.push(waiting);
      count += waiting.ranges.length;
    }
    void this.#answer(together);
  }

  async #answer(together: readonly Waiting[]): Promise<void> {
    try {
      const entries = (await this.#readAll(together.flatMap(({ ranges }) => ranges))).values();
      for (const { ranges, resolve } of together) resolve(ranges.flatMap(() => entries.next().value ?? []));
    } catch (error) {
      // One of them cannot be read: it fails alone, and no other frame waits for it. A store that is away is not asked again for each.
      if (together.length > 1 && !isRetryable(error)) await Promise.all(together.map((each) => this.#answer([each])));
      else for (const { reject } of together) reject(error);
    }
  }

  async #readAll(ranges: readonly LogRange[]): Promise<Entry[][]> {
    const states = await this.#options.states.ofAll([...new Set(ranges.map(({ log }) => log))]);
    const found = await this.#options.onSession((session) => this.#find(session, ranges, states));
    const read: Entry[][] = [];
    // In order: one proves the next.
    for (const each of found) read.push(each ? (provedOf(each) ?? (await this.#options.readAlone(each.range))) : []);
    return read;
  }

  async #find(
    session: pg.Client,
    ranges: readonly LogRange[],
    states: ReadonlyMap<bigint, LogState>,
  ): Promise<readonly (Found | undefined)[]> {
    const { entries } = this.#options;
    const reached = new Map<bigint, number>();
    const found = ranges.map((range) => this.#expect(range, states.get(range.log), reached));
    const asked = found.filter((each) => each !== undefined);
    if (asked.length === 0) return found;
    const statement = entries.ranges(
      asked.map(({ range, isProved }) => ({ ...range, isProved })),
      (at) => asked[at]?.state.epochs ?? [],
      (at, entry, epoch) => {
        const each = asked[at] as Found;
        each.isOfEpoch &&= epoch === each.state.epoch;
        each.read.push(entry);
      },
    );
    const unproved = asked.filter(({ isProved }) => !isProved);
    // The entries first: what they show is committed, so their check points are found a moment later.
    const [, points] = await Promise.all([
      runTogether(session, [statement]),
      readCheckPoints(
        queryOn(session),
        unproved.map(({ range }) => ({ log: range.log, seq: range.first - 1 })),
      ),
    ]);
    unproved.forEach((each, at) => {
      each.point = points.get(at);
    });
    return found;
  }

  #expect(range: LogRange, state: LogState | undefined, reached: Map<bigint, number>): Found | undefined {
    if (!state) return undefined;
    const { log, first, last } = range;
    const chain = this.#options.hashes.of(log, state.epoch);
    const isProved = first === 1 || reached.get(log) === first - 1 || chain.at(first - 1) !== undefined;
    reached.set(log, last);
    return { range, state, chain, isProved, read: [], isOfEpoch: true };
  }
}

/** Undefined where it has to be read by itself. */
function provedOf({ range, chain, isProved, read, isOfEpoch, point }: Found): Entry[] | undefined {
  const { first } = range;
  const known = first === 1 ? chainStart : chain.at(first - 1);
  if (!isOfEpoch || (isProved && known === undefined)) return undefined;
  const proved = prove(chain, known ? { seq: first - 1, hash: known } : (point ?? genesis), read);
  return isProved ? proved : proved.filter(({ seq }) => seq >= first);
}
