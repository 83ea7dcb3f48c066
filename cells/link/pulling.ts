// What a node takes from other cells: their frames, what its replicas lack, and what the logs it owns have lost.

import type { Chain } from '@weft/proto/chain.ts';
import { Applier, type ApplierOptions } from '../delivery/applier.ts';
import type { IntakeRelay } from '../delivery/intake-relay.ts';
import { Ownership, type OwnershipOptions } from '../delivery/ownership.ts';
import { Puller, type PullerOptions } from '../delivery/puller.ts';
import { snapshotAt } from '../delivery/snapshot.ts';
import type { CellDeliveryOptions } from '../delivery-options.ts';
import type { DeliveryLimits } from '../limits.ts';
import { fromWire } from '../wire/entry-codec.ts';
import { decodeRuns } from '../wire/frames.ts';

interface PullingOptions extends Pick<CellDeliveryOptions, 'cell' | 'store' | 'link' | 'clock' | 'peers' | 'tables' | 'metrics'> {
  readonly limits: DeliveryLimits;
  readonly applier: Applier;
  readonly failed: (error: unknown) => void;
}

type ApplierParts = Omit<PullingOptions, 'applier'> &
  Pick<ApplierOptions, 'submit' | 'behind' | 'named' | 'marks'> & { readonly rejected: (src: number, what: string, why: string) => void };

export function openApplier(options: ApplierParts): Applier {
  const { clock, link, peers, tables, limits, submit, behind, named, marks, rejected, failed, metrics } = options;
  return new Applier({
    clock,
    link,
    generationOf: peers.generationOf,
    decodeRuns,
    submit,
    limits,
    behind,
    named,
    marks,
    park: async (frame, why) => {
      await tables.parkFrame({ ...frame, bytes: frame.plain }, why, clock.now());
      rejected(frame.src, 'frame', 'unreadable');
    },
    rejected: (src, why) => rejected(src, 'operation', why),
    failed,
    applied: (src, entries) => metrics().applied.inc({ src: peers.nameOf(src) ?? String(src) }, entries),
  });
}

export function openPuller(options: PullingOptions & Pick<PullerOptions, 'longer'>): Puller {
  const { cell, store, link, clock, peers, limits, applier, longer, metrics, failed } = options;
  return new Puller({
    cell: cell.number,
    store,
    link,
    clock,
    takeover: peers.takeover,
    generationOf: peers.generationOf,
    limits,
    apply: (operation) => applier.apply(operation),
    longer,
    fromWire,
    pulled: (src, entries) => metrics().pulled.inc({ src: peers.nameOf(src) ?? String(src) }, entries),
    failed,
  });
}

export interface OwnershipParts extends PullingOptions, Pick<OwnershipOptions, 'compare'> {
  readonly chain: Chain;
  readonly puller: Puller;
  readonly intakeRelay: IntakeRelay;
}

export function openOwnership(options: OwnershipParts): Ownership {
  const { cell, store, link, peers, tables, limits, applier, puller, intakeRelay, chain, failed, compare } = options;
  return new Ownership({
    compare,
    stateAt: (log, seq) => snapshotAt(store, chain, { log, seq }),
    cell: cell.number,
    generation: cell.generation,
    store,
    link,
    others: () => peers.others().map(({ number }) => number),
    generationOf: peers.generationOf,
    takeover: peers.takeover,
    regained: tables.regained(cell.generation),
    apply: (operation) => applier.apply(operation),
    want: (log, src) => puller.want(log, src),
    takeOwn: () => intakeRelay.addressedAnew(cell.number),
    fromWire,
    limits,
    failed,
  });
}
