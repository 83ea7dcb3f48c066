import type { Clock } from '@weft/runtime/clock.ts';
import type { Log } from '@weft/runtime/log.ts';
import type { RelayOptions } from './delivery/relay.ts';
import type { Failpoints } from './failpoints.ts';
import type { DeliveryLimits } from './limits.ts';
import type { SealedLink } from './link/sealed-link.ts';
import type { Waiting } from './link/waiting.ts';
import type { DeliveryMetrics } from './metrics.ts';
import type { KnownPeers } from './peers.ts';
import type { HeadKeys } from './proof/head-keys.ts';
import type { NodePushesOptions, PushBus } from './push/node-pushes.ts';
import type { SideTables } from './store/side-tables.ts';
import type { CellStore } from './store/sql-log-store.ts';

export interface CellDeliveryOptions extends Pick<NodePushesOptions, 'onSessionsEnded' | 'onSessionsOpened'>, Pick<RelayOptions, 'traced'> {
  readonly cell: { readonly name: string; readonly number: number; readonly generation: number };
  readonly node: { readonly number: number; readonly startMs: number };
  readonly clock: Clock;
  readonly log: Log;
  readonly tables: SideTables;
  readonly store: CellStore;
  readonly link: SealedLink;
  readonly cellBus: PushBus;
  readonly peers: KnownPeers;
  readonly waiting: Pick<Waiting, 'hasIntakeRoom' | 'hasOutboxRoom' | 'committed'>;
  readonly headKeys: Pick<HeadKeys, 'sign' | 'proves'>;
  readonly metrics: () => DeliveryMetrics;
  readonly freshId: () => bigint;
  readonly limits?: DeliveryLimits;
  readonly failpoints: Failpoints;
}

/** What a decision has to know of the other cells. */
export const deciding = ({ homeOf, birthplace, takeover, generationOf }: KnownPeers) => ({ homeOf, birthplace, takeover, generationOf });
