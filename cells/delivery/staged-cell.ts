// A cell's facts as plain values, for the tests beside the decisions: operations are decided one batch after another, and
// what each writes is there for the next. No locks, no time, no faults; tests/simulation has those.
import { Chain, chainStart } from '@weft/proto/chain.ts';
import { Created } from '@weft/proto/gen/weft/client/v1/client.ts';
import { birthCell, idEpochMs, makeId } from '@weft/proto/ids.ts';
import { makeEpoch } from '@weft/proto/positions.ts';
import { sha256 } from '@weft/runtime/sha256.ts';
import { decide } from './decide.ts';
import type { Entry } from './entry.ts';
import { kinds } from './entry.ts';
import { keysOf } from './keys-of.ts';
import { groupPair, type LogState, pairKey, streamKey } from './log-state.ts';
import type { AppendOperation, IntakeOperation, Operation, Outcome, Target } from './operations.ts';
import type { DecidedKey, Facts, IntakeRow, LogRow, UserLogRow, WriteKeys, Writes } from './ports.ts';
import { refusalsToFind } from './self-entries.ts';
import type { DecideContext } from './working-set.ts';

export const chain = new Chain(sha256);

/** As stores do, an entry that is read whole keeps what proves it. */
const prevOf = (entry: Entry | undefined): Pick<Entry, 'prev'> => (entry?.prev ? { prev: entry.prev } : {});

/** The n-th user born in a cell. */
export const userOf = (cell: number, n: number): bigint => makeId(idEpochMs + n, cell, 0, 0);

export class StagedCell {
  readonly number: number;
  readonly rows = new Map<bigint, LogRow>();
  readonly states = new Map<bigint, LogState>();
  readonly entries: Entry[] = [];
  readonly pairs = new Map<string, bigint>();
  readonly intake = new Map<string, IntakeRow>();
  readonly userLogs = new Map<string, UserLogRow>();
  readonly #next = new Map<string, number>();
  readonly #decided = new Map<string, { key: DecidedKey; n: number }>();
  /** Of the last batch. */
  writes: Writes | undefined;
  nowMs = 1_800_000_000_000;
  openIntakePerUserMax = 3;
  generation = 1;
  /** What the directory signed. */
  readonly takeovers = new Map<bigint, { epoch: bigint; owner: number }>();
  /** Of other cells; 1 where nothing is said. */
  readonly generations = new Map<number, number>();
  /** Cells that have not given back what a restore lost. */
  readonly lacking = new Set<number>();
  readonly orphans: Entry[] = [];
  /** Cells for which no more may wait here. */
  readonly full = new Set<number>();
  #ids = 1;

  constructor(number: number, users: readonly bigint[]) {
    this.number = number;
    for (const user of users) this.#addSelfLog(user);
  }

  /** Another cell that was restored to what this one holds now. */
  backup(users: readonly bigint[]): StagedCell {
    const copy = new StagedCell(this.number, users);
    for (const [log, row] of this.rows) copy.rows.set(log, { ...row });
    for (const [log, state] of this.states) copy.states.set(log, state);
    copy.entries.push(...this.entries);
    return copy;
  }

  /** Decides one batch, as a lane would submit it, and keeps what it writes. */
  decide(...operations: readonly Operation[]): Outcome[] {
    const resolved = operations.map((each) => this.#resolve(each));
    const keys = keysOf(resolved, (user) => birthCell(user) === this.number);
    const { outcomes, writes } = decide(resolved, this.facts(keys), { ...this.context(), lane: 0 });
    this.keep(writes);
    return [...outcomes];
  }

  context(): DecideContext {
    return {
      cell: this.number,
      generation: this.generation,
      nowMs: this.nowMs,
      homeOf: birthCell,
      birthplace: (pair) => birthCell(pair.low),
      generationOf: (cell) => this.generations.get(cell) ?? 1,
      isBack: (cell) => !this.lacking.has(cell),
      isWhole: () => this.lacking.size === 0,
      takeover: (log) => this.takeovers.get(log),
      chain,
      hasIntakeRoom: (dst) => !this.full.has(dst),
      hasOutboxRoom: (dst) => !this.full.has(dst),
      freshId: () => this.freshId(),
      limits: { openIntakePerUserMax: this.openIntakePerUserMax, frameEntriesMax: 256, frameBytesMax: 256 * 1024 },
    };
  }

  freshId(): bigint {
    return makeId(idEpochMs + 1_000_000 + this.#ids++, this.number, 1, 0);
  }

  facts(keys: WriteKeys): Facts {
    const of = <T>(all: ReadonlyMap<bigint, T>): Map<bigint, T> => new Map([...all].filter(([log]) => keys.logs.includes(log)));
    return {
      rows: new Map([...of(this.rows)].map(([log, row]) => [log, { ...row }])),
      states: of(this.states),
      known: ({ log, author, clientEntryId }) => {
        const asked = [...keys.known, ...refusalsToFind(keys.refusals, of(this.states), this.number)];
        const isAsked = asked.some((key) => key.log === log && key.author === author && key.clientEntryId === clientEntryId);
        return isAsked ? this.entries.find((e) => e.log === log && e.author === author && e.clientEntryId === clientEntryId) : undefined;
      },
      target: (log, seq) => this.entries.find((e) => e.log === log && e.seq === seq),
      stored: (log, seq) => this.entries.find((e) => e.log === log && e.seq === seq),
      pairLog: (pair) => this.pairs.get(pairKey(pair)),
      nextIntake: (stream) => this.#next.get(streamKey(stream)) ?? 1,
      waiting: (author, clientEntryId, stream) => this.intake.get(`${author}:${clientEntryId}:${streamKey(stream)}`)?.n,
      openIntake: (author) => [...this.intake.values()].filter((row) => row.author === author).length,
      decided: (key) => this.#decided.get(decidedKey(key))?.n ?? 0,
      decidedOf: (stream) => [...this.#decided.values()].filter(({ key }) => streamKey(key.stream) === streamKey(stream)),
      lowestIntake: (stream) => {
        const open = [...this.intake.values()].filter((row) => streamKey(row.stream) === streamKey(stream)).map(({ n }) => n);
        return open.length === 0 ? undefined : Math.min(...open);
      },
      ownIntake: (stream) =>
        [...this.intake.values()].filter((row) => streamKey(row.stream) === streamKey(stream)).sort((a, b) => a.n - b.n),
      above: (log) => {
        const cut = keys.cuts.find((each) => each.log === log);
        return cut ? this.entries.filter((e) => e.log === log && e.seq > cut.above) : [];
      },
    };
  }

  logEntries(log: bigint): Entry[] {
    return this.entries.filter((e) => e.log === log);
  }

  #resolve(operation: Operation): Operation {
    if (!('target' in operation) || operation.type === 'refused' || !('pair' in operation.target)) return operation;
    const log = this.pairs.get(pairKey(operation.target.pair));
    return log === undefined ? { ...operation, freshLog: this.freshId() } : { ...operation, target: { log } };
  }

  /** As a commit does. */
  keep(writes: Writes): void {
    this.writes = writes;
    for (const { row, state } of writes.created) {
      this.rows.set(row.log, { ...row });
      this.states.set(row.log, state);
    }
    for (const row of writes.rows) this.rows.set(row.log, { ...row });
    for (const { after } of writes.states) this.states.set(after.log, after);
    for (const { log, base } of writes.truncated) this.#giveUp(log, base);
    this.entries.push(...writes.entries);
    for (const left of writes.emptied) {
      const at = this.entries.findIndex((e) => e.log === left.log && e.seq === left.seq);
      this.entries[at] = { ...left, ...prevOf(this.entries[at]) };
    }
    for (const { pair, log } of writes.pairs) this.pairs.set(pairKey(pair), log);
    for (const row of writes.userLogs) this.userLogs.set(`${row.user}:${row.log}`, row);
    for (const { stream, dst, shift, next } of writes.readdressed) {
      for (const [key, row] of this.intake)
        if (streamKey(row.stream) === streamKey(stream)) this.intake.set(key, { ...row, dst, n: row.n + shift });
      this.#next.set(streamKey(stream), next);
    }
    for (const row of writes.intake) {
      this.intake.set(`${row.author}:${row.clientEntryId}:${streamKey(row.stream)}`, row);
      this.#next.set(streamKey(row.stream), Math.max(row.n + 1, this.#next.get(streamKey(row.stream)) ?? 1));
    }
    for (const { stream, author, clientEntryId } of writes.closed) this.intake.delete(`${author}:${clientEntryId}:${streamKey(stream)}`);
    for (const each of writes.decided) this.#decided.set(decidedKey(each.key), each);
  }

  #giveUp(log: bigint, base: number): void {
    const given = this.entries.filter((e) => e.log === log && e.seq > base);
    this.orphans.push(...given);
    for (const entry of given) this.entries.splice(this.entries.indexOf(entry), 1);
  }

  #addSelfLog(user: bigint): void {
    const epoch = makeEpoch({ count: 1, cell: this.number, generation: 1 });
    this.rows.set(user, { log: user, epoch, head: 0, ts: 0, ord: 0, hash: chainStart, version: 1, status: 'open' });
    this.states.set(user, {
      log: user,
      kind: 'self',
      epoch,
      epochs: [{ epoch, base: 0 }],
      version: 1,
      title: '',
      membersMax: 2,
      creator: user,
      low: user,
      high: 0n,
      members: new Map([[user, { home: this.number, from: 1 }]]),
      cells: new Map(),
    });
  }
}

const decidedKey = (key: DecidedKey): string => `${streamKey(key.stream)}:${key.cell}:${key.generation}`;

export const text = (target: Target, author: bigint, clientEntryId: bigint): AppendOperation => ({
  type: 'append',
  target,
  author,
  connection: 1,
  clientEntryId,
  kind: kinds.text,
  body: Buffer.from(`text ${clientEntryId}`),
});

export const groupOf = (creator: bigint, members: readonly bigint[], membersMax = 10): AppendOperation => ({
  ...text({ pair: groupPair(creator, 1n) }, creator, 1n),
  kind: kinds.created,
  body: Created.encode({
    kind: 'LOG_KIND_GROUP',
    title: '',
    membersMax,
    members: [creator, ...members].map((user) => ({ user, home: birthCell(user), from: 1n })),
  }).finish(),
});

/** What the owner is sent for an intake row. */
export const intakeOf = (row: IntakeRow, src: number, lowestOpen = 0): IntakeOperation => ({
  type: 'intake',
  src,
  generation: 1,
  target: row.stream.b === 0n ? { log: row.stream.a } : { pair: { low: row.stream.a, high: row.stream.b } },
  stream: row.stream,
  n: row.n,
  lowestOpen,
  author: row.author,
  clientEntryId: row.clientEntryId,
  kind: row.kind,
  body: row.body,
});
