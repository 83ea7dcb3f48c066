// Do the books of one link balance? accepted = applied + waiting + refused, judged at the side that accepts.
//
// 1. A claim is one snapshot of the own books: accepted, and what of it waits in tables, counted from the rows.
// 2. The other cell reads its holdings after it has heard of the claim. What was accepted in the claim and did not wait then had
//    left for good, so it must be in the holdings, as applied or as known to be missing: less of it is *lost*.
// 3. A claim read after the holdings came must cover them: what was applied and never accepted is *excess*.
// 4. A frame that still waits although the stream of the destination has nothing of that age is *stuck*; so is what the
//    destination knows to be missing and does not get.
// Each holds at every moment, however much is under way. So nothing needs a tolerance but the time that repair may take.

export interface LaneClaim {
  readonly accepted: number;
  readonly settled: number;
  readonly dropped: number;
  readonly waiting: number;
  /** Lowest id of the frames that wait; 0n when none does. */
  readonly oldest: bigint;
}

export interface IntakeClaim {
  readonly accepted: number;
  readonly applied: number;
  readonly refused: number;
  readonly waiting: number;
}

const differenceOf = ({ accepted, applied, refused, waiting }: IntakeClaim): number => accepted - applied - refused - waiting;

/**
 * Intake of all links of a cell. When a log changes its owner, open intake goes to another link than it was accepted for: what one
 * lacks the other has. So only what they lack together is missing; as long as that is nothing, each is accepted where it went.
 */
export function withMoves(intake: ReadonlyMap<number, IntakeClaim>): Map<number, IntakeClaim> {
  const missing = [...intake.values()].reduce((sum, each) => sum + differenceOf(each), 0);
  return new Map(
    [...intake].map(([peer, each]) => [peer, missing === 0 ? { ...each, accepted: each.accepted - differenceOf(each) } : each]),
  );
}

export interface Claim {
  /** Names the claim. */
  readonly sentAt: number;
  readonly lanes: readonly LaneClaim[];
  /** Own people's appends that the other cell decides. */
  readonly intake: IntakeClaim;
  /** Entries the other cell should have which a look through the own store did not find. */
  readonly holes: number;
}

export interface Holdings {
  /** The newest claim that was known before these were read; 0 when none was. */
  readonly re: number;
  readonly lanes: readonly { readonly applied: number; readonly behind: number }[];
  /** Age of the oldest frame in the inbound stream, 0 when it is empty. */
  readonly oldestFrameMs: number | undefined;
  readonly holes: number;
}

/** Where entries can go missing: the owner's store, its outbox, the bus, the destination's stream or store, its pull; open intake. */
export const hops = ['owner', 'outbox', 'bus', 'stream', 'replica', 'pull', 'intake'] as const;
export type Hop = (typeof hops)[number];

export interface BalanceLimits {
  /** A difference that lasts this long is an alarm. */
  readonly unbalancedMs: number;
  /** Claims remembered while their answer is under way. */
  readonly claimsMax: number;
  /** Holdings older than this say nothing about now. */
  readonly silentMs: number;
}

export interface LinkLine {
  readonly accepted: number;
  readonly applied: number;
  readonly waiting: number;
  readonly refused: number;
  /** What is not accounted for, and where it went missing; empty in balance. */
  readonly missing: ReadonlyMap<Hop, { readonly entries: number; readonly forMs: number }>;
  /** False while the other cell is silent: what it holds is as of then. */
  readonly heard: boolean;
}

interface Problem {
  readonly sinceMs: number;
  entries: number;
}

export class LinkBalance {
  readonly #limits: BalanceLimits;
  readonly #claims: Claim[] = [];
  readonly #problems = new Map<Hop, Problem>();
  /** Since when each lane's oldest frame is the oldest. */
  readonly #oldest = new Map<number, { readonly id: bigint; readonly sinceMs: number }>();
  #holdings: Holdings | undefined;
  #heardMs = Number.NEGATIVE_INFINITY;
  /** Since when nothing was applied. */
  #still = { applied: -1, sinceMs: 0 };

  constructor(limits: BalanceLimits) {
    this.#limits = limits;
  }

  /** A new claim, read after everything that was heard so far. */
  claim(claim: Claim, nowMs: number): void {
    this.#claims.push(claim);
    if (this.#claims.length > this.#limits.claimsMax) this.#claims.shift();
    this.#note('intake', Math.abs(differenceOf(claim.intake)), nowMs);
    const holdings = this.#holdings;
    if (!holdings || nowMs - this.#heardMs > this.#limits.silentMs) {
      for (const hop of hops) if (hop !== 'intake') this.#problems.delete(hop);
      this.#oldest.clear();
      return;
    }
    claim.lanes.forEach(({ oldest }, lane) => {
      if (this.#oldest.get(lane)?.id !== oldest) this.#oldest.set(lane, { id: oldest, sinceMs: nowMs });
    });
    const excess = sumOf(claim.lanes, (lane, i) => Math.max(0, (holdings.lanes[i]?.applied ?? 0) - lane.accepted));
    this.#note('owner', excess + claim.holes, nowMs);
  }

  /** Whether this claim is one of this node that is still remembered. */
  isOwn(sentAt: number): boolean {
    return this.#claims.some((claim) => claim.sentAt === sentAt);
  }

  /** What the other cell holds. `wasStored`: whether its broker has taken a frame, as far as this node knows. */
  heard(holdings: Holdings, nowMs: number, wasStored: (frame: bigint) => boolean | undefined): void {
    const claim = this.#claims.find(({ sentAt }) => sentAt === holdings.re);
    if (!claim) return;
    this.#holdings = holdings;
    this.#heardMs = nowMs;
    const found = new Map<Hop, number>([['replica', holdings.holes]]);
    let stuckMs = nowMs;
    claim.lanes.forEach((lane, i) => {
      const held = holdings.lanes[i] ?? { applied: 0, behind: 0 };
      const lost = lane.accepted - lane.waiting - lane.dropped - held.applied - held.behind;
      if (lost > 0) add(found, lane.settled + lane.dropped + lane.waiting < lane.accepted ? 'outbox' : 'replica', lost);
      else if (lane.accepted > held.applied && this.#isStuck(i, lane, { holdings, nowMs })) {
        add(found, wasStored(lane.oldest) === false ? 'bus' : 'stream', Math.min(lane.waiting, lane.accepted - held.applied));
        stuckMs = Math.min(stuckMs, this.#oldest.get(i)?.sinceMs ?? nowMs);
      }
    });
    const applied = sumOf(holdings.lanes, (lane) => lane.applied);
    const behind = sumOf(holdings.lanes, (lane) => lane.behind);
    if (applied !== this.#still.applied || behind === 0) this.#still = { applied, sinceMs: nowMs };
    if (behind > 0 && nowMs > this.#still.sinceMs) found.set('pull', behind);
    for (const hop of ['outbox', 'replica', 'pull'] as const) this.#note(hop, found.get(hop) ?? 0, nowMs);
    for (const hop of ['bus', 'stream'] as const) this.#note(hop, found.get(hop) ?? 0, stuckMs);
  }

  /** Lanes in which everything claimed has been applied, so that whatever is not settled by word is settled in fact. */
  settledInFact(): { lane: number; settled: number; dropped: number }[] {
    const claim = this.#claims.find(({ sentAt }) => sentAt === this.#holdings?.re);
    if (!claim) return [];
    return claim.lanes.flatMap((lane, i) => {
      const isOpen = lane.settled !== lane.accepted || lane.dropped !== 0;
      if (!isOpen || lane.waiting !== 0 || this.#holdings?.lanes[i]?.applied !== lane.accepted) return [];
      return [{ lane: i, settled: lane.accepted - lane.settled, dropped: -lane.dropped }];
    });
  }

  line(nowMs: number): LinkLine {
    const claim = this.#claims.at(-1);
    const intake = claim?.intake ?? { accepted: 0, applied: 0, refused: 0, waiting: 0 };
    const accepted = sumOf(claim?.lanes ?? [], (lane) => lane.accepted);
    const applied = Math.min(
      accepted,
      sumOf(this.#holdings?.lanes ?? [], (lane) => lane.applied),
    );
    const missing = new Map([...this.#problems].map(([hop, p]) => [hop, { entries: p.entries, forMs: nowMs - p.sinceMs }] as const));
    return {
      accepted: accepted + intake.accepted,
      applied: applied + intake.applied,
      waiting: accepted - applied + intake.waiting,
      refused: intake.refused,
      missing,
      heard: nowMs - this.#heardMs <= this.#limits.silentMs,
    };
  }

  /** Hops whose difference has lasted. */
  alarms(nowMs: number): Map<Hop, number> {
    return new Map([...this.#problems].flatMap(([hop, p]) => (nowMs - p.sinceMs >= this.#limits.unbalancedMs ? [[hop, p.entries]] : [])));
  }

  #isStuck(index: number, lane: LaneClaim, { holdings, nowMs }: { holdings: Holdings; nowMs: number }): boolean {
    const oldest = this.#oldest.get(index);
    if (lane.oldest === 0n || oldest?.id !== lane.oldest || holdings.oldestFrameMs === undefined) return false;
    return nowMs - oldest.sinceMs > 2 * holdings.oldestFrameMs && nowMs - oldest.sinceMs > this.#limits.silentMs;
  }

  #note(hop: Hop, entries: number, sinceMs: number): void {
    const known = this.#problems.get(hop);
    if (entries === 0) this.#problems.delete(hop);
    else if (known) known.entries = entries;
    else this.#problems.set(hop, { sinceMs, entries });
  }
}

const add = (found: Map<Hop, number>, hop: Hop, n: number): unknown => found.set(hop, (found.get(hop) ?? 0) + n);

function sumOf<T>(lanes: readonly T[], of: (lane: T, index: number) => number): number {
  return lanes.reduce((sum, lane, index) => sum + of(lane, index), 0);
}
