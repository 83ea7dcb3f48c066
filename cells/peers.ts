// The other cells as this one knows them: numbers and names, generations, seal keys; and this cell's own record, kept
// up to date in the directory.

import { type CellRecord, CellState, KeyUse } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import { birthCell } from '@weft/proto/ids.ts';
import type { Clock } from '@weft/runtime/clock.ts';
import type { DirectoryReplica } from '@weft/runtime/directory-replica.ts';
import type { Log } from '@weft/runtime/log.ts';
import type { PeerSealKey } from '@weft/runtime/seal.ts';
import type { CellKeys } from './accounts/cell-keys.ts';
import type { Pair } from './delivery/log-state.ts';

export interface PeersOptions {
  readonly replica: DirectoryReplica;
  readonly keys: CellKeys;
  readonly clock: Clock;
  readonly log: Log;
  /** The generation of this cell that the directory answered. */
  readonly registered: (generation: number) => void;
  readonly own: {
    readonly name: string;
    readonly number: number;
    readonly region: string;
    readonly generation: number;
    readonly url: string;
  };
}

/** What is asked about the other cells. */
export type KnownPeers = Pick<Peers, 'others' | 'nameOf' | 'numberOf' | 'generationOf' | 'homeOf' | 'birthplace' | 'takeover'>;

const registerEveryMs = 10_000;
const registerAgainMs = 1_000;

export class Peers implements AsyncDisposable {
  readonly #options: PeersOptions;
  readonly #owned = new DisposableStack();
  readonly #sealKeys = new Map<string, { version: bigint; keys: PeerSealKey[] }>();
  #timer: Disposable | undefined;
  #registering: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: PeersOptions) {
    this.#options = options;
    this.#owned.use(options.keys.on('change', () => this.#register()));
    this.#register();
  }

  /** Cells other than this one that are not retired. */
  others(): CellRecord[] {
    return this.#options.replica
      .cells()
      .filter((cell) => cell.name !== this.#options.own.name && cell.state !== CellState.CELL_STATE_RETIRED);
  }

  /** Names of those whose word can be believed: who has published no seal key yet can seal nothing. */
  heard = (): string[] =>
    this.others()
      .map(({ name }) => name)
      .filter((name) => this.sealKeysOf(name).length > 0);

  nameOf = (number: number): string | undefined => this.#options.replica.cell(number)?.name;

  numberOf = (name: string): number | undefined => this.#options.replica.cell(name)?.number;

  generationOf = (number: number): number => Number(this.#options.replica.cell(number)?.generation ?? 0n);

  homeOf = (user: bigint): number => this.#options.replica.homeOf(user);

  /** What the directory signed last about who takes this log over. */
  takeover = (log: bigint): { readonly epoch: bigint; readonly owner: number } | undefined => this.#options.replica.takeover(log);

  /** Owner-to-be of a direct conversation: the birth cell of its lower user, or that cell's heir. */
  birthplace = (pair: Pair): number => {
    const birth = birthCell(pair.low);
    const record = this.#options.replica.cell(birth);
    return record?.state === CellState.CELL_STATE_RETIRED && record.heir !== 0 ? record.heir : birth;
  };

  sealKeysOf = (name: string): readonly PeerSealKey[] => {
    const record = this.#options.replica.cell(name);
    if (!record) return [];
    const known = this.#sealKeys.get(name);
    if (known?.version === record.version) return known.keys;
    const keys = record.keys
      .filter((key) => key.use === KeyUse.KEY_USE_SEAL)
      .map((key) => ({ version: key.version, publicKey: key.key, generation: Number(record.generation), ends: Number(key.ends) }));
    this.#sealKeys.set(name, { version: record.version, keys });
    return keys;
  };

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#owned.dispose();
    this.#timer?.[Symbol.dispose]();
    await this.#registering;
  }

  #register(): void {
    this.#timer?.[Symbol.dispose]();
    this.#registering = this.#registering.then(async () => {
      if (this.#closed) return;
      const done = await this.#registerOnce();
      if (!this.#closed) this.#timer = this.#options.clock.timer(done ? registerEveryMs : registerAgainMs, () => this.#register());
    });
  }

  async #registerOnce(): Promise<boolean> {
    const { replica, keys, own, log } = this.#options;
    try {
      const record = await replica.directory.registerCell({
        name: own.name,
        number: own.number,
        region: own.region,
        urls: [own.url],
        generation: BigInt(own.generation),
        heir: 0,
        keys: keys.publicKeys(),
        state: CellState.CELL_STATE_UNSPECIFIED,
        weight: 0,
        version: 0n,
      });
      this.#options.registered(Number(record.generation));
      return true;
    } catch (error) {
      log.debug({ err: error }, 'the cell could not register; trying again');
      return false;
    }
  }
}
