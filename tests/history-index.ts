// A history, indexed for its checks: the truth of each log, who sent what, what each device saw of each log.

import type { DeviceRecord, EventOf, History, HistoryEvent, LogDump, SeenEntry } from './history.ts';

export const placeKey = (log: bigint, seq: number): string => `${log}/${seq}`;
export const idKey = (author: bigint, clientEntryId: bigint): string => `${author}/${clientEntryId}`;

/** What one device saw of one log, in the order of time. */
export interface Timeline {
  readonly device: DeviceRecord;
  readonly log: bigint;
  readonly events: HistoryEvent[];
}

export class HistoryIndex {
  readonly history: History;
  readonly devices = new Map<string, DeviceRecord>();
  /** The owner's copy is the truth; without one the longest copy stands in. */
  readonly truth = new Map<bigint, LogDump>();
  readonly trueEntry = new Map<string, SeenEntry>();
  readonly trueById = new Map<string, SeenEntry>();
  readonly sends = new Map<string, EventOf<'sent'>>();
  readonly refused = new Map<string, EventOf<'refused'>>();
  readonly timelines: readonly Timeline[];
  readonly #byKind = new Map<string, HistoryEvent[]>();

  constructor(history: History) {
    this.history = history;
    for (const device of history.devices) this.devices.set(device.device, device);
    for (const dump of history.dumps) {
      const known = this.truth.get(dump.log);
      if (known === undefined || (dump.owner && !known.owner) || (dump.owner === known.owner && dump.entries.length > known.entries.length))
        this.truth.set(dump.log, dump);
    }
    for (const { entries } of this.truth.values()) {
      for (const entry of entries) {
        this.trueEntry.set(placeKey(entry.log, entry.seq), entry);
        this.trueById.set(idKey(entry.author, entry.clientEntryId), entry);
      }
    }
    for (const event of history.events) {
      const same = this.#byKind.get(event.what);
      if (same === undefined) this.#byKind.set(event.what, [event]);
      else same.push(event);
    }
    for (const event of this.of('sent')) {
      const key = idKey(this.user(event.device), event.clientEntryId);
      if (!this.sends.has(key)) this.sends.set(key, event);
    }
    for (const event of this.of('refused')) this.refused.set(idKey(this.user(event.device), event.clientEntryId), event);
    this.timelines = timelinesOf(history, this.devices);
  }

  of<W extends HistoryEvent['what']>(what: W): readonly EventOf<W>[] {
    return (this.#byKind.get(what) ?? []) as unknown as readonly EventOf<W>[];
  }

  /**
   * The truth has no such place any more: a newer epoch began below it, or one that took in what an older epoch had given
   * instead.
   */
  isOver({ log, epoch, seq }: { readonly log: bigint; readonly epoch: bigint; readonly seq: number }): boolean {
    const kept = this.trueEntry.get(placeKey(log, seq));
    if (kept !== undefined && kept.epoch >= epoch) return kept.epoch > epoch;
    const entries = this.truth.get(log)?.entries ?? [];
    if (kept === undefined) return entries.some((entry) => entry.epoch > epoch && entry.seq <= seq);
    return entries.some((entry) => entry.epoch > epoch) && !entries.some((entry) => entry.epoch === epoch && entry.seq >= seq);
  }

  user(device: string): bigint {
    const record = this.devices.get(device);
    if (record === undefined) throw new Error(`an event of a device that is not in the history: ${device}`);
    return record.user;
  }
}

function timelinesOf(history: History, devices: ReadonlyMap<string, DeviceRecord>): Timeline[] {
  const timelines = new Map<string, Timeline>();
  const ofDevice = new Map<string, Timeline[]>();
  for (const event of history.events) {
    if (event.what === 'connected' || event.what === 'disconnected') {
      for (const timeline of ofDevice.get(event.device) ?? []) timeline.events.push(event);
      continue;
    }
    const log = event.what === 'shown' ? event.entry.log : 'log' in event ? event.log : undefined;
    const device = devices.get(event.device);
    if (log === undefined || device === undefined) continue;
    const key = `${event.device}/${log}`;
    let timeline = timelines.get(key);
    if (timeline === undefined) {
      timeline = { device, log, events: [] };
      timelines.set(key, timeline);
      ofDevice.set(event.device, [...(ofDevice.get(event.device) ?? []), timeline]);
    }
    timeline.events.push(event);
  }
  return [...timelines.values()];
}
