// The two streams of a cell: frames from other cells (account FABRIC) and its own work queue (account CELL).
import {
  AckPolicy,
  DiscardPolicy,
  JetStreamApiError,
  type JetStreamManager,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from '@nats-io/jetstream';
import { type NatsConnection, nanos } from '@nats-io/transport-node';
import { streams, subjects } from '@weft/proto/subjects.ts';
import { linkLimits } from './link-limits.ts';

export interface StreamSize {
  readonly maxBytes: number;
  /** 1 on one server, 3 in production. */
  readonly replicas: number;
}

type Wanted = Pick<StreamConfig, 'name' | 'subjects' | 'max_bytes' | 'num_replicas'> & Partial<StreamConfig>;

/** Calls answered by the own cell's servers only. */
const streamsOf = (nc: NatsConnection, cell: string): Promise<JetStreamManager> =>
  jetstreamManager(nc, { domain: cell, checkAPI: false, timeout: linkLimits.streamApiMsMax });

/**
 * The inbound stream with exactly these sources, and one durable consumer per partition; made or brought up to date.
 * May be called by every node, again and again. Sources are named one by one because a hub announces to a leaf only
 * interest that lies wholly inside what the leaf may publish. Rejects while the server is away.
 */
export async function ensureInbound(
  at: { readonly nc: NatsConnection; readonly cell: string },
  sources: readonly string[],
  size: StreamSize,
): Promise<void> {
  const { nc, cell } = at;
  const api = await streamsOf(nc, cell);
  const partitions = Array.from({ length: streams.partitions }, (_, p) => p);
  // A stream without subjects would capture its own name. A cell that is alone listens to itself.
  const from = sources.length === 0 ? [cell] : [...sources].sort();
  await ensureStream(api, {
    name: streams.inbound(cell),
    subjects: from.flatMap((src) => partitions.map((p) => subjects.framesFromInto(cell, src, p))),
    max_bytes: size.maxBytes,
    num_replicas: size.replicas,
    max_age: nanos(linkLimits.inboundAgeMsMax),
    max_msg_size: linkLimits.inboundMessageBytesMax,
    duplicate_window: nanos(linkLimits.dedupeMs),
    deny_delete: true,
    deny_purge: true,
    // Nobody known yet is no reason to take away whom another node of the cell has admitted.
    ifMissing: sources.length === 0,
  });
  for (const p of partitions) {
    try {
      await addConsumer(api, cell, p);
    } catch (error) {
      if (isUnmade(error)) await deleteConsumer(api, cell, p);
      throw error;
    }
  }
}

/**
 * Makes a partition's consumer anew: what it had handed out is handed out again, and the requests of a frozen node, which would go on
 * swallowing frames, are void. The stream keeps every frame. Rejects while server or stream are away, then with the consumer perhaps gone.
 */
export async function remakeConsumer(at: { readonly nc: NatsConnection; readonly cell: string }, p: number): Promise<void> {
  const api = await streamsOf(at.nc, at.cell);
  await deleteConsumer(api, at.cell, p);
  await addConsumer(api, at.cell, p);
}

async function addConsumer(api: JetStreamManager, cell: string, p: number): Promise<void> {
  await api.consumers.add(streams.inbound(cell), {
    durable_name: streams.partitionConsumer(p),
    filter_subject: subjects.framesOfPartition(cell, p),
    ack_policy: AckPolicy.Explicit,
    ack_wait: nanos(linkLimits.ackWaitMs),
    max_ack_pending: linkLimits.unackedPerPartitionMax,
    max_deliver: -1,
  });
}

async function deleteConsumer(api: JetStreamManager, cell: string, p: number): Promise<void> {
  await api.consumers.delete(streams.inbound(cell), streams.partitionConsumer(p)).catch((error: unknown) => {
    if (!isMissing(error)) throw error;
  });
}

/** Age of the oldest frame in the inbound stream by its broker's clock, 0 when it holds none. Rejects while the server is away. */
export async function oldestInboundMs(at: { readonly nc: NatsConnection; readonly cell: string }): Promise<number> {
  const { state, ts } = await (await streamsOf(at.nc, at.cell)).streams.info(streams.inbound(at.cell));
  return state.messages === 0 ? 0 : Math.max(1, Date.parse(ts ?? '') - Date.parse(state.first_ts));
}

/** The cell's own work queue, in account CELL. */
export async function ensureJobs(at: { readonly nc: NatsConnection; readonly cell: string }, size: StreamSize): Promise<void> {
  const api = await streamsOf(at.nc, at.cell);
  await ensureStream(api, {
    name: streams.jobs(at.cell),
    subjects: [streams.jobSubjects],
    max_bytes: size.maxBytes,
    num_replicas: size.replicas,
    max_age: nanos(linkLimits.jobsAgeMsMax),
  });
}

async function ensureStream(
  api: JetStreamManager,
  { ifMissing = false, ...wanted }: Wanted & { readonly ifMissing?: boolean },
): Promise<void> {
  const config = { storage: StorageType.File, retention: RetentionPolicy.Workqueue, discard: DiscardPolicy.New, ...wanted };
  try {
    const { config: found } = await api.streams.info(config.name);
    const same =
      found.max_bytes === config.max_bytes && found.num_replicas === config.num_replicas && sameSet(found.subjects, config.subjects);
    if (!same && !ifMissing) await api.streams.update(config.name, config);
  } catch (error) {
    if (!isMissing(error)) throw error;
    await api.streams.add(config);
  }
}

const sameSet = (a: readonly string[], b: readonly string[]): boolean => a.length === b.length && new Set([...a, ...b]).size === a.length;

/**
 * Whether the broker could not write a consumer down. Where one was deleted and made at the same time the deletion may have taken the new
 * one's folder (seen with nats-server 2.15): it cannot be brought up to date any more, only be deleted.
 */
const isUnmade = (error: unknown): boolean => error instanceof JetStreamApiError && error.code === consumerNotWritten;
const consumerNotWritten = 10_012;

/** Whether the broker says that there is no such stream or consumer. */
const isMissing = (error: unknown): boolean => error instanceof JetStreamApiError && error.status === 404;
