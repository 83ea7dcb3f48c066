// Signed heads of logs, put together: signing what this cell owns, keeping what others signed, and answering who asks.
import { faults, WeftError } from '@weft/proto/faults.ts';
import type { SignedHead } from '@weft/proto/gen/weft/client/v1/client.ts';
import { HeadAnswer, HeadRequest, SignedHeads } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { type LogState, ownerOf } from '../delivery/log-state.ts';
import type { Link, LogRow } from '../delivery/ports.ts';
import { type HeadSigner, headsSignal } from './head-signer.ts';
import type { Witness } from './witness.ts';
import { witnessOf } from './witness-of.ts';

export interface ProofOptions {
  /** Number of this cell. */
  readonly cell: number;
  readonly signer: HeadSigner;
  readonly witness: Witness;
  readonly link: Pick<Link, 'request'>;
  readonly readRow: (log: bigint) => Promise<{ readonly row: LogRow; readonly state: LogState } | undefined>;
  /** Numbers of the other cells that are open. */
  readonly others: () => readonly number[];
  /** To the sockets of this node only. */
  readonly tell: (heads: readonly SignedHead[]) => void;
}

export class Proof {
  readonly signer: HeadSigner;
  readonly witness: Witness;
  readonly #options: ProofOptions;

  constructor(options: ProofOptions) {
    this.#options = options;
    this.signer = options.signer;
    this.witness = options.witness;
  }

  /** Of another cell: every node hears it and tells its own sockets. */
  heardSignal(src: number, what: string, bytes: Uint8Array): void {
    if (what === headsSignal) this.#options.tell(this.witness.hear(src, SignedHeads.decode(bytes).heads));
  }

  heardNode(heads: readonly SignedHead[]): void {
    this.signer.signedElsewhere(heads);
    this.#options.tell(heads);
  }

  /** For a member of the log: what its owner says now, or what the witness keeps of it. Throws WeftError peer_away. */
  async read(log: bigint, user: bigint, isWitness: boolean): Promise<SignedHead> {
    const { cell, readRow, others } = this.#options;
    const found = await readRow(log);
    if (!found?.state.members.has(user)) throw new WeftError('unknown_log');
    const owner = ownerOf(found.state);
    const asked = isWitness ? witnessOf(found.state, owner, [cell, ...others()]) : owner;
    if (asked === undefined) throw new WeftError('peer_away', 'there is no other cell', 1_000);
    if (asked !== cell) return this.#ask(asked, { log, witness: isWitness });
    if (!isWitness) return this.signer.signNow(found.row);
    const kept = await this.witness.read(log);
    if (!kept) throw new WeftError('peer_away', 'the owner has not signed it yet', 1_000);
    return kept;
  }

  async answer(src: number, bytes: Uint8Array): Promise<Uint8Array> {
    return HeadAnswer.encode(await this.#answer(src, HeadRequest.decode(bytes))).finish();
  }

  async #ask(cell: number, request: HeadRequest): Promise<SignedHead> {
    const answer = HeadAnswer.decode(await this.#options.link.request(cell, headMethod, HeadRequest.encode(request).finish()));
    if (answer.result?.$case === 'head') return answer.result.value;
    throw new WeftError('peer_away', 'the other cell has no signed head of it', 1_000);
  }

  /** The owner's word goes to cells that keep the log; the witness's copy to whoever knows the log's id. */
  async #answer(src: number, { log, witness }: HeadRequest): Promise<HeadAnswer> {
    const { cell, readRow } = this.#options;
    if (witness) {
      const kept = await this.witness.read(log);
      return kept ? { result: { $case: 'head', value: kept } } : refusal('unknown_log');
    }
    const found = await readRow(log);
    if (!found) return refusal('unknown_log');
    const owner = ownerOf(found.state);
    if (owner !== cell) return { result: { $case: 'moved', value: { subject: log, cell: owner, epoch: found.state.epoch } } };
    if (found.state.cells.get(src)?.until !== 0) return refusal('not_allowed');
    return { result: { $case: 'head', value: this.signer.signNow(found.row) } };
  }
}

const refusal = (code: 'unknown_log' | 'not_allowed'): HeadAnswer => ({
  result: { $case: 'fault', value: { code, text: faults[code].text, retry: 'RETRY_NEVER', afterMs: 0 } },
});

export const headMethod = 'head';
