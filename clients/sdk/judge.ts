// Compares what was shown here with what the home cell, the owner of the log and its witness say, and tells what went wrong
// and up to which hop the history was still right. Pure.
import { sameHash } from '@weft/proto/chain.ts';
import type { Begin } from './begins.ts';
import type { Link } from './log-chain.ts';

/**
 * `missing`: entries were left out. `doubled`: one came, or stands, twice. `rewritten`: an entry is not what its author's
 * cell accepted. `reordered`: entries changed places. `forked`: two histories of the log, each sound in itself.
 */
export type ProofKind = 'missing' | 'doubled' | 'rewritten' | 'reordered' | 'forked';

/**
 * The last hop, on the way from the witness to here, whose history is right. `home`: the home cell has it right, so it was
 * changed between the cell and here. `owner`: the owner's signed head is right and the home cell's pages are not.
 * `witness`: the owner contradicts what it signed before. `nowhere`: nobody could be asked.
 */
export type Hop = 'home' | 'owner' | 'witness' | 'nowhere';

export interface ProofReport {
  readonly kind: ProofKind;
  readonly log: bigint;
  /** The seqs concerned, as far as can be told. */
  readonly from: number;
  readonly to: number;
  readonly agreed: Hop;
  /** What the client holds now is right: `history` gives it. */
  readonly repaired: boolean;
}

/** The history itself is wrong where it is kept: neither the way to here, nor something that is still to come. */
export const isOfHistory = ({ kind, repaired }: ProofReport): boolean => kind !== 'missing' && !repaired;

export interface HeadAt {
  readonly epoch: bigint;
  readonly seq: number;
  readonly hash: Uint8Array;
}

export interface Evidence {
  readonly log: bigint;
  readonly from: number;
  readonly to: number;
  readonly ours: (seq: number) => Link | undefined;
  /** What the home cell's page shows; undefined when it is no chain, or nobody answered. */
  readonly home: readonly Link[] | undefined;
  /** Signatures were checked. */
  readonly owner: HeadAt | undefined;
  readonly witness: HeadAt | undefined;
  /** Every epoch of the log, as the page tells: the one that gave a seq is the last that begins below it. */
  readonly epochs?: readonly Begin[];
}

/** Undefined when all agree after all. */
export function judge(evidence: Evidence): ProofReport | undefined {
  const { log, from, to, home } = evidence;
  const { owner, witness } = inForce(evidence);
  const isSplit =
    owner !== undefined &&
    witness !== undefined &&
    owner.epoch === witness.epoch &&
    owner.seq === witness.seq &&
    !sameHash(owner.hash, witness.hash);
  if (isSplit) return { kind: 'forked', log, from, to: owner.seq, agreed: 'witness', repaired: false };
  const trusted = owner ?? witness;
  if (home === undefined) return { kind: 'rewritten', log, from, to, agreed: trusted === undefined ? 'nowhere' : 'owner', repaired: false };
  const byHome = (seq: number): Link | undefined => linkAt(home, seq);
  if (witness !== undefined && contradicts(byHome(witness.seq), witness)) {
    // The owner stands by its page: it has another history than it once signed.
    if (owner !== undefined && owner.seq > witness.seq && !contradicts(byHome(owner.seq), owner))
      return { kind: 'forked', log, from, to: witness.seq, agreed: 'witness', repaired: false };
  }
  if (trusted !== undefined && contradicts(byHome(trusted.seq), trusted)) {
    const { kind, ...range } = difference(evidence, home) ?? { kind: 'rewritten', from, to };
    // A cell makes the chain of a page anew, so that what it has wrong is always sound in itself.
    return {
      kind: kind === 'forked' ? 'rewritten' : kind,
      log,
      ...range,
      agreed: owner === undefined ? 'witness' : 'owner',
      repaired: false,
    };
  }
  const found = difference(evidence, home);
  return found && { ...found, log, agreed: 'home', repaired: true };
}

/**
 * Without the head of an epoch that is over: what it names above the base of the next one was given up, and the page shows
 * another entry there by right, of a later epoch or, where that took in what an older one had given instead, of an older.
 * That a later epoch is in force is believed only from a head signed in it.
 */
function inForce({ owner, witness, home, epochs = [] }: Evidence): Pick<Evidence, 'owner' | 'witness'> {
  const isOver = (head: HeadAt | undefined, by: HeadAt | undefined): boolean =>
    head !== undefined &&
    by !== undefined &&
    by.epoch > head.epoch &&
    ((linkAt(home, head.seq)?.epoch ?? 0n) > head.epoch || isUnlisted(head, epochs));
  return { owner: isOver(owner, witness) ? undefined : owner, witness: isOver(witness, owner) ? undefined : witness };
}

/** Of an epoch that did not give this place as far as the page tells: given up since, or the home cell has not heard of it yet. */
export const isUnlisted = (head: HeadAt, epochs: readonly Begin[]): boolean =>
  epochs.length > 0 &&
  !epochs.some(({ epoch, base }, i) => epoch === head.epoch && base <= head.seq && head.seq <= (epochs[i + 1]?.base ?? head.seq));

const linkAt = (page: readonly Link[] | undefined, seq: number): Link | undefined => page?.[seq - (page[0]?.seq ?? 0)];

const contradicts = (link: Link | undefined, head: HeadAt): boolean => link !== undefined && !sameHash(link.hash, head.hash);

interface Difference {
  readonly kind: ProofKind;
  readonly from: number;
  readonly to: number;
}

/** How ours and the page differ: by the entries' ids first, then by their contents. */
function difference({ ours }: Evidence, home: readonly Link[]): Difference | undefined {
  const both = home.flatMap((theirs) => {
    const own = ours(theirs.seq);
    return own === undefined ? [] : [{ own, theirs }];
  });
  const unequal = both.filter(({ own, theirs }) => !sameHash(own.hash, theirs.hash));
  const [first, last] = [unequal[0], unequal.at(-1)];
  if (first === undefined || last === undefined) return undefined;
  const range = { from: first.own.seq, to: last.own.seq };
  const moved = unequal.filter(({ own, theirs }) => own.key !== theirs.key);
  const here = moved.map(({ own }) => own.key);
  const there = moved.map(({ theirs }) => theirs.key);
  if (moved.length > 1) {
    if ([...here].sort().join() === [...there].sort().join()) return { kind: 'reordered', ...range };
    // The rest moved up, or down, by the entries that were left out or put in.
    if (here.slice(0, -1).join() === there.slice(1).join()) return { kind: 'missing', ...range };
    if (here.slice(1).join() === there.slice(0, -1).join()) return { kind: 'doubled', ...range };
  }
  return { kind: unequal.length > 1 && moved.length === 0 && isSound(both.map(({ own }) => own)) ? 'forked' : 'rewritten', ...range };
}

/** Every entry was linked to the one before, so somebody made the whole of it. */
const isSound = (links: readonly Link[]): boolean => links.every(({ linked }) => linked);
