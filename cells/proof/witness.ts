// What other cells say of the logs they own is kept, newest first for each epoch, compared with what was kept before and
// with the replica here. Two heads of one place that differ, both signed by the owner, are a fork nobody can deny.
import { sameHash } from '@weft/proto/chain.ts';
import type { SignedHead } from '@weft/proto/gen/weft/client/v1/client.ts';
import { epochParts } from '@weft/proto/positions.ts';
import type { Clock } from '@weft/runtime/clock.ts';
import { LruMap } from 'toad-cache';
import type { SideTables } from '../store/side-tables.ts';

export interface WitnessOptions {
  readonly clock: Clock;
  readonly tables: Pick<
    SideTables,
    'readHeadHashes' | 'freezeForked' | 'readWitnessedHeads' | 'upsertWitnessedHeads' | 'forgetWitnessedHeads'
  >;
  readonly proves: (head: SignedHead) => boolean;
  /** The owner contradicts itself, or what is kept here. `kept`: the other word, when it is signed too. */
  readonly forked: (src: number, said: SignedHead, kept: SignedHead | undefined) => void;
  readonly rejected: (src: number, why: string) => void;
  readonly limits: { readonly headsWitnessedMax: number; readonly headWitnessedMsMax: number };
}

export class Witness {
  readonly #options: WitnessOptions;
  /** By log: the newest heard of, not kept yet. */
  readonly #heard: LruMap<SignedHead>;

  constructor(options: WitnessOptions) {
    this.#options = options;
    this.#heard = new LruMap(options.limits.headsWitnessedMax);
  }

  /** Only the owner of its epoch speaks for a log. Others' heads are left out of the result. */
  hear(src: number, heads: readonly SignedHead[]): SignedHead[] {
    const believed = heads.filter(({ epoch }) => epochParts(epoch).cell === src);
    if (believed.length < heads.length) this.#options.rejected(src, 'not-owner');
    for (const head of believed) {
      const known = this.#heard.get(head.log);
      if (known && known.epoch === head.epoch && known.seq === head.seq && !sameHash(known.hash, head.hash))
        this.#options.forked(src, head, known);
      this.#heard.set(head.log, known && isNewer(known, head) ? known : head);
    }
    return believed;
  }

  /** Keeps what was heard; one node does it for the cell. What could not be kept waits for the next time. */
  async keep(): Promise<void> {
    const { tables, proves, rejected } = this.#options;
    const heard = [...this.#heard.items.values()].map(({ value }) => value);
    if (heard.length === 0) return;
    const proved = heard.filter((head) => {
      if (proves(head)) return true;
      rejected(epochParts(head.epoch).cell, 'bad-signature');
      return false;
    });
    const logs = proved.map(({ log }) => log);
    const [kept, replicas] = await Promise.all([tables.readWitnessedHeads(logs), tables.readHeadHashes(logs)]);
    for (const head of proved) this.#compare(head, kept.get(head.log));
    const byLog = new Map(replicas.map((each) => [each.log, each]));
    for (const head of proved) {
      const here = byLog.get(head.log);
      if (!here || here.epoch !== head.epoch || here.head !== Number(head.seq) || sameHash(here.hash, head.hash)) continue;
      if (await tables.freezeForked(head)) this.#options.forked(epochParts(head.epoch).cell, head, undefined);
    }
    await tables.upsertWitnessedHeads(proved);
    for (const head of heard) if (this.#heard.get(head.log) === head) this.#heard.delete(head.log);
  }

  async read(log: bigint): Promise<SignedHead | undefined> {
    const kept = (await this.#options.tables.readWitnessedHeads([log])).get(log);
    const heard = this.#heard.get(log);
    return heard && this.#options.proves(heard) && (!kept || isNewer(heard, kept)) ? heard : kept;
  }

  async forget(): Promise<void> {
    const { tables, clock, limits } = this.#options;
    await tables.forgetWitnessedHeads(clock.now() - limits.headWitnessedMsMax);
  }

  #compare(said: SignedHead, kept: SignedHead | undefined): void {
    if (!kept || kept.epoch !== said.epoch || kept.seq !== said.seq || sameHash(kept.hash, said.hash)) return;
    this.#options.forked(epochParts(said.epoch).cell, said, kept);
  }
}

const isNewer = (a: SignedHead, b: SignedHead): boolean => (a.epoch === b.epoch ? a.seq > b.seq : a.epoch > b.epoch);
