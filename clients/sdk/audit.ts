// Checks all that is shown, as it comes: the order of pushes on this connection, the hash chain of each log, and the heads
// that owners sign. What looks wrong is looked into (doubts.ts) and told with the hop up to which it was right.
import { sameHash } from '@weft/proto/chain.ts';
import type { SignedHead } from '@weft/proto/gen/weft/client/v1/client.ts';
import { limits as wireLimits } from '@weft/proto/limits.ts';

import type { PageBounds } from './catch-up-events.ts';
import { Doubts, type DoubtsOptions, type Suspect } from './doubts.ts';
import { type Entry, entryFromWire } from './entry.ts';
import { holeIn } from './inquiry.ts';
import type { ProofReport } from './judge.ts';
import { clientLimits as limits } from './limits.ts';
import { isBroken, type Link, LogChain, linksOf } from './log-chain.ts';
import type { LogView } from './log-view.ts';
import { PushOrder } from './push-order.ts';

interface Audited extends Suspect {
  order: PushOrder;
  signed: SignedHead | undefined;
  /** A checked head beyond what is held. */
  ahead: SignedHead | undefined;
  confirmed: number;
  /** Where the page or the pushes were found wanting; told once. */
  told: number;
  /** Since when (monotonic ms) what is held goes beyond what is confirmed; 0: it does not. */
  openSinceMs: number;
}

export class Audit {
  readonly #options: DoubtsOptions;
  readonly #doubts: Doubts;
  readonly #logs = new Map<bigint, Audited>();
  /** The cell told all heads at the start of this connection: what a first push passes over was lost. */
  #isComplete = false;

  constructor(options: DoubtsOptions) {
    this.#options = options;
    this.#doubts = new Doubts(options);
  }

  stop(): void {
    this.#doubts.stop();
  }

  attached(isComplete: boolean): void {
    this.#isComplete = isComplete;
    for (const audited of this.#logs.values()) audited.order = new PushOrder();
  }

  /** Pushes were left out, as the cell says itself. */
  resync(): void {
    this.attached(false);
  }

  /** Before the entries are taken in. */
  pushed(entries: readonly Entry[]): void {
    for (const entry of entries) this.#pushedOne(entry);
  }

  accepted(log: bigint, seq: number): void {
    this.#of(log).order.accepted(seq);
  }

  /** Entries that continue the log, however they came. */
  taken(view: LogView, entries: readonly Entry[]): void {
    const audited = this.#of(view.log);
    for (const entry of entries) {
      const shown = audited.chain.take(entry);
      if (shown?.what === 'twice')
        this.#tell({ kind: 'doubled', log: view.log, from: shown.seq, to: shown.seq, agreed: 'nowhere', repaired: false });
      else if (shown !== undefined) this.#doubts.add(audited, { from: Math.max(1, entry.seq - 1), to: entry.seq });
    }
    if (audited.chain.openEntries >= wireLimits.pageEntriesMax) this.#lookAtOpen(audited, view.head);
    if (audited.openSinceMs === 0) audited.openSinceMs = this.#options.clock.monotonic();
    const { ahead } = audited;
    if (ahead !== undefined && Number(ahead.seq) <= view.head) this.#compare(audited, ahead);
  }

  /** A page that was read for the caller: it must be whole, a chain, and the one that was shown. */
  page(log: bigint, entries: readonly Entry[], bounds: PageBounds): void {
    const first = entries[0];
    const last = entries.at(-1);
    const audited = this.#of(log);
    if (first === undefined || last === undefined) return this.#checkEmpty(audited, bounds);
    const hole = holeIn(entries, first.seq);
    if (hole !== undefined) return this.#miss(audited, hole, false);
    this.#checkBounds(audited, { first: first.seq, last: last.seq }, bounds);
    const { chain } = this.#options;
    const links = linksOf(chain, entries);
    const known = ({ seq, epoch }: Link): Uint8Array | undefined => audited.chain.hashAt(seq) ?? signedAt(audited.signed, seq, epoch);
    const isOther = (link: Link): boolean => !sameHash(known(link) ?? link.hash, link.hash);
    const isUnproved = entries.some(({ prev }) => prev === undefined);
    const below = audited.chain.hashAt(first.seq - 1);
    const isApart = below !== undefined && first.prev !== undefined && !sameHash(below, first.prev);
    if (isApart || (links === undefined ? isUnproved || isBroken(chain, entries) : links.some(isOther)))
      return this.#doubts.add(audited, { from: isApart ? first.seq - 1 : first.seq, to: last.seq, shown: entries });
    if (links === undefined || first.prev === undefined) return;
    audited.chain.show(links, first.prev);
    const isEnd = last.seq > audited.confirmed && last.seq >= (this.#options.view(log)?.head ?? 0);
    if (isEnd && audited.openSinceMs === 0) audited.openSinceMs = this.#options.clock.monotonic();
  }

  #checkEmpty(audited: Audited, { from, before, head, visibleFrom }: PageBounds): void {
    const range = { from: Math.max(from, visibleFrom), to: before > 0 ? Math.min(before - 1, head) : head };
    if (range.from <= range.to) this.#askFor(audited, range);
  }

  /** A page may not stop short of what it was asked for, above or below. */
  #checkBounds(
    audited: Audited,
    { first, last }: Record<'first' | 'last', number>,
    { from, before, head, visibleFrom, end }: PageBounds,
  ): void {
    const to = from > 0 ? last : before > 0 ? Math.min(before - 1, head) : head;
    if (last < to) this.#askFor(audited, { from: last + 1, to });
    const begin = from > 0 ? Math.max(from, visibleFrom) : end ? visibleFrom : first;
    if (begin < first) this.#askFor(audited, { from: begin, to: first - 1 });
  }

  /** Once more, so that it is told whether it was left out once or is gone, and only if it was not given up meanwhile. */
  #askFor(audited: Audited, { from, to }: { readonly from: number; readonly to: number }): void {
    const { clock, requests, view } = this.#options;
    const { log } = audited;
    const value = { log, from: BigInt(from), before: 0n, limit: Math.min(to - from + 1, wireLimits.pageEntriesMax) };
    clock.timer(limits.lossToldMs, () => {
      requests.ask({ $case: 'readHistory', value }, 'page').then(
        ({ entries }) => {
          // As many as fit into a page.
          const isThere = Number(entries[0]?.seq) === from;
          if (isThere) this.page(log, entries.map(entryFromWire), { from, before: 0, head: to, visibleFrom: from, end: false });
          if (Math.max(view(log)?.head ?? 0, view(log)?.known ?? 0) >= to) this.#miss(audited, { from, to }, isThere);
        },
        // Who reads again finds it again.
        () => undefined,
      );
    });
  }

  truncated(log: bigint, base: number): void {
    const audited = this.#of(log);
    audited.chain.truncate(base);
    this.#beginAfter(audited, base);
  }

  /** The run begins anew after `base`: while the user was out of the log, anything shown before may have been given up. */
  anchored(log: bigint, base: number): void {
    const audited = this.#of(log);
    if (audited.chain.truncate(0)) this.#beginAfter(audited, base);
  }

  #beginAfter(audited: Audited, base: number): void {
    audited.order = new PushOrder();
    audited.ahead = undefined;
    audited.confirmed = Math.min(audited.confirmed, base);
    audited.told = Math.min(audited.told, base);
  }

  /** The home cell names a head, and its pages do not lead there. */
  stuck(view: LogView, to: number): void {
    this.#miss(this.#of(view.log), { from: view.head + 1, to }, false);
  }

  /** The digests differed, and the cell has told this log up to `to`. What was under way comes within a moment. */
  lost(view: LogView, to: number): void {
    const audited = this.#of(view.log);
    const from = view.head + 1;
    const { order } = audited;
    this.#options.clock.timer(limits.lossToldMs, () => {
      if (audited.order === order && order.last < to) this.#miss(audited, { from: Math.max(from, order.last + 1), to }, view.head >= to);
    });
  }

  async signedHead(head: SignedHead): Promise<void> {
    if ((await this.#options.proofs.proves(head)) !== true) return;
    const audited = this.#of(head.log);
    const known = audited.signed;
    if (known !== undefined && known.epoch === head.epoch && known.seq === head.seq && !sameHash(known.hash, head.hash))
      return this.#doubts.add(audited, { from: audited.confirmed + 1, to: Number(head.seq), earlier: known });
    if (known !== undefined && (head.epoch < known.epoch || (head.epoch === known.epoch && head.seq <= known.seq))) return;
    audited.signed = head;
    const view = this.#options.view(head.log);
    if (view !== undefined && view.head >= Number(head.seq)) this.#compare(audited, head);
    else audited.ahead = head;
  }

  /** What nobody has signed for a while is asked about: a log that came in pages only, or one that is quiet. */
  heartbeat(): void {
    const nowMs = this.#options.clock.monotonic();
    let asked = 0;
    for (const audited of this.#logs.values()) {
      if (asked >= limits.inquiriesMax) return;
      if (audited.openSinceMs === 0 || nowMs - audited.openSinceMs < limits.unsignedMs) continue;
      asked += 1;
      audited.openSinceMs = nowMs;
      this.#options.requests
        .ask({ $case: 'readSignedHead', value: { log: audited.log, witness: false } }, 'signedHead', { once: true })
        .then((head) => this.signedHead(head))
        // An owner that is away signs when it is back.
        .catch(() => undefined);
    }
  }

  /** The chain at this place, for comparing with another member. */
  hashAt(log: bigint, seq: number): Uint8Array | undefined {
    return this.#logs.get(log)?.chain.hashAt(seq);
  }

  #pushedOne(entry: Entry): void {
    const audited = this.#of(entry.log);
    const { log, seq } = entry;
    const view = this.#options.view(log);
    const base = this.#isComplete && view?.anchored === true && !view.left ? Math.max(view.head, view.known) : undefined;
    const wrong = audited.order.pushed(seq, base);
    if (wrong === undefined) return;
    if (wrong.what === 'hole') return this.#awaitHole(audited, wrong);
    if (wrong.what === 'late') return this.#tell({ kind: 'reordered', log, from: seq, to: seq, agreed: 'home', repaired: true });
    const ours = audited.chain.at(seq)?.hash;
    const [link] = linksOf(this.#options.chain, [entry]) ?? [];
    if (ours !== undefined && link !== undefined && !sameHash(ours, link.hash))
      return this.#doubts.add(audited, { from: seq, to: seq, isSecond: true });
    this.#tell({ kind: 'doubled', log, from: seq, to: seq, agreed: 'home', repaired: true });
  }

  /** Missing pushes are fetched after a moment; what still did not come by itself was lost on the way here. */
  #awaitHole(audited: Audited, { from, to }: { readonly from: number; readonly to: number }): void {
    const { order } = audited;
    this.#options.clock.timer(limits.lossToldMs, () => {
      const lost = audited.order === order ? order.giveUp(from, to) : undefined;
      if (lost !== undefined) this.#miss(audited, lost, (this.#options.view(audited.log)?.head ?? 0) >= lost.to);
    });
  }

  #miss(audited: Audited, range: { readonly from: number; readonly to: number }, repaired: boolean): void {
    if (!repaired && audited.told === range.from) return;
    if (!repaired) audited.told = range.from;
    this.#tell({ kind: 'missing', log: audited.log, ...range, agreed: repaired ? 'home' : 'owner', repaired });
  }

  /** Against what was shown. */
  #compare(audited: Audited, head: SignedHead): void {
    const seq = Number(head.seq);
    audited.ahead = undefined;
    this.#lookAtOpen(audited, seq);
    const ours = audited.chain.hashAt(seq);
    if (ours === undefined) return;
    if (!sameHash(ours, head.hash)) return this.#doubts.add(audited, { from: audited.confirmed + 1, to: seq });
    audited.chain.signed(seq);
    audited.confirmed = Math.max(audited.confirmed, seq);
    if (seq >= (this.#options.view(audited.log)?.head ?? 0)) audited.openSinceMs = 0;
  }

  /** What came without a hash has to be what pages show, and these what the owner signs. */
  #lookAtOpen(audited: Audited, upTo: number): void {
    let rest = audited.chain.takeOpen(upTo);
    while (rest[0] !== undefined) {
      const from = rest[0].seq;
      const shown = rest.filter(({ seq }) => seq < from + wireLimits.pageEntriesMax);
      rest = rest.slice(shown.length);
      this.#doubts.add(audited, { from, to: shown.at(-1)?.seq ?? from, shown });
    }
  }

  #tell(report: ProofReport): void {
    this.#options.tell(report);
  }

  #of(log: bigint): Audited {
    const known = this.#logs.get(log);
    if (known !== undefined) return known;
    const audited: Audited = {
      log,
      chain: new LogChain(this.#options.chain),
      order: new PushOrder(),
      signed: undefined,
      ahead: undefined,
      confirmed: 0,
      told: 0,
      openSinceMs: 0,
    };
    this.#logs.set(log, audited);
    return audited;
  }
}

const signedAt = (head: SignedHead | undefined, seq: number, epoch: bigint): Uint8Array | undefined =>
  head !== undefined && Number(head.seq) === seq && head.epoch === epoch ? head.hash : undefined;
