// What cells ask each other and get an answer to at once: a range of a log, the digests of what they share, the opening
// of a direct conversation.
import { Chain } from '@weft/proto/chain.ts';
import { WeftError } from '@weft/proto/faults.ts';
import { DigestRequest, KeptRequest, OpenAnswer, OpenRequest, PullRequest, TailRequest } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import type { Clock } from '@weft/runtime/clock.ts';
import { sha256 } from '@weft/runtime/sha256.ts';
import { AntiEntropy } from '../delivery/anti-entropy.ts';
import { kinds } from '../delivery/entry.ts';
import { pairKey, pairOf } from '../delivery/log-state.ts';
import type { AppendOperation, Outcome } from '../delivery/operations.ts';
import type { Link } from '../delivery/ports.ts';
import { PullServer } from '../delivery/pull-server.ts';
import { TailServer } from '../delivery/tail-server.ts';
import { type CellLimits, cellLimits } from '../limits.ts';
import type { KnownPeers } from '../peers.ts';
import { headMethod } from '../proof/proof.ts';
import type { CellStore } from '../store/sql-log-store.ts';
import { toWire } from '../wire/entry-codec.ts';

export interface PeerRequestsOptions {
  readonly cell: { readonly number: number };
  readonly store: CellStore;
  readonly link: Link;
  readonly peers: KnownPeers;
  readonly clock: Clock;
  readonly limits?: CellLimits;
  /** Answers for signed heads. */
  readonly heads: (src: number, bytes: Uint8Array) => Promise<Uint8Array>;
  readonly append: (operation: AppendOperation) => Promise<Outcome>;
  readonly want: (log: bigint, src: number) => void;
  /** A replica takes the log to be in an epoch that this cell does not know, which may be one of its own. */
  readonly named: (log: bigint, by: { readonly src: number; readonly epoch: bigint }) => void;
  /** A replica holds more of an epoch than this cell, its owner. */
  readonly ahead: (log: bigint, at: { readonly epoch: bigint; readonly head: number }) => void;
  /** A restored store holds again what others can give back (R25). */
  readonly isWhole: () => boolean;
  readonly rejected: (src: number, what: string, why: string) => void;
}

export class PeerRequests {
  readonly antiEntropy: AntiEntropy;
  readonly #options: PeerRequestsOptions;
  readonly #pulls: PullServer;
  readonly #tails: TailServer;

  constructor(options: PeerRequestsOptions) {
    const { cell, store, link, want, rejected, isWhole, limits = cellLimits } = options;
    this.#options = options;
    this.#pulls = new PullServer({
      cell: cell.number,
      store,
      limits,
      toWire,
      chain: new Chain(sha256),
      refused: (src) => rejected(src, 'request', 'not-a-replica'),
      isWhole,
      ahead: options.ahead,
      named: options.named,
    });
    this.#tails = new TailServer({
      store,
      takeover: options.peers.takeover,
      kept: (of, page) => store.keptHeads(of, page),
      limits: cellLimits,
      toWire,
      refused: (src) => rejected(src, 'request', 'not-the-owner'),
    });
    this.antiEntropy = new AntiEntropy({
      heads: { owned: (of, page) => store.ownedHeads(of, page), kept: (of, page) => store.keptHeads(of, page) },
      link,
      want,
      limits: {
        buckets: limits.digestBuckets,
        pageRows: limits.digestPageRows,
        bucketsPerRequest: limits.digestBucketsPerRequest,
        headsPerAnswer: limits.digestHeadsPerAnswer,
      },
    });
  }

  async answer(src: number, method: string, bytes: Uint8Array): Promise<Uint8Array> {
    if (method === 'pull') return this.#pulls.answer(src, PullRequest.decode(bytes));
    if (method === 'tail') return this.#tails.tail(src, TailRequest.decode(bytes));
    if (method === 'kept') return this.#tails.kept(src, KeptRequest.decode(bytes));
    if (method === 'digest') return this.antiEntropy.answer(src, DigestRequest.decode(bytes));
    if (method === headMethod) return this.#options.heads(src, bytes);
    if (method === 'open') return OpenAnswer.encode(await this.#open(src, OpenRequest.decode(bytes))).finish();
    throw new WeftError('unknown_request', method);
  }

  /** Asks the birthplace to open a conversation and waits until its first entry has come here. */
  async openAway(opener: bigint, peer: bigint, clientEntryId: bigint): Promise<bigint> {
    const { link, peers, store, clock, want } = this.#options;
    const pair = pairOf(opener, peer);
    const birthplace = peers.birthplace(pair);
    const request = OpenRequest.encode({ opener, peer, peerHome: peers.homeOf(peer), clientEntryId }).finish();
    const answer = OpenAnswer.decode(await link.request(birthplace, 'open', request));
    if (answer.result?.$case !== 'log') throw new WeftError('peer_away', 'the other cell did not open the conversation', 1_000);
    const log = answer.result.value;
    for (const until = clock.monotonic() + cellLimits.requestMsMax; clock.monotonic() < until; await clock.sleep(cellLimits.openPollMs)) {
      if ((await store.findPairs([pair])).size > 0) return log;
    }
    want(log, birthplace);
    throw new WeftError('peer_away', 'the conversation is open but has not come here yet', 500);
  }

  /** Only for the asking cell's own people, and only where the conversation is born. */
  async #open(src: number, { opener, peer, clientEntryId }: OpenRequest): Promise<OpenAnswer> {
    const { peers, cell, store, append, rejected } = this.#options;
    const pair = pairOf(opener, peer);
    if (peers.homeOf(opener) !== src) {
      rejected(src, 'request', 'foreign-author');
      return fault('not_allowed');
    }
    if (peers.birthplace(pair) !== cell.number || opener === peer) return fault('bad_request');
    const known = (await store.findPairs([pair])).get(pairKey(pair));
    if (known !== undefined) return { result: { $case: 'log', value: known } };
    const outcome = await append({
      type: 'append',
      target: { pair },
      author: opener,
      clientEntryId,
      kind: kinds.created,
      body: new Uint8Array(),
    });
    return outcome.type === 'accepted' ? { result: { $case: 'log', value: outcome.entry.log } } : fault('busy');
  }
}

function fault(code: 'not_allowed' | 'bad_request' | 'busy'): OpenAnswer {
  const { message, retry } = new WeftError(code);
  return {
    result: { $case: 'fault', value: { code, text: message, retry: retry === 'later' ? 'RETRY_LATER' : 'RETRY_NEVER', afterMs: 0 } },
  };
}
