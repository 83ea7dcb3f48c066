// I7 and I8: what one person may rely on, of what they wrote and what they answered to.
import type { EventOf, SeenEntry, Violation } from './history.ts';
import { type HistoryIndex, idKey, placeKey } from './history-index.ts';
import { violation } from './violation.ts';

/** I7: a page asked for after an acceptance, by any device of the same user, has the entry. */
export function readYourWrites(index: HistoryIndex): Violation[] {
  const found: Violation[] = [];
  const accepted = new Map<string, EventOf<'accepted'>[]>();
  for (const event of index.of('accepted')) {
    const key = `${index.user(event.device)}/${event.log}`;
    const own = accepted.get(key);
    if (own === undefined) accepted.set(key, [event]);
    else own.push(event);
  }
  for (const page of index.of('fetched')) {
    const own = accepted.get(`${index.user(page.device)}/${page.log}`) ?? [];
    const held = new Set(page.entries.map(({ seq }) => seq));
    // What a newer epoch gave up is shown to nobody (R24).
    const isDue = (each: EventOf<'accepted'>): boolean =>
      each.at <= page.askedAt && each.seq >= page.from && each.seq <= page.to && !index.isOver(each);
    const lacking = own.filter((each) => isDue(each) && !held.has(each.seq));
    const [first] = lacking;
    if (first !== undefined) {
      found.push(
        violation(
          'I7',
          `${page.device} read log ${page.log} from ${page.from} and did not get seq ${first.seq}, accepted for ${first.device} before (asked ${Math.round(page.askedAt - first.at)} ms after, answered ${Math.round(page.at - page.askedAt)} ms later, up to ${page.entries.at(-1)?.seq ?? 0})`,
          [index.trueEntry.get(placeKey(first.log, first.seq))],
        ),
      );
    }
  }
  return found;
}

/** I8: what one device sends to one log keeps its order; a reply comes after what it replies to. */
export function causeBeforeReply(index: HistoryIndex): Violation[] {
  const found: Violation[] = [];
  const last = new Map<string, SeenEntry>();
  const counted = new Set<string>();
  for (const event of index.of('sent')) {
    const key = idKey(index.user(event.device), event.clientEntryId);
    const entry = index.trueById.get(key);
    if (entry === undefined || event.decidedAnew || counted.has(key)) continue;
    counted.add(key);
    const isSameLog = (event.afterLog ?? entry.log) === entry.log;
    if (
      event.after !== undefined &&
      isSameLog &&
      entry.seq <= event.after &&
      !isGivenUp(index, event, { log: entry.log, seq: event.after })
    )
      found.push(violation('I8', `a reply to seq ${event.after} of log ${entry.log} got seq ${entry.seq}`, [entry]));
    const line = `${event.device}/${entry.log}`;
    const before = last.get(line);
    if (before !== undefined && entry.seq <= before.seq)
      found.push(violation('I8', `${event.device} sent the second of these after the first`, [before, entry]));
    last.set(line, entry);
  }
  return found;
}

/** What was replied to was given up by a newer epoch: a device was told so, or what its user was shown there is no more, told or not. */
function isGivenUp(index: HistoryIndex, sent: EventOf<'sent'>, { log, seq }: { readonly log: bigint; readonly seq: number }): boolean {
  if (index.of('truncated').some((each) => each.log === log && each.base < seq)) return true;
  const user = index.user(sent.device);
  const seen = index
    .of('shown')
    .findLast(({ at, device, entry }) => at <= sent.at && entry.log === log && entry.seq === seq && index.user(device) === user);
  return seen !== undefined && index.isOver(seen.entry);
}
