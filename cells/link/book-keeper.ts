// Keeps the cell's books while this node holds the duty: reads them each second, tells every other cell what is held of its
// logs, and judges what the others hold of ours (delivery/balance.ts).
import { LinkBooks } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { lanes } from '@weft/proto/ids.ts';
import type { Clock } from '@weft/runtime/clock.ts';
import type pg from 'pg';
import { type Claim, type Hop, type IntakeClaim, LinkBalance, type LinkLine, withMoves } from '../delivery/balance.ts';
import type { Link } from '../delivery/ports.ts';
import { cellLimits } from '../limits.ts';
import { addToBooks, type BookRow, readBooks } from '../store/books-table.ts';
import type { Query } from '../store/entries-table.ts';
import { RunLook } from './run-look.ts';

const booksSignal = 'books';

/** The books of one directed link, kept at its source. */
export interface KeptLink {
  readonly dst: number;
  readonly line: LinkLine;
  readonly alarms: ReadonlyMap<Hop, number>;
}

export interface BookKeeperOptions {
  readonly clock: Clock;
  readonly link: Link;
  readonly pool: pg.Pool;
  readonly cell: number;
  readonly node: number;
  readonly oldestInboundMs: () => Promise<number | undefined>;
  readonly brokerHas: (frame: bigint) => boolean | undefined;
  readonly tell: (links: readonly KeptLink[]) => void;
}

export class BookKeeper {
  readonly #options: BookKeeperOptions;
  readonly #query: Query;
  readonly #look: RunLook;
  readonly #balances = new Map<number, LinkBalance>();
  /** The newest message of each cell. */
  readonly #heard = new Map<number, { readonly sentAt: bigint; readonly receivedAt: number }>();
  readonly #clocks = new Map<number, { readonly aheadMs: number; readonly errorMs: number; readonly atMs: number }>();
  #notBeforeMs = 0;

  constructor(options: BookKeeperOptions) {
    this.#options = options;
    this.#query = (statement) => options.pool.query(statement);
    this.#look = new RunLook(this.#query, options.cell);
  }

  /** Every node hears it; only the one that sent the claim it answers can judge by it. */
  hear(src: number, what: string, bytes: Uint8Array): void {
    if (what === booksSignal) this.#heardOf(src, LinkBooks.decode(bytes));
  }

  #heardOf(src: number, books: LinkBooks): void {
    const { clock, brokerHas } = this.#options;
    if (this.#balances.get(src)?.isOwn(Number(books.re))) this.#estimate(src, books);
    this.#heard.set(src, { sentAt: books.sentAt, receivedAt: clock.now() });
    const held = Array.from({ length: lanes }, () => ({ applied: 0, behind: 0 }));
    for (const { lane, applied, behind } of books.holdings)
      if (lane < lanes) held[lane] = { applied: Number(applied), behind: Number(behind) };
    const { re, oldestFrameMs, holes } = books;
    const oldest = oldestFrameMs === undefined ? undefined : Number(oldestFrameMs);
    this.#balances
      .get(src)
      ?.heard({ re: Number(re), lanes: held, oldestFrameMs: oldest, holes: Number(holes) }, clock.monotonic(), brokerHas);
  }

  /** How far other cells' clocks are ahead, by the messages that answered one of this node; empty on the others. */
  clocks(): { cell: number; aheadMs: number; errorMs: number }[] {
    return [...this.#clocks].map(([cell, { aheadMs, errorMs }]) => ({ cell, aheadMs, errorMs }));
  }

  /** Four times, as NTP has them (RFC 5905, section 8): the true difference is within half of the time both ways took. */
  #estimate(src: number, { re, reReceivedAt, sentAt }: LinkBooks): void {
    const { clock } = this.#options;
    const [t1, t2, t3, t4] = [Number(re), Number(reReceivedAt), Number(sentAt), clock.now()];
    const found = { aheadMs: (t2 - t1 + (t3 - t4)) / 2, errorMs: Math.max(1, (t4 - t1 - (t3 - t2)) / 2), atMs: clock.monotonic() };
    const known = this.#clocks.get(src);
    if (!known || found.errorMs <= known.errorMs || found.atMs - known.atMs > cellLimits.clockKeptMs) this.#clocks.set(src, found);
  }

  /** One round, for these cells. */
  async keep(peers: readonly number[]): Promise<void> {
    const { clock, oldestInboundMs, link, tell } = this.#options;
    const startMs = clock.monotonic();
    if (startMs < this.#notBeforeMs) return;
    // Before the books are read: what they hold is newer than what these messages claim.
    const heard = new Map(this.#heard);
    const [rows, oldest] = await Promise.all([readBooks(this.#query), oldestInboundMs()]);
    await this.#look.next();
    const nowMs = clock.monotonic();
    this.#notBeforeMs =
      nowMs + Math.min(cellLimits.booksPauseMsMax, (nowMs - startMs) / cellLimits.booksShareMax - cellLimits.booksEveryMs);
    const intake = intakeOf(rows);
    for (const peer of peers) {
      const { sentAt, receivedAt } = heard.get(peer) ?? { sentAt: 0n, receivedAt: 0 };
      const claim = claimOf(rows, { peer, sentAt: clock.now(), holes: this.#look.holesFor(peer), intake: intake.get(peer) ?? noIntake });
      const balance = this.#balances.get(peer) ?? new LinkBalance({ ...limits });
      this.#balances.set(peer, balance);
      balance.claim(claim, nowMs);
      await this.#settle(peer, balance);
      const books: LinkBooks = {
        sentAt: BigInt(claim.sentAt),
        re: sentAt,
        reReceivedAt: BigInt(receivedAt),
        holdings: holdingsOf(rows, peer),
        oldestFrameMs: oldest === undefined ? undefined : BigInt(Math.round(oldest)),
        holes: BigInt(this.#look.holesOf(peer)),
      };
      link.signal(peer, booksSignal, LinkBooks.encode(books).finish());
    }
    tell(this.links());
  }

  /** Another node keeps them now. */
  letGo(): void {
    this.#balances.clear();
    this.#clocks.clear();
    this.#options.tell([]);
  }

  /** Empty on a node that does not keep the books. */
  links(): KeptLink[] {
    const nowMs = this.#options.clock.monotonic();
    return [...this.#balances].map(([dst, balance]) => ({ dst, line: balance.line(nowMs), alarms: balance.alarms(nowMs) }));
  }

  /** What was applied although its row went without a word, by a pull, is settled. */
  async #settle(peer: number, balance: LinkBalance): Promise<void> {
    const counts = balance.settledInFact().flatMap(({ lane, settled, dropped }) => [
      { peer, class: 'entries' as const, what: 'settled' as const, lane, n: settled },
      // Dropped rows are counted under node 0 by whoever drops them.
      { peer, class: 'entries' as const, what: 'dropped' as const, lane, n: dropped },
    ]);
    if (counts.length > 0) await addToBooks(this.#query, this.#options.node, counts);
  }
}

const limits = {
  unbalancedMs: cellLimits.booksUnbalancedMs,
  claimsMax: cellLimits.booksClaimsMax,
  silentMs: cellLimits.booksSilentMs,
};

type Of = { readonly peer: number; readonly class: BookRow['class']; readonly lane?: number };

interface ClaimParts extends Pick<Claim, 'sentAt' | 'holes' | 'intake'> {
  readonly peer: number;
}

function claimOf(rows: readonly BookRow[], { peer, sentAt, holes, intake }: ClaimParts): Claim {
  const own = rows.filter((row) => row.peer === peer);
  const laneClaim = (lane: number): Claim['lanes'][number] => {
    const n = (what: BookRow['what']): number => sum(own, what, { peer, class: 'entries', lane });
    const waits = own.find((row) => row.what === 'waiting' && row.class === 'entries' && row.lane === lane);
    return {
      accepted: n('accepted'),
      settled: n('settled'),
      dropped: n('dropped'),
      waiting: n('waiting'),
      oldest: waits?.oldest ?? 0n,
    };
  };
  return { sentAt, holes, intake, lanes: Array.from({ length: lanes }, (_, lane) => laneClaim(lane)) };
}

const noIntake: IntakeClaim = { accepted: 0, applied: 0, refused: 0, waiting: 0 };

/** By the cell that decides. */
function intakeOf(rows: readonly BookRow[]): Map<number, IntakeClaim> {
  const peers = new Set(rows.filter((row) => row.class === 'intake').map(({ peer }) => peer));
  const n = (peer: number, what: BookRow['what']): number => sum(rows, what, { peer, class: 'intake' });
  const claims = [...peers].map((peer): [number, IntakeClaim] => [
    peer,
    { accepted: n(peer, 'accepted'), applied: n(peer, 'applied'), refused: n(peer, 'refused'), waiting: n(peer, 'waiting') },
  ]);
  return withMoves(new Map(claims));
}

function holdingsOf(rows: readonly BookRow[], peer: number): LinkBooks['holdings'] {
  return Array.from({ length: lanes }, (_, lane) => ({
    lane,
    applied: BigInt(sum(rows, 'applied', { peer, class: 'entries', lane })),
    behind: BigInt(sum(rows, 'behind', { peer, class: 'entries', lane })),
  }));
}

const sum = (rows: readonly BookRow[], what: BookRow['what'], of: Of): number =>
  rows.reduce(
    (all, row) =>
      row.what === what && row.peer === of.peer && row.class === of.class && (of.lane === undefined || row.lane === of.lane)
        ? all + row.n
        : all,
    0,
  );
