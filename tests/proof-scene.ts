// One conversation between the real SDK and a cell in memory under a clock the test moves, with a hand on each hop between
// the owner's word and the client: what the push carries, what the home cell's store holds, what the owner signs.
import assert from 'node:assert/strict';
import type { Conversation } from '@weft/client/conversation.ts';
import { FakeCell } from '@weft/client/fake-cell.ts';
import { type FakeLog, fakeVerify, hashOf, sign, signedHeadOf } from '@weft/client/fake-log.ts';
import type { ProofReport } from '@weft/client/judge.ts';
import { ManualClock } from '@weft/client/manual-clock.ts';
import type { Verify } from '@weft/client/ports.ts';
import { nodeSha256 } from '@weft/client/sha256-node.ts';
import { Weft } from '@weft/client/weft.ts';
import type { Entry } from '@weft/proto/gen/weft/client/v1/client.ts';

export const corruptions = ['drop', 'duplicate', 'reorder', 'rewrite', 'fork'] as const;
export type Corruption = (typeof corruptions)[number];
export const hops = ['push', 'replica store', 'owner store'] as const;
export type ClientHop = (typeof hops)[number];

export const heartbeatMs = 5_000;
/** As the cells have it. */
const checkPointEvery = 64;

const other = (entry: Entry): Entry => ({ ...entry, body: { $case: 'text', value: 'words that nobody said' } });

export interface Corrupted {
  /** Seqs that were said meanwhile, one of them the one that was met. */
  readonly first: number;
  readonly last: number;
  readonly ms: number;
  readonly reports: readonly ProofReport[];
}

export interface SceneOptions {
  /** True: pushes come without the hash of the entry before. */
  readonly bare?: boolean;
  readonly verify?: Verify;
}

export class ProofScene {
  readonly clock = new ManualClock();
  readonly cell = new FakeCell(this.clock);
  readonly reports: ProofReport[] = [];
  #bo: Weft | undefined;
  #isBare = false;
  #conversation: Conversation | undefined;
  #author = 0n;
  #log: FakeLog | undefined;
  /** What the home cell's store holds in place of the truth. */
  #store: readonly Entry[] | undefined;

  static async open(options: SceneOptions = {}): Promise<ProofScene> {
    const scene = new ProofScene();
    await scene.#begin(options);
    return scene;
  }

  get log(): FakeLog {
    assert.ok(this.#log);
    return this.#log;
  }

  async close(): Promise<void> {
    await this.#bo?.close();
  }

  get conversation(): Conversation {
    assert.ok(this.#conversation);
    return this.#conversation;
  }

  /** Bo's proof of the log up to this seq. */
  proofOf(seq: number): ReturnType<Weft['proofOf']> {
    return this.#bo?.proofOf(this.log.id, seq);
  }

  /** One more entry, pushed as it is. */
  say(text: string): Entry {
    return this.cell.add(this.log.id, this.#author, { $case: 'text', value: text });
  }

  /** The owner's word is told, a heartbeat comes. */
  beat(): void {
    this.cell.push('bo', { $case: 'signedHead', value: this.cell.speaks(this.log, false) });
    this.cell.beat();
  }

  /** Corrupts one event at this hop; answers what was reported within a heartbeat. */
  async corrupt(hop: ClientHop, corruption: Corruption): Promise<Corrupted> {
    const first = this.log.entries.length + 1;
    const startMs = this.clock.monotonic();
    if (hop === 'push') await this.#corruptPush(corruption);
    else await this.#corruptStore(hop, corruption);
    // The owner signs 2 s after its first unsigned entry at the latest.
    await this.#wait(2_000, () => this.reports.length > 0);
    this.beat();
    await this.#wait(heartbeatMs - 2_000, () => this.reports.length > 0);
    const found = { first, last: this.log.entries.length, ms: this.clock.monotonic() - startMs, reports: [...this.reports] };
    await this.#heal();
    return found;
  }

  /** This row is another one in the store from now on; what follows proves itself by it up to the next check point. */
  rewrite(seq: number): void {
    const rows = [...(this.#store ?? this.log.entries)];
    rows[seq - 1] = other(rows[seq - 1] as Entry);
    this.#store = provedFrom(rows, seq - 1, Math.ceil(seq / checkPointEvery) * checkPointEvery);
  }

  /** The row is what it was. */
  restore(): void {
    this.#store = undefined;
  }

  /** Another device of bo's, which has seen nothing yet, takes his place. */
  async changeDevice(): Promise<void> {
    await this.#bo?.close();
    this.#listen(
      await Weft.logIn({ router: 'http://router', handle: 'bo', password: 'correct horse', device: 'bo2', ports: this.#ports() }),
    );
    await this.clock.advance(400);
    this.#conversation = this.#bo?.conversation(this.log.id);
  }

  #ports(verify: Verify = fakeVerify) {
    const random = { next: () => 0.5 };
    return { clock: this.clock, http: this.cell.http, socket: this.cell.socket, random, sha256: nodeSha256, verify };
  }

  #listen(bo: Weft): void {
    this.#bo = bo;
    bo.on('proof', (report) => this.reports.push(report));
    bo.on('entry', () => undefined);
  }

  async #begin({ bare = false, verify = fakeVerify }: SceneOptions): Promise<void> {
    this.#isBare = bare;
    this.#meet((entry) => [entry]);
    const ports = this.#ports(verify);
    const join = (handle: string): Promise<Weft> =>
      Weft.signUp({ router: 'http://router', handle, password: 'correct horse', device: handle, ports, deliveredMarks: false });
    const ana = await join('ana');
    const bo = await join('bo');
    await this.clock.advance(10);
    this.#author = ana.me;
    await ana.close();
    this.#listen(bo);
    const id = this.cell.direct(this.#author, bo.me);
    this.#log = this.cell.logs.get(id);
    await this.clock.advance(400);
    this.#conversation = bo.conversation(id);
    this.cell.reads = (log) => (log.id === id && this.#store !== undefined ? this.#store : log.entries);
  }

  /** Two entries, the first of which is met; nothing but these two may be wrong. */
  async #corruptPush(corruption: Corruption): Promise<void> {
    const held: Entry[] = [];
    let forged: Entry | undefined;
    this.#meet((entry) => {
      if (entry.log !== this.log.id) return [entry];
      if (corruption === 'fork') {
        // From here on another history, sound in itself.
        const isFirst = forged === undefined;
        forged = isFirst ? other(entry) : { ...entry, prev: hashOf(forged as Entry) };
        return [forged];
      }
      if (forged !== undefined) return [...[entry], ...held.splice(0)];
      forged = entry;
      if (corruption === 'drop') return [];
      if (corruption === 'duplicate') return [entry, entry];
      if (corruption === 'rewrite') return [other(entry)];
      held.push(entry);
      return [];
    });
    this.say('the one that is met');
    if (corruption !== 'fork') await this.clock.advance(20);
    this.say('the one after');
    await this.clock.advance(5);
    this.#meet((entry) => [entry]);
  }

  #meet(pushes: (entry: Entry) => readonly Entry[]): void {
    const bare = ({ prev: _, ...entry }: Entry): Entry => entry;
    this.cell.pushes = (entry) => (this.#isBare ? pushes(entry).map(bare) : pushes(entry));
  }

  /** Rows change under the cell; its pages prove themselves from the check point before, as the real ones do. */
  async #corruptStore(hop: ClientHop, corruption: Corruption): Promise<void> {
    for (const text of ['one', 'two', 'three']) this.say(text);
    await this.clock.advance(5);
    const { entries } = this.log;
    const at = entries.length - 2;
    const rows = [...entries];
    if (corruption === 'drop') rows.splice(at, 1);
    if (corruption === 'duplicate') rows.splice(at + 1, 1, { ...(rows[at] as Entry), seq: BigInt(at + 2) });
    if (corruption === 'reorder') {
      const [a, b] = [rows[at] as Entry, rows[at + 1] as Entry];
      rows.splice(at, 2, { ...b, seq: a.seq, ord: a.ord }, { ...a, seq: b.seq, ord: b.ord });
    }
    if (corruption === 'rewrite' || corruption === 'fork') rows[at] = other(rows[at] as Entry);
    this.#store = corruption === 'drop' ? rows.map(({ prev: _, ...row }) => row) : provedFrom(rows, at - 1);
    if (corruption === 'fork' && hop === 'owner store') this.#forkWord();
    // Somebody reads: what nobody looks at cannot be seen to be wrong.
    this.#conversation?.history({ limit: 20 }).catch(() => undefined);
  }

  /** The owner signs what its store says now; the witness keeps what it signed before. */
  #forkWord(): void {
    const before = signedHeadOf(this.log);
    this.beat();
    const last = this.#store?.at(-1) as Entry;
    this.cell.speaks = (_, witness) => (witness ? before : sign({ ...before, hash: hashOf(last) }));
  }

  async #heal(): Promise<void> {
    this.#store = undefined;
    this.cell.speaks = signedHeadOf;
    this.say('and on');
    await this.clock.advance(5);
    this.beat();
    await this.clock.advance(1_600);
    this.reports.length = 0;
  }

  async #wait(ms: number, isOver: () => boolean): Promise<void> {
    for (let past = 0; past < ms && !isOver(); past += 50) await this.clock.advance(50);
  }
}

/** Each entry after the one at `from`, up to `to`, with the hash of the one before. */
export function provedFrom(rows: readonly Entry[], from: number, to = rows.length): Entry[] {
  const run = [...rows];
  for (let i = from + 1; i < Math.min(to, run.length); i++) run[i] = { ...(run[i] as Entry), prev: hashOf(run[i - 1] as Entry) };
  return run;
}
