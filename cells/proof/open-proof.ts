// Puts signer and witness of one node together.
import type { SignedHead } from '@weft/proto/gen/weft/client/v1/client.ts';
import type { Clock } from '@weft/runtime/clock.ts';
import type pg from 'pg';
import type { LogState } from '../delivery/log-state.ts';
import type { Link, LogRow } from '../delivery/ports.ts';
import { cellLimits } from '../limits.ts';
import type { KnownPeers } from '../peers.ts';
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
  readonly headKeys: HeadKeys;
  readonly pool: pg.Pool;
  readonly clock: Clock;
  /** To the sockets of this node, and to the other nodes. */
  readonly tell: (heads: readonly SignedHead[]) => void;
  readonly tellNodes: (heads: readonly SignedHead[]) => void;
  readonly rejected: (src: number, what: string, why: string) => void;
  readonly failed: (error: unknown) => void;
}

export function openProof(options: OpenProofOptions): Proof {
  const { store, link, peers, headKeys, clock, tell } = options;
  const cell = options.cell.number;
  const others = (): number[] => peers.others().map(({ number }) => number);
  const signer = new HeadSigner({
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
  });
  const witness = new Witness({
    clock,
    query: (statement) => options.pool.query(statement),
    proves: (head) => headKeys.proves(head),
    forked: (src) => options.rejected(src, 'head', 'fork'),
    rejected: (src, why) => options.rejected(src, 'head', why),
    limits: cellLimits,
  });
  return new Proof({ cell, signer, witness, link, others, readRow: (log) => store.readRow(log), tell });
}
