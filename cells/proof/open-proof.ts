// Puts signer and witness of one node together.
import type { SignedHead } from '@weft/proto/gen/weft/client/v1/client.ts';
import type { Clock } from '@weft/runtime/clock.ts';
import type { LogState } from '../delivery/log-state.ts';
import type { Link, LogRow } from '../delivery/ports.ts';
import { cellLimits } from '../limits.ts';
import type { KnownPeers } from '../peers.ts';
import type { Hub } from '../push/hub.ts';
import type { SideTables } from '../store/side-tables.ts';
import type { HeadKeys } from './head-keys.ts';
import { HeadSigner } from './head-signer.ts';
import { Proof } from './proof.ts';
import { Witness } from './witness.ts';

export interface OpenProofOptions {
  readonly cell: { readonly number: number };
  readonly store: {
    state(log: bigint): Promise<LogState | undefined>;
    readRow(log: bigint): Promise<{ readonly row: LogRow; readonly state: LogState } | undefined>;
  };
  readonly link: Pick<Link, 'signal' | 'request'>;
  readonly peers: Pick<KnownPeers, 'others'>;
  readonly headKeys: Pick<HeadKeys, 'sign' | 'proves'>;
  readonly tables: SideTables;
  readonly clock: Clock;
  readonly hub: Pick<Hub, 'tellWatchers'>;
  readonly tellNodes: (heads: readonly SignedHead[]) => void;
  readonly rejected: (src: number, what: string, why: string) => void;
  readonly failed: (error: unknown) => void;
  /** Closes what is opened here. */
  readonly own: AsyncDisposableStack;
}

export function openProof(options: OpenProofOptions): Proof {
  const { store, link, peers, headKeys, clock, hub } = options;
  const cell = options.cell.number;
  const others = (): number[] => peers.others().map(({ number }) => number);
  const tell = (heads: readonly SignedHead[]): void => {
    for (const head of heads) hub.tellWatchers(head.log, { $case: 'signedHead', value: head });
  };
  const signer = options.own.use(
    new HeadSigner({
      cell,
      clock,
      link,
      others,
      sign: (head) => headKeys.sign(head),
      stateOf: (log) => store.state(log),
      tell: (heads) => {
        tell(heads);
        options.tellNodes(heads);
      },
      failed: options.failed,
      limits: cellLimits,
    }),
  );
  const witness = new Witness({
    clock,
    tables: options.tables,
    proves: (head) => headKeys.proves(head),
    forked: (src) => options.rejected(src, 'head', 'fork'),
    rejected: (src, why) => options.rejected(src, 'head', why),
    limits: cellLimits,
  });
  return new Proof({ cell, signer, witness, link, others, readRow: (log) => store.readRow(log), tell });
}
