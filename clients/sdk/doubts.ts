// What looks wrong in a log is looked into (inquiry.ts): a few logs at once, each doubt until somebody answers, and told.
import type { Chain } from '@weft/proto/chain.ts';
import type { SignedHead } from '@weft/proto/gen/weft/client/v1/client.ts';

import type { Entry } from './entry.ts';
import { type InquiryParts, inquire } from './inquiry.ts';
import type { ProofReport } from './judge.ts';
import { clientLimits as limits } from './limits.ts';
import { isSame, type LogChain } from './log-chain.ts';
import type { LogView } from './log-view.ts';
import type { Clock } from './ports.ts';

/** A range that looks wrong. */
export interface Doubt {
  readonly from: number;
  readonly to: number;
  /** Another word of the owner on the same place. */
  readonly earlier?: SignedHead;
  /** A second version of an entry came. */
  readonly isSecond?: boolean;
  /** A page showed this. */
  readonly shown?: readonly Entry[];
}

/** A log and what is known of it. */
export interface Suspect {
  readonly log: bigint;
  readonly chain: LogChain;
  /** Newest head whose signature was checked. */
  readonly signed: SignedHead | undefined;
  /** Up to here the owner's signature covers what was shown. */
  readonly confirmed: number;
}

export interface DoubtsOptions extends InquiryParts {
  readonly clock: Clock;
  readonly view: (log: bigint) => LogView | undefined;
  readonly tell: (report: ProofReport) => void;
  /** These stand in the places of others now. */
  readonly corrected: (entries: readonly Entry[]) => void;
}

/** A doubt, and how often it was looked into without an end. */
interface Case {
  readonly suspect: Suspect;
  readonly doubt: Doubt;
  readonly tries: number;
}

export class Doubts {
  readonly #options: DoubtsOptions;
  /** Logs that are looked into, each with what waits for its turn. */
  readonly #open = new Map<bigint, Case[]>();
  /** Of cases that are looked into later. */
  readonly #timers = new Set<() => void>();
  #isStopped = false;

  constructor(options: DoubtsOptions) {
    this.#options = options;
  }

  add(suspect: Suspect, doubt: Doubt): void {
    this.#add({ suspect, doubt, tries: 0 });
  }

  stop(): void {
    this.#isStopped = true;
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
  }

  #add(each: Case): void {
    if (this.#isStopped) return;
    const waiting = this.#open.get(each.suspect.log);
    if (waiting !== undefined) {
      if (!isLasting(each.doubt) && waiting.length < limits.doubtsWaitingMax) waiting.push(each);
      return;
    }
    const isFull = this.#open.size >= limits.inquiriesMax;
    this.#open.set(each.suspect.log, []);
    if (isFull) this.#later(limits.inquireAgainMs, () => this.#begin(each));
    else this.#begin(each);
  }

  #begin(each: Case): void {
    const { log } = each.suspect;
    this.#inquire(each)
      // No answer. What a page showed once may never be shown again, so it is asked for until there is one.
      .catch(() => this.#again(each, limits.inquireAgainMs))
      .finally(() => {
        const [next, ...others] = this.#open.get(log) ?? [];
        this.#open.delete(log);
        if (next === undefined) return;
        this.#add(next);
        this.#open.get(log)?.push(...others);
      });
  }

  #again({ suspect, doubt, tries }: Case, afterMs: number): void {
    if (tries < limits.inquiryTriesMax) this.#later(afterMs, () => this.#add({ suspect, doubt, tries: tries + 1 }));
  }

  #later(afterMs: number, run: () => void): void {
    if (this.#isStopped) return;
    const cancel = this.#options.clock.timer(afterMs, () => {
      this.#timers.delete(cancel);
      run();
    });
    this.#timers.add(cancel);
  }

  async #inquire(each: Case): Promise<void> {
    const { tell, view, corrected: told } = this.#options;
    const { log, chain, confirmed } = each.suspect;
    const { from, to, earlier, isSecond, shown } = each.doubt;
    const signed = [earlier, each.suspect.signed].filter((head) => head !== undefined);
    const found = await inquire(this.#options, { log, from, to, chain, signed, confirmed, isPage: shown !== undefined });
    const isOpen = found.isOpen === true || isAhead(found.page, view(log));
    if (isOpen && each.tries < limits.inquiryTriesMax) return this.#again(each, limits.openInquiryAgainMs);
    if (found.report?.repaired === false) return tell(found.report);
    chain.replace(found.links);
    const corrected = chain.correct(found.home);
    chain.learn(found.home, found.page[0]?.prev);
    const wrong = boundsOf([...otherThan(this.#options.chain, shown ?? [], found.page), ...corrected]);
    const report = found.report ?? reportOf({ log, range: isSecond === true ? { from, to } : wrong });
    if (report === undefined) return;
    // What was shown otherwise may be kept as it was shown.
    for (const entry of found.page) view(log)?.replace(entry);
    told(found.page);
    tell(report);
  }
}

/** It is of an epoch that this client has not heard of: what that gave up is told first, else the page would hide it. */
const isAhead = (page: readonly Entry[], view: LogView | undefined): boolean =>
  view !== undefined && page.some(({ seq, epoch }) => seq <= view.head && epoch > view.epoch);

/** It was shown otherwise once, and the home cell has it right: two versions came, or a page that is another one now. */
const reportOf = ({ log, range }: { log: bigint; range: Pick<ProofReport, 'from' | 'to'> | undefined }): ProofReport | undefined =>
  range && { kind: 'rewritten', log, ...range, agreed: 'home', repaired: true };

/** What breaks the chain, or differs from a signed head, does so again with the next entry and the next head. */
const isLasting = ({ earlier, isSecond, shown }: Doubt): boolean => earlier === undefined && isSecond !== true && shown === undefined;

/** Entries of the page that were shown otherwise. What a later epoch gave up is no fault. */
function otherThan(chain: Chain, shown: readonly Entry[], page: readonly Entry[]): Entry[] {
  const before = new Map(shown.map((entry) => [entry.seq, entry]));
  return page.filter((entry) => {
    const was = before.get(entry.seq);
    return was !== undefined && was.epoch >= entry.epoch && !isSame(chain, was, entry);
  });
}

function boundsOf(links: readonly { readonly seq: number }[]): { readonly from: number; readonly to: number } | undefined {
  const seqs = links.map(({ seq }) => seq);
  return seqs.length === 0 ? undefined : { from: Math.min(...seqs), to: Math.max(...seqs) };
}
