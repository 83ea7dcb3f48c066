// Judges one recorded history by the invariants I1 to I8. Pure; every check is a function from the indexed history to
// violations. An empty list means that nothing was found, not that much was looked at: `checkHistory` also counts.

import { causeBeforeReply, readYourWrites } from './causality.ts';
import type { EventOf, History, HistoryEvent, SeenEntry, Violation } from './history.ts';
import { HistoryIndex, idKey, placeKey, type Timeline } from './history-index.ts';
import { listedMax, violation } from './violation.ts';

export interface Judgement {
  readonly violations: readonly Violation[];
  /** What was there to judge: a test should see that it is not nothing. */
  readonly counts: {
    readonly sent: number;
    readonly accepted: number;
    readonly pending: number;
    readonly refused: number;
    readonly shown: number;
    readonly fetched: number;
    readonly stored: number;
  };
}

/** The whole list of violations of I1–I8, by invariant, each with the first entries that show it. */
export function checkHistory(history: History): Judgement {
  const index = new HistoryIndex(history);
  const checks = [ackedAreKept, nothingInvented, nothingTwice, oneOrder, noSilentGap, neverBackwards, readYourWrites, causeBeforeReply];
  const violations = checks.flatMap((check) => bounded(check(index)));
  const count = (what: HistoryEvent['what']): number => index.of(what).length;
  const stored = history.dumps.reduce((sum, { entries }) => sum + entries.length, 0);
  return {
    violations,
    counts: {
      sent: count('sent'),
      accepted: count('accepted'),
      pending: count('pending'),
      refused: count('refused'),
      shown: count('shown'),
      fetched: count('fetched'),
      stored,
    },
  };
}

/** Violations as lines for an assertion message. */
export const describeViolations = (violations: readonly Violation[]): string =>
  violations
    .map(({ invariant, text, entries }) => [`${invariant}: ${text}`, ...entries.map((entry) => `    ${entry}`)].join('\n'))
    .join('\n');

function bounded(found: readonly Violation[]): Violation[] {
  const [last] = found.slice(listedMax - 1);
  if (found.length <= listedMax || last === undefined) return [...found];
  return [...found.slice(0, listedMax - 1), { ...last, text: `${last.text} (and ${found.length - listedMax} more of this kind)` }];
}

const same = (a: SeenEntry, b: SeenEntry): boolean =>
  a.author === b.author && a.clientEntryId === b.clientEntryId && a.epoch === b.epoch && a.body === b.body;

/** I1: what was accepted, or is pending and not refused, is in the log's truth and in every copy that should have it. */
function ackedAreKept(index: HistoryIndex): Violation[] {
  const found: Violation[] = [];
  for (const event of index.of('accepted')) {
    const author = index.user(event.device);
    const kept = index.trueEntry.get(placeKey(event.log, event.seq));
    const again = index.trueById.get(idKey(author, event.clientEntryId));
    const refused = index.refused.has(idKey(author, event.clientEntryId));
    // Given up by a newer epoch and offered again: it has another place, or its author may not write any more.
    if (index.isOver(event) && (refused || (again !== undefined && again.epoch !== event.epoch))) continue;
    if (kept === undefined || kept.author !== author || kept.clientEntryId !== event.clientEntryId) {
      found.push(
        violation(
          'I1',
          `accepted for ${event.device} as log ${event.log} seq ${event.seq} id ${event.clientEntryId}, ${kept === undefined ? 'not in the log' : 'another entry is there'}`,
          [kept],
        ),
      );
    }
  }
  for (const event of index.of('pending')) {
    const key = idKey(index.user(event.device), event.clientEntryId);
    if (!index.trueById.has(key) && !index.refused.has(key))
      found.push(violation('I1', `pending for ${event.device} id ${event.clientEntryId} was never decided`));
  }
  for (const dump of index.history.dumps) {
    const truth = index.truth.get(dump.log);
    if (truth === undefined || truth === dump) continue;
    const held = new Set(dump.entries.map(({ seq }) => seq));
    const lost = truth.entries.filter(({ seq }) => seq >= dump.start && seq <= dump.until && !held.has(seq));
    if (lost.length > 0) found.push(violation('I1', `${dump.cell} lacks ${lost.length} entries of log ${dump.log}`, lost));
  }
  return found;
}

/** I2: what is shown or stored was sent, once, as it was; what was refused is nowhere, and was refused for a reason. */
function nothingInvented(index: HistoryIndex): Violation[] {
  const found: Violation[] = [];
  const known = new Set([...index.devices.values()].map(({ user }) => user));
  const seen = new Set<string>();
  const judge = (entry: SeenEntry, where: string): void => {
    const key = idKey(entry.author, entry.clientEntryId);
    const once = `${where}/${placeKey(entry.log, entry.seq)}/${key}`;
    if (!entry.content || seen.has(once)) return;
    seen.add(once);
    const sent = index.sends.get(key);
    const refused = index.refused.get(key);
    if (sent === undefined) {
      found.push(
        violation('I2', `${where} has an entry that ${known.has(entry.author) ? 'its author' : 'nobody of this history'} sent`, [entry]),
      );
    } else if (sent.body !== entry.body)
      found.push(violation('I2', `${where} has other text than was sent (“${sent.body.slice(0, 60)}”)`, [entry]));
    else if (sent.log !== undefined && sent.log !== entry.log)
      found.push(violation('I2', `${where} has in this log what was sent to log ${sent.log}`, [entry]));
    else if (refused !== undefined && !index.isOver(entry))
      found.push(violation('I2', `${where} has what was refused (${refused.code})`, [entry]));
  };
  for (const { device, clientEntryId, code } of index.of('refused')) {
    const sent = index.sends.get(idKey(index.user(device), clientEntryId));
    if (sent?.peer !== undefined && ofMembership.has(code))
      found.push(violation('I2', `refused for ${device} (${code}), id ${clientEntryId}, though nobody leaves a conversation of two`));
  }
  for (const { device, entry } of index.of('shown')) judge(entry, device);
  for (const { device, entries } of index.of('fetched')) for (const entry of entries) judge(entry, device);
  for (const { cell, entries } of index.history.dumps) for (const entry of entries) judge(entry, cell);
  return found;
}

const ofMembership: ReadonlySet<string> = new Set(['not_allowed', 'not_a_member']);

/** I3: each place and each client entry id once on every timeline and in every copy; one id was never accepted at two places. */
function nothingTwice(index: HistoryIndex): Violation[] {
  const found: Violation[] = [];
  const judge = (entries: Iterable<SeenEntry>, where: string): void => {
    const places = new Map<string, SeenEntry>();
    const ids = new Map<string, SeenEntry>();
    for (const entry of entries) {
      const place = placeKey(entry.log, entry.seq);
      const id = `${entry.log}/${idKey(entry.author, entry.clientEntryId)}`;
      const before = places.get(place) ?? (entry.clientEntryId === 0n ? undefined : ids.get(id));
      if (before !== undefined) found.push(violation('I3', `${where} has it twice`, [before, entry]));
      places.set(place, entry);
      ids.set(id, entry);
    }
  };
  for (const { device, events, log } of index.timelines) {
    // After a truncation the same seq, or the same id, comes again in the next epoch, by right.
    let shown: SeenEntry[] = [];
    for (const event of events) {
      if (event.what === 'truncated') shown = shown.filter(({ seq }) => seq <= event.base);
      // Whoever was removed and is in again by a newer epoch reads on from the beginning.
      if (event.what === 'left') judge(shown.splice(0), `the timeline of ${device.device} in log ${log}`);
      if (event.what === 'shown') shown.push(event.entry);
    }
    judge(shown, `the timeline of ${device.device} in log ${log}`);
  }
  for (const { cell, log, entries } of index.history.dumps) judge(entries, `${cell}'s copy of log ${log}`);
  const accepted = new Map<string, EventOf<'accepted'>>();
  for (const event of index.of('accepted')) {
    const key = idKey(index.user(event.device), event.clientEntryId);
    const before = accepted.get(key);
    const isAgain = before?.log === event.log && before.epoch !== event.epoch;
    if (before !== undefined && !isAgain && (before.log !== event.log || before.seq !== event.seq)) {
      found.push(
        violation(
          'I3',
          `id ${event.clientEntryId} of ${event.device} was accepted at log ${before.log} seq ${before.seq} and at log ${event.log} seq ${event.seq}`,
        ),
      );
    }
    accepted.set(key, event);
  }
  return found;
}

/** I4: a place names the same entry to everybody. */
function oneOrder(index: HistoryIndex): Violation[] {
  const found: Violation[] = [];
  const first = new Map<string, { readonly entry: SeenEntry; readonly where: string }>();
  const judge = (entry: SeenEntry, where: string): void => {
    const key = `${entry.epoch}/${placeKey(entry.log, entry.seq)}`;
    const before = first.get(key);
    if (before === undefined) first.set(key, { entry, where });
    else if (!same(before.entry, entry))
      found.push(violation('I4', `${before.where} and ${where} have different entries at one place`, [before.entry, entry]));
  };
  for (const { cell, entries } of index.history.dumps) {
    for (const entry of entries) {
      judge(entry, cell);
      const truth = index.trueEntry.get(placeKey(entry.log, entry.seq));
      if (truth !== undefined && truth.epoch !== entry.epoch)
        found.push(violation('I4', `${cell} has another epoch than the owner at one place`, [truth, entry]));
    }
  }
  for (const { device, entry } of index.of('shown')) judge(entry, device);
  for (const { device, entries } of index.of('fetched')) for (const entry of entries) judge(entry, device);
  return found;
}

/** I5: a timeline has no hole, a hole is repaired or told of in time, and at the end nothing is missing. */
function noSilentGap(index: HistoryIndex): Violation[] {
  const { repairMsMax } = index.history;
  return index.timelines.flatMap((one) => [...jumps(one), ...lateRepairs(one, repairMsMax), ...gapsAtTheEnd(index, one)]);
}

/** Steps over a seq that the device was to show. */
function jumps({ device, log, events }: Timeline): Violation[] {
  const found: Violation[] = [];
  let next: number | undefined;
  for (const event of events) {
    if (event.what === 'follows') next = event.from;
    else if (event.what === 'truncated') next = next === undefined ? undefined : Math.min(next, event.base + 1);
    else if (event.what === 'surfaced') next = undefined;
    else if (event.what === 'shown') {
      const { seq } = event.entry;
      if (next !== undefined && seq > next)
        found.push(violation('I5', `${device.device} jumped from seq ${next - 1} to ${seq} of log ${log}`, [event.entry]));
      next = Math.max(next ?? 0, seq + 1);
    }
  }
  return found;
}

/** Holes that stayed open on a connection that stayed up. */
function lateRepairs({ device, log, events }: Timeline, repairMsMax: number): Violation[] {
  const found: Violation[] = [];
  let hole: EventOf<'hole'> | undefined;
  for (const event of events) {
    if (event.what === 'hole') hole ??= event;
    else if (event.what === 'disconnected' || event.what === 'surfaced') hole = undefined;
    else if (event.what === 'shown' && hole !== undefined && event.entry.seq >= hole.seq) {
      const ms = event.at - hole.at;
      if (ms > repairMsMax) found.push(violation('I5', `${device.device} waited ${Math.round(ms)} ms for seq ${hole.seq} of log ${log}`));
      hole = undefined;
    }
  }
  if (hole !== undefined) found.push(violation('I5', `${device.device} never got seq ${hole.seq} of log ${log}`));
  return found;
}

function gapsAtTheEnd(index: HistoryIndex, { device, log, events }: Timeline): Violation[] {
  const truth = index.truth.get(log);
  if (!device.settled || truth === undefined) return [];
  let from: number | undefined;
  let until = Number.POSITIVE_INFINITY;
  const shown = new Set<number>();
  for (const event of events) {
    if (event.what === 'follows') [from, until] = [event.from, Number.POSITIVE_INFINITY];
    else if (event.what === 'left') until = event.until;
    else if (event.what === 'surfaced') return [];
    else if (event.what === 'truncated') {
      for (const seq of shown) if (seq > event.base) shown.delete(seq);
    } else if (event.what === 'shown') shown.add(event.entry.seq);
  }
  if (from === undefined) return [];
  const start = from;
  const lost = truth.entries.filter(({ seq }) => seq >= start && seq <= until && !shown.has(seq));
  return lost.length === 0 ? [] : [violation('I5', `${device.device} lacks ${lost.length} entries of log ${log} at the end`, lost)];
}

/** I6: a device never sees a log end earlier than it did, nor an entry after a later one. */
function neverBackwards(index: HistoryIndex): Violation[] {
  return index.timelines.flatMap(stepsBack);
}

function stepsBack({ device, log, events }: Timeline): Violation[] {
  const found: Violation[] = [];
  let shown = 0;
  /** What was known of the log's end, and since when. */
  let steps: { readonly at: number; readonly known: number }[] = [];
  const learn = (at: number, known: number): void => {
    if (known > (steps.at(-1)?.known ?? 0)) steps.push({ at, known });
  };
  for (const event of events) {
    if (event.what === 'left') [shown, steps] = [0, []];
    else if (event.what === 'truncated') {
      const known = Math.min(steps.at(-1)?.known ?? 0, event.base);
      [shown, steps] = [Math.min(shown, event.base), [{ at: event.at, known }]];
    } else if (event.what === 'shown') {
      if (event.entry.seq < shown)
        found.push(violation('I6', `${device.device} was shown seq ${event.entry.seq} of log ${log} after ${shown}`, [event.entry]));
      shown = Math.max(shown, event.entry.seq);
      learn(event.at, shown);
    } else if (event.what === 'head') {
      const asked = event.askedAt ?? Number.POSITIVE_INFINITY;
      const then = steps.findLast(({ at }) => at < asked)?.known ?? 0;
      // A restored cell tells what it has until its new epochs begin.
      const isOver = events.some((later) => later.what === 'truncated' && later.at >= event.at && later.epoch > event.epoch);
      if (event.seq < then && !isOver)
        found.push(violation('I6', `${device.device} was told that log ${log} ends at ${event.seq}, and had seen ${then}`));
      learn(event.at, event.seq);
    }
  }
  return found;
}
