// A history in which everything went well, to be spoiled: what the checker's tests begin with.
import type { DeviceRecord, History, HistoryEvent, LogDump, SeenEntry } from './history.ts';
import { checkHistory } from './history-checker.ts';

export const log = 900n;
export const ana = 1n;
const bo = 2n;

/** A history of two people in two cells who wrote three messages; tests take it and break one thing. */
export class Draft {
  readonly devices: DeviceRecord[] = [
    { device: 'ana', user: ana, cell: 'eu-1', settled: true },
    { device: 'bo', user: bo, cell: 'us-1', settled: true },
  ];
  events: HistoryEvent[] = [];
  entries: SeenEntry[] = [this.entry(1, 0n, '', false)];
  dumps: LogDump[] = [];
  #at = 0;

  entry(seq: number, clientEntryId: bigint, body: string, content = true): SeenEntry {
    return { log, epoch: 5n, seq, author: content && clientEntryId % 2n === 0n ? bo : ana, clientEntryId, content, body };
  }

  /** Odd ids are Ana's, even ones Bo's. */
  say(clientEntryId: bigint, body: string, after?: number): this {
    const device = clientEntryId % 2n === 0n ? 'bo' : 'ana';
    const entry = this.entry(this.entries.length + 1, clientEntryId, body);
    this.entries.push(entry);
    this.add({ at: this.#at++, device, what: 'sent', log, clientEntryId, body, ...(after === undefined ? {} : { after }) });
    if (device === 'ana') this.add({ at: this.#at++, device, what: 'accepted', log, epoch: 5n, seq: entry.seq, clientEntryId });
    else this.add({ at: this.#at++, device, what: 'pending', clientEntryId });
    this.show(entry);
    return this;
  }

  show(entry: SeenEntry): this {
    for (const { device } of this.devices) this.add({ at: this.#at++, device, what: 'shown', entry });
    return this;
  }

  add(event: HistoryEvent): this {
    this.events.push(event);
    this.#at = Math.max(this.#at, event.at + 1);
    return this;
  }

  history(): History {
    const copy = { log, start: 1, until: Number.POSITIVE_INFINITY };
    const dumps =
      this.dumps.length > 0
        ? this.dumps
        : [
            { ...copy, cell: 'eu-1', owner: true, entries: this.entries },
            { ...copy, cell: 'us-1', owner: false, entries: this.entries },
          ];
    return { devices: this.devices, events: this.events, dumps, repairMsMax: 2_000 };
  }

  /** Invariants found violated, each once. */
  broken(): string[] {
    return [...new Set(checkHistory(this.history()).violations.map(({ invariant }) => invariant))];
  }
}

export function draft(): Draft {
  const made = new Draft();
  for (const { device } of made.devices)
    made.add({ at: 0, device, what: 'connected' }).add({ at: 0, device, what: 'follows', log, from: 2 });
  return made.say(11n, 'hello').say(12n, 'oh, hello', 2).say(13n, 'how are you?');
}

export const remove = (made: Draft, gone: (event: HistoryEvent) => boolean): Draft => {
  made.events = made.events.filter((event) => !gone(event));
  return made;
};

export const replaced = (entries: readonly SeenEntry[], seq: number, change: Partial<SeenEntry>): SeenEntry[] =>
  entries.map((entry) => (entry.seq === seq ? { ...entry, ...change } : entry));

export const copies = (made: Draft, other: readonly SeenEntry[]): LogDump[] => {
  const copy = { log, start: 1, until: Number.POSITIVE_INFINITY };
  return [
    { ...copy, cell: 'eu-1', owner: true, entries: made.entries },
    { ...copy, cell: 'us-1', owner: false, entries: other },
  ];
};
