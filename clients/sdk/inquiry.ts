// Asks home cell, owner and witness about a range of a log, and has it judged. Where the connection breaks it is asked again
// on the next: without the owner's word the home cell's page would count as right.
import { type Chain, sameHash } from '@weft/proto/chain.ts';
import type { Page, SignedHead } from '@weft/proto/gen/weft/client/v1/client.ts';
import { limits as wireLimits } from '@weft/proto/limits.ts';
import { type Begin, beginsOf } from './begins.ts';
import { type Entry, entryFromWire } from './entry.ts';
import type { HeadProofs } from './head-proofs.ts';
import { type HeadAt, type Hop, isUnlisted, judge, type ProofReport } from './judge.ts';
import { type Link, type LogChain, linksOf } from './log-chain.ts';
import type { Requests } from './requests.ts';

export interface Inquired {
  readonly report: ProofReport | undefined;
  /** It rests on an epoch that the home cell's page does not list, and nobody signed in a later one: owners may be changing. */
  readonly isOpen?: boolean;
  /** Where the home cell has it right and something else is held. */
  readonly links: readonly Link[];
  /** The home cell's page and its chain, where it is one. */
  readonly page: readonly Entry[];
  readonly home: readonly Link[];
}

export interface InquiryParts {
  readonly chain: Chain;
  readonly requests: Requests;
  readonly proofs: HeadProofs;
}

export interface Suspicion {
  readonly log: bigint;
  readonly from: number;
  readonly to: number;
  readonly chain: LogChain;
  /** Signed heads checked before: older words of the owner, as good as a witness's. */
  readonly signed: readonly SignedHead[];
  /** Up to here the owner's signature covers what is held. */
  readonly confirmed: number;
  /** The range is that of a page: it is looked at again, however far it is below the head. */
  readonly isPage: boolean;
}

export async function inquire({ chain, requests, proofs }: InquiryParts, suspicion: Suspicion): Promise<Inquired> {
  const { log, to } = suspicion;
  const [owner, witness] = await Promise.all([readHead({ requests, proofs }, log, false), readHead({ requests, proofs }, log, true)]);
  const end = Math.max(to, owner?.seq ?? 0);
  if (suspicion.isPage && suspicion.from <= end - wireLimits.pageEntriesMax) return inquireBelow({ chain, requests }, suspicion, owner);
  const from = Math.max(1, suspicion.from, end - wireLimits.pageEntriesMax + 1);
  const { read, entries, hole } = await readFrom(requests, log, from);
  if (hole !== undefined) return missing(log, hole, owner === undefined ? 'nowhere' : 'owner');
  const lastSeq = entries.at(-1)?.seq ?? from - 1;
  // It stops short of what is held here; unless a new epoch gave that up, of which this client hears then.
  if (lastSeq < to && suspicion.chain.hashAt(to) !== undefined)
    return { ...missing(log, { from: lastSeq + 1, to }, owner === undefined ? 'nowhere' : 'owner'), isOpen: true };
  const home = linksOf(chain, entries);
  const signed = suspicion.signed.map(headAt);
  const words = [witness, ...signed].filter((each) => each !== undefined);
  const epochs = epochsOf(read);
  const judgeBy = (word: HeadAt | undefined, said = owner): ProofReport | undefined =>
    judge({ log, from, to, ours: (seq) => suspicion.chain.at(seq), home, owner: said, witness: word, epochs });
  const forked = words.map((word) => judgeBy(word)).find((each) => each?.kind === 'forked' && each.agreed === 'witness');
  // Where nobody answers, the owner's last word that was checked here stands against the home cell's page, in an epoch that this lists.
  const last = owner === undefined && witness === undefined ? signed.findLast((head) => !isUnlisted(head, epochs)) : owner;
  const report = forked ?? judgeBy(witness, last);
  // The owner's own too: it may have said it before the home cell heard of a newer epoch.
  const heads = [...words, owner].filter((each) => each !== undefined);
  const isOpen = report?.repaired === false && heads.some((head) => isUnlisted(head, epochs) && (owner?.epoch ?? 0n) <= head.epoch);
  return { report, isOpen, links: report?.repaired === true ? (home ?? []) : [], ...soundOf(entries, home) };
}

/**
 * Too far below the head for one page: the page is judged by the highest place that is known here, if that hangs together with
 * a head of the owner's. It takes nothing in, since what is held lies above.
 */
async function inquireBelow(
  { chain, requests }: Omit<InquiryParts, 'proofs'>,
  { log, from, to, chain: ours, signed, confirmed }: Suspicion,
  owner: HeadAt | undefined,
): Promise<Inquired> {
  const { read, entries, hole } = await readFrom(requests, log, from, to - from + 1);
  const atHead = owner && ours.hashAt(owner.seq);
  const isOwners = owner !== undefined && atHead !== undefined && sameHash(atHead, owner.hash);
  if (isOwners) ours.signed(owner.seq);
  const known = entries.findLast(({ seq }) => ours.hashAt(seq) !== undefined)?.seq;
  const isCovered = known !== undefined && ours.isCovered(known) && (isOwners || known <= confirmed);
  const agreed = isCovered ? 'owner' : 'nowhere';
  if (hole !== undefined) return missing(log, hole, agreed);
  const home = linksOf(chain, entries);
  const hash = known === undefined ? undefined : ours.hashAt(known);
  const word = known !== undefined && hash !== undefined ? { epoch: ours.at(known)?.epoch ?? 0n, seq: known, hash } : undefined;
  const judged = judge({ log, from, to, ours: (seq) => ours.at(seq), home, owner: word, witness: undefined });
  const report = judged?.repaired === false ? ({ ...judged, agreed } as const) : undefined;
  // Who signed in an older epoch than the home cell lists may not have heard yet what was given up.
  const isLater = ({ epoch }: Begin): boolean => signed.every((head) => head.epoch < epoch);
  const isOpen = report !== undefined && !isOwners && (!isCovered || epochsOf(read).some(isLater));
  return { report, isOpen, links: [], ...soundOf(entries, home) };
}

async function readFrom(requests: Requests, log: bigint, from: number, limit: number = wireLimits.pageEntriesMax) {
  const range = { log, from: BigInt(from), before: 0n, limit };
  const read = await requests.ask({ $case: 'readHistory', value: range }, 'page');
  const entries = read.entries.map(entryFromWire);
  return { read, entries, hole: holeIn(entries, from) };
}

type Hole = NonNullable<ReturnType<typeof holeIn>>;

const missing = (log: bigint, hole: Hole, agreed: Hop): Inquired => ({
  report: { kind: 'missing', log, ...hole, agreed, repaired: false },
  links: [],
  ...soundOf([], undefined),
});

const soundOf = (page: readonly Entry[], home: readonly Link[] | undefined) =>
  home === undefined ? { page: [], home: [] } : { page, home };

/** A log whose only epoch is the one of its head has no list. */
const epochsOf = (page: Page): Begin[] =>
  page.epochs.length === 0 && page.head !== undefined ? [{ epoch: page.head.epoch, base: 0 }] : beginsOf(page);

const headAt = (head: SignedHead): HeadAt => ({ epoch: head.epoch, seq: Number(head.seq), hash: head.hash });

/** Undefined when nobody answers, or the signature is not the owner's. */
async function readHead({ requests, proofs }: Omit<InquiryParts, 'chain'>, log: bigint, witness: boolean): Promise<HeadAt | undefined> {
  try {
    const head = await requests.ask({ $case: 'readSignedHead', value: { log, witness } }, 'signedHead');
    return (await proofs.proves(head)) === true ? headAt(head) : undefined;
  } catch {
    return undefined;
  }
}

/** Seqs that a page passes over. */
export function holeIn(entries: readonly Entry[], from: number): { readonly from: number; readonly to: number } | undefined {
  let next = Math.max(from, 1);
  for (const { seq } of entries) {
    if (seq > next) return { from: next, to: seq - 1 };
    next = seq + 1;
  }
  return undefined;
}
