// Records a history from clients that speak the wire protocol themselves. A device recorder is given every frame that goes out
// and comes in; it keeps the timeline by the client rules of docs/protocol.md (ignore what is held, take the next, hold what
// is beyond) and says what is to be fetched. It records what it is told and corrects nothing.

import { faults } from '@weft/proto/faults.ts';
import type { ClientFrame, Entry, Page, ReadHistory, ServerFrame } from '@weft/proto/gen/weft/client/v1/client.ts';
import type { DeviceRecord, EventOf, History, HistoryEvent, LogDump, SeenEntry } from './history.ts';

/** What a device should ask for: entries of a log from this seq on. */
export interface Wanted {
  readonly log: bigint;
  readonly from: number;
}

/** Without device and time, which the recorder knows. */
type Told = { [W in HistoryEvent['what']]: Omit<EventOf<W>, 'at' | 'device'> }[HistoryEvent['what']];

/** A body as the checker compares it. */
export const bodyText = (body: Entry['body']): string => {
  if (body === undefined) return '';
  if (body.$case === 'text') return body.value;
  if (body.$case === 'data') return Buffer.from(body.value).toString('base64');
  return `${body.$case} ${JSON.stringify(body.value, (_key, value: unknown) => (typeof value === 'bigint' ? String(value) : value))}`;
};

/** An entry of the wire as the checker compares it. */
export const seenEntry = (entry: Entry): SeenEntry => ({
  log: entry.log,
  epoch: entry.epoch,
  seq: Number(entry.seq),
  author: entry.author,
  clientEntryId: entry.clientEntryId,
  content: entry.body?.$case === 'text' || entry.body?.$case === 'data',
  body: bodyText(entry.body),
});

export class HistoryRecorder {
  readonly #clock: () => number;
  readonly #devices: DeviceRecorder[] = [];
  readonly #events: HistoryEvent[] = [];

  /** `clock`: milliseconds, monotonic, one for all devices. */
  constructor(clock: () => number = () => performance.now()) {
    this.#clock = clock;
  }

  device(device: Omit<DeviceRecord, 'settled'>): DeviceRecorder {
    const made = new DeviceRecorder(device, this.#clock, (told) => {
      this.#events.push({ ...told, at: this.#clock(), device: device.device } as HistoryEvent);
    });
    this.#devices.push(made);
    return made;
  }

  /** The history so far. `repairMsMax`: 2 s on a healthy link. */
  history(dumps: readonly LogDump[], repairMsMax = 2_000): History {
    return { devices: this.#devices.map((device) => device.record()), events: [...this.#events], dumps, repairMsMax };
  }
}

interface Timeline {
  /** Newest epoch of which it is known where it begins. */
  epoch: bigint;
  next: number;
  readonly beyond: Map<number, SeenEntry>;
  holeAt: number;
}

export class DeviceRecorder {
  /** Set when the device is connected and in step: from then on nothing may be missing on it. */
  settled = false;
  readonly #device: Omit<DeviceRecord, 'settled'>;
  readonly #tell: (told: Told) => void;
  readonly #clock: () => number;
  readonly #timelines = new Map<bigint, Timeline>();
  readonly #bodies = new Map<bigint, string>();
  readonly #replies = new Map<bigint, number>();
  /** Unanswered requests of this connection by id. */
  #appends = new Map<bigint, bigint>();
  #asked = new Map<bigint, number>();
  #reads = new Map<bigint, { readonly askedAt: number; readonly request: ReadHistory }>();
  #wanted: Wanted[] = [];

  constructor(device: Omit<DeviceRecord, 'settled'>, clock: () => number, tell: (told: Told) => void) {
    this.#device = device;
    this.#clock = clock;
    this.#tell = tell;
  }

  record(): DeviceRecord {
    return { ...this.#device, settled: this.settled };
  }

  connected(): void {
    this.#tell({ what: 'connected' });
  }

  disconnected(): void {
    this.#appends = new Map();
    this.#reads = new Map();
    this.#asked = new Map();
    this.settled = false;
    for (const timeline of this.#timelines.values()) {
      timeline.beyond.clear();
      timeline.holeAt = 0;
    }
    this.#tell({ what: 'disconnected' });
  }

  /** The append with this id, sent later, replies to that seq of its log. */
  replies(clientEntryId: bigint, after: number): void {
    this.#replies.set(clientEntryId, after);
  }

  /** Last seq shown of a log; 0 when it is not followed. */
  head(log: bigint): number {
    return (this.#timelines.get(log)?.next ?? 1) - 1;
  }

  /** Every frame just before it is sent. */
  outgoing({ id, request }: ClientFrame): void {
    if (request?.$case === 'append') {
      const { target, clientEntryId, content } = request.value;
      const body = bodyText(content);
      this.#appends.set(id, clientEntryId);
      this.#bodies.set(clientEntryId, body);
      const after = this.#replies.get(clientEntryId);
      const to = target?.$case === 'log' ? { log: target.value } : target?.$case === 'peer' ? { peer: target.value } : {};
      this.#tell({ what: 'sent', ...to, clientEntryId, body, ...(after === undefined ? {} : { after }) });
    } else if (request?.$case === 'readHistory') {
      this.#reads.set(id, { askedAt: this.#clock(), request: request.value });
    } else if (request?.$case === 'readHeads' || request?.$case === 'listLogs') this.#asked.set(id, this.#clock());
  }

  /** Every frame just after it came. Gives what should be fetched now; a client that does not is soon found wanting by I5. */
  incoming({ re, event }: ServerFrame): readonly Wanted[] {
    this.#wanted = [];
    if (event === undefined) return this.#wanted;
    switch (event.$case) {
      case 'welcome':
        for (const { log, epoch, seq } of event.value.heads) this.#head(log, epoch, Number(seq));
        break;
      case 'heads':
        for (const { head } of event.value.logs)
          if (head !== undefined) this.#head(head.log, head.epoch, Number(head.seq), this.#asked.get(re));
        this.#asked.delete(re);
        break;
      case 'push':
        for (const entry of event.value.entries) this.#pushed(entry);
        break;
      case 'page':
        this.#page(re, event.value);
        break;
      case 'truncated':
        this.#truncated(event.value.log, event.value.epoch, Number(event.value.base));
        break;
      default:
        this.#answer(re, event);
    }
    return this.#wanted;
  }

  #answer(re: bigint, event: NonNullable<ServerFrame['event']>): void {
    if (event.$case === 'accepted') {
      const { log, epoch, seq, clientEntryId } = event.value;
      this.#tell({ what: 'accepted', log, epoch, seq: Number(seq), clientEntryId });
      const body = this.#bodies.get(clientEntryId) ?? '';
      this.#place({ log, epoch, seq: Number(seq), author: this.#device.user, clientEntryId, content: true, body });
    } else if (event.$case === 'pending') this.#tell({ what: 'pending', clientEntryId: event.value.clientEntryId });
    else if (event.$case === 'refused') this.#tell({ what: 'refused', clientEntryId: event.value.clientEntryId, code: event.value.code });
    else if (event.$case === 'fault') {
      const clientEntryId = this.#appends.get(re);
      const known = Object.hasOwn(faults, event.value.code) && event.value.retry === 'RETRY_NEVER';
      if (clientEntryId !== undefined && known) this.#tell({ what: 'refused', clientEntryId, code: event.value.code });
    }
    this.#appends.delete(re);
  }

  #pushed(entry: Entry): void {
    this.#place(seenEntry(entry));
    const { body } = entry;
    if (body?.$case === 'logJoined') this.#follow(body.value.log, Number(body.value.from));
    else if (body?.$case === 'logLeft') this.#tell({ what: 'left', log: body.value.log, until: Number(body.value.until) });
    else if (body?.$case === 'appendRefused')
      this.#tell({ what: 'refused', clientEntryId: body.value.clientEntryId, code: body.value.code });
  }

  /** Holds a log from this seq on, unless it is held already. */
  #follow(log: bigint, from: number): Timeline {
    const known = this.#timelines.get(log);
    if (known !== undefined && known.next >= from) return known;
    const timeline = { epoch: known?.epoch ?? 0n, next: from, beyond: new Map<number, SeenEntry>(), holeAt: 0 };
    this.#timelines.set(log, timeline);
    this.#tell({ what: 'follows', log, from });
    return timeline;
  }

  #head(log: bigint, epoch: bigint, seq: number, askedAt?: number): void {
    const known = this.#timelines.get(log);
    // A head of a newer epoch below what is held says that this was given up.
    if (known && known.epoch !== 0n && epoch > known.epoch && seq < known.next - 1) this.#truncated(log, epoch, seq);
    this.#tell({ what: 'head', log, epoch, seq, ...(askedAt === undefined ? {} : { askedAt }) });
    const timeline = known ?? this.#follow(log, seq + 1);
    if (timeline.epoch === 0n) timeline.epoch = epoch;
    // Where that epoch begins, a page tells.
    if (timeline.next <= seq || epoch > timeline.epoch) this.#wanted.push({ log, from: timeline.next });
  }

  #place(entry: SeenEntry): void {
    const timeline = this.#timelines.get(entry.log) ?? this.#follow(entry.log, entry.seq);
    if (timeline.epoch === 0n) timeline.epoch = entry.epoch;
    if (entry.seq < timeline.next) return;
    timeline.beyond.set(entry.seq, entry);
    for (let next = timeline.beyond.get(timeline.next); next !== undefined; next = timeline.beyond.get(timeline.next)) {
      timeline.beyond.delete(next.seq);
      timeline.next = next.seq + 1;
      this.#tell({ what: 'shown', entry: next });
    }
    if (timeline.beyond.size === 0 || timeline.holeAt === timeline.next) return;
    timeline.holeAt = timeline.next;
    this.#tell({ what: 'hole', log: entry.log, seq: timeline.next });
    this.#wanted.push({ log: entry.log, from: timeline.next });
  }

  #page(re: bigint, page: Page): void {
    const read = this.#reads.get(re);
    this.#reads.delete(re);
    const entries = page.entries.map(seenEntry);
    if (read !== undefined) {
      const range = coveredBy(read.request, page);
      this.#tell({ what: 'fetched', askedAt: read.askedAt, log: page.log, ...range, entries });
    }
    this.#epochs(page);
    for (const entry of page.entries) if (Number(entry.seq) > this.head(entry.log) && this.#timelines.has(entry.log)) this.#pushed(entry);
    if (page.head !== undefined) this.#head(page.head.log, page.head.epoch, Number(page.head.seq), read?.askedAt);
  }

  /** A page lists every epoch of its log, where there are several. */
  #epochs({ log, head, epochs }: Page): void {
    const timeline = this.#timelines.get(log);
    if (timeline === undefined) return;
    for (const { epoch, base } of epochs) if (epoch > timeline.epoch) this.#truncated(log, epoch, Number(base));
    if (head !== undefined && head.epoch > timeline.epoch) timeline.epoch = head.epoch;
  }

  #truncated(log: bigint, epoch: bigint, base: number): void {
    this.#tell({ what: 'truncated', log, epoch, base });
    const timeline = this.#timelines.get(log);
    if (timeline === undefined) return;
    if (epoch > timeline.epoch) timeline.epoch = epoch;
    timeline.beyond.clear();
    timeline.next = Math.min(timeline.next, base + 1);
  }
}

/** Which seqs a page speaks for: what is in this range and not in the page does not exist for the reader. */
export function coveredBy(request: ReadHistory, page: Page): { readonly from: number; readonly to: number } {
  const [first, last] = [page.entries[0], page.entries.at(-1)];
  if (request.from > 0n) {
    const from = Math.max(Number(request.from), Number(page.visibleFrom));
    return { from, to: page.end ? Number.POSITIVE_INFINITY : last === undefined ? from - 1 : Number(last.seq) };
  }
  const to = request.before === 0n ? Number.POSITIVE_INFINITY : Number(request.before) - 1;
  return { from: page.end ? Number(page.visibleFrom) : first === undefined ? Number.POSITIVE_INFINITY : Number(first.seq), to };
}

const pageEntries = 200;
/** Pages of one dump; a log of 2 million entries. */
const dumpPagesMax = 10_000;

/** One cell's copy of a log, read through its own door by somebody who may read all of it. */
export async function dumpByHistory(
  read: (request: ReadHistory) => Promise<Page>,
  copy: { readonly cell: string; readonly log: bigint; readonly owner: boolean },
): Promise<LogDump> {
  const entries: SeenEntry[] = [];
  let start = 1;
  let from = 1n;
  for (let pages = 0; pages < dumpPagesMax; pages++) {
    const page = await read({ log: copy.log, from, before: 0n, limit: pageEntries });
    entries.push(...page.entries.map(seenEntry));
    start = Math.max(start, Number(page.visibleFrom));
    const last = page.entries.at(-1);
    if (page.end || last === undefined) return { ...copy, start, until: Number.POSITIVE_INFINITY, entries };
    from = last.seq + 1n;
  }
  throw new Error(`log ${copy.log} has more than ${dumpPagesMax} pages`);
}
