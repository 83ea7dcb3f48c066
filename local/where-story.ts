// Pure: what the nodes said of one message, as a timeline of one clock, that of the cell that accepted it.
import { idTimeMs } from '@weft/proto/ids.ts';
import type { FrameTrace, Passport } from '@weft/proto/passport.ts';
import type { NodeAnswer } from './operator.ts';

type Told = NodeAnswer<Passport>;
type NameOf = (cell: number) => string;

interface Moment {
  readonly ms: number;
  readonly cell: string;
  readonly what: string;
}

const kinds: Readonly<Record<number, string>> = { 9: 'text', 10: 'data', 16: 'creation', 17: 'members added', 18: 'members removed' };

export function storyOf(asked: string, told: readonly Told[], nameOf: NameOf): string[] {
  const passports = told.flatMap(({ answer }) => (answer ? [answer] : []));
  const silent = told.filter(({ answer }) => answer === undefined).map(({ node, why }) => `${node} did not answer: ${why}`);
  if (passports.length === 0) return [`${asked}: nobody could be asked.`, ...silent];
  const holder = passports.find(({ entry, cell }) => entry && nameOf(entry.owner) === cell) ?? passports.find(({ entry }) => entry);
  if (!holder?.entry) return [...undecided(asked, passports, nameOf), ...silent];
  const { entry } = holder;
  const log = passports.find(({ log }) => log)?.log;
  return [
    `${entry.log}:${entry.seq}, ${kinds[entry.kind] ?? `kind ${entry.kind}`} by ${entry.author} (client entry id ${entry.clientEntryId})`,
    `in a ${log?.kind ?? 'log'} owned by ${nameOf(entry.owner)}, epoch ${entry.epoch}; head ${log?.head ?? '?'}`,
    '',
    ...timeline(passports, nameOf),
    '',
    ...statesOf(passports, entry.seq, nameOf),
    ...devicesAndMarks(passports),
    ...clocksOf(passports, nameOf),
    ...silent,
  ];
}

/** Times of other cells are moved to the owner's clock, where an estimate is known. */
function timeline(passports: readonly Passport[], nameOf: NameOf): string[] {
  const owner = passports.find(({ entry, cell }) => entry && nameOf(entry.owner) === cell);
  const entry = (owner ?? passports.find((each) => each.entry))?.entry;
  if (!entry) return [];
  const ahead = (number: number): number => clockOf(passports, entry.owner, number)?.aheadMs ?? 0;
  const sure = new Set(passports.flatMap(({ frames }) => frames.filter((frame) => frame.sure).map(({ id }) => id)));
  const moments: Moment[] = [{ ms: entry.ts, cell: nameOf(entry.owner), what: acceptedIn(passports, entry.lane, sure) }];
  const seen = new Set<string>();
  for (const { cell, number, frames } of passports)
    for (const frame of frames) {
      // What names no log is believed when the other side is sure of that frame.
      if (frame.way === 'in' && sure.size > 0 && !sure.has(frame.id)) continue;
      const key = `${cell} ${frame.way} ${frame.id} ${frame.peer} ${frame.attempt}`;
      if (seen.has(key)) continue;
      seen.add(key);
      moments.push(...momentsOf(frame, cell, nameOf).map((moment) => ({ ...moment, ms: moment.ms - ahead(number) })));
    }
  moments.sort((a, b) => a.ms - b.ms);
  const width = Math.max(...moments.map(({ cell }) => cell.length));
  return moments.map(({ ms, cell, what }) => `  ${clock(ms)}  ${after(ms - entry.ts)}  ${cell.padEnd(width)}  ${what}`);
}

/** A frame is cut in the transaction that accepts: its id names the node and the moment. */
function acceptedIn(passports: readonly Passport[], lane: number, sure: ReadonlySet<string>): string {
  const frame = passports.flatMap(({ frames }) => frames).find(({ way, id }) => way === 'out' && sure.has(id));
  const by = frame ? ` by node ${(BigInt(frame.id) >> 5n) & 31n}, which sent ${plural(frame.entries, 'entry', 'entries')} on` : '';
  return `accepted: a transaction of lane ${lane}${by}`;
}

function momentsOf(frame: FrameTrace, cell: string, nameOf: NameOf): Moment[] {
  const { way, id, attempt, sure, sentMs, storedMs, doneMs } = frame;
  const peer = nameOf(frame.peer);
  const maybe = sure || way === 'in' ? '' : ' (or another frame of that moment)';
  const times = attempt === 1 ? 'attempt 1' : attempt >= 255 ? 'sent again' : `attempt ${attempt}`;
  const moments: (Moment | undefined)[] =
    way === 'out'
      ? [
          at(sentMs, cell, `published to ${peer}, ${times}: frame ${id}${maybe}`),
          at(storedMs, cell, `the broker of ${peer} says that it has it`),
          at(doneMs, cell, `acknowledged by ${peer}; its outbox row goes`),
        ]
      : [
          at(storedMs, cell, `stored in the inbound stream, from ${peer}, ${times}`),
          at(sentMs, cell, 'handed out by the stream'),
          at(doneMs, cell, 'applied: committed'),
        ];
  return moments.filter((moment) => moment !== undefined);
}

const at = (ms: number, cell: string, what: string): Moment | undefined => (ms === 0 ? undefined : { ms, cell, what });

/** Per cell: has it, waits for it, or lacks it. */
function statesOf(passports: readonly Passport[], seq: number, nameOf: NameOf): string[] {
  const lines = new Map<string, string>();
  for (const { cell, number, entry, log, outbox } of passports) {
    const due = passports.flatMap((each) => each.log?.cells ?? []).find((each) => each.cell === number);
    const isDue = due !== undefined && due.from <= seq && (due.until === 0 || seq <= due.until);
    const waits = outbox.map(({ dst, id, sinceMs }) => `; frame ${id} waits for ${nameOf(dst)} since ${clock(sinceMs)}`).join('');
    if (entry) lines.set(cell, `has it, log up to ${log?.head}${waits}`);
    else if (log)
      lines.set(
        cell,
        `lacks it: log up to ${log.head}${log.behind > 0 ? `, ${log.behind} known to be missing` : ''}${isDue ? '' : ', and is not due to get it'}`,
      );
    else if (isDue) lines.set(cell, 'lacks it, and has not seen the log');
  }
  return [...lines].map(([cell, line]) => `  ${cell} ${line}`);
}

function devicesAndMarks(passports: readonly Passport[]): string[] {
  const devices = passports.flatMap(({ node, cell, devices }) =>
    devices.map(
      ({ user, device, sinceMs, pushed }) =>
        `  ${cell} node ${node}: ${device} of ${user}, online since ${clock(sinceMs)}: ${pushed ? 'has been told' : 'not told yet'}`,
    ),
  );
  const marks = new Map<string, { delivered: boolean; seen: boolean }>();
  for (const { user, delivered, seen } of passports.flatMap((each) => each.marks)) {
    const known = marks.get(user);
    marks.set(user, { delivered: delivered || known?.delivered === true, seen: seen || known?.seen === true });
  }
  const said = [...marks].map(
    ([user, { delivered, seen }]) => `  ${user}: ${seen ? 'seen' : delivered ? 'delivered' : 'neither delivered nor seen'}`,
  );
  return [
    '',
    'devices',
    ...(devices.length > 0 ? devices : ['  no member is connected to a node that answered']),
    'marks',
    ...(said.length > 0 ? said : ['  none of any member']),
  ];
}

function clocksOf(passports: readonly Passport[], nameOf: NameOf): string[] {
  const lines = new Set<string>();
  for (const { cell, clocks } of passports)
    for (const { cell: number, aheadMs, errorMs } of clocks) {
      const ahead = aheadMs < 0 ? `${(-aheadMs).toFixed(1)} ms behind` : `${aheadMs.toFixed(1)} ms ahead of`;
      lines.add(`  ${nameOf(number)} is ${ahead} ${cell}, ± ${errorMs.toFixed(1)} ms`);
    }
  return ['clocks', ...(lines.size > 0 ? lines : ['  no estimate yet'])];
}

/** What the owner's cell thinks of another's clock, or the other of the owner's: whoever knows it better. */
function clockOf(passports: readonly Passport[], owner: number, other: number): { aheadMs: number; errorMs: number } | undefined {
  if (owner === other) return undefined;
  const estimates = passports.flatMap(({ number, clocks }) => {
    const [of, sign] = number === owner ? [other, 1] : number === other ? [owner, -1] : [0, 0];
    return clocks.filter(({ cell }) => cell === of).map(({ aheadMs, errorMs }) => ({ aheadMs: sign * aheadMs, errorMs }));
  });
  return estimates.sort((a, b) => a.errorMs - b.errorMs)[0];
}

function undecided(asked: string, passports: readonly Passport[], nameOf: NameOf): string[] {
  const waiting = passports.find(({ intake }) => intake);
  if (waiting?.intake) {
    const { dst, n, lowestOpen, sinceMs, log } = waiting.intake;
    const first =
      lowestOpen < n
        ? `; ${plural(n - lowestOpen, 'number', 'numbers')} before it, from ${lowestOpen} on, are open too`
        : '; it is the first in line';
    return [
      `${asked} is pending: stored in ${waiting.cell}, ${nameOf(dst)} decides.`,
      `  number ${n} of ${log === '0' ? 'a conversation that is not open yet' : `log ${log}`}, since ${clock(sinceMs)} (${seconds(waiting.nowMs - sinceMs)})${first}`,
    ];
  }
  const refused = passports.find((each) => each.refused);
  if (refused?.refused)
    return [
      `${asked} was refused: ${refused.refused.code} ${refused.refused.text}`,
      `  told to its author in ${refused.cell} at ${clock(refused.refused.ts)}`,
    ];
  const log = passports.find((each) => each.log)?.log;
  if (log)
    return [`${asked}: there is no such entry. The log ends at ${log.head}${log.start > 0 ? `, and here begins after ${log.start}` : ''}.`];
  return [`${asked}: no cell knows it${passports.length > 0 ? '' : ' or could be asked'}.`, ...madeAt(asked)];
}

/** An id tells when it was made, even of something nobody has. */
function madeAt(asked: string): string[] {
  const id = BigInt(/^\d+/.exec(asked)?.[0] ?? '0');
  return id > 1n << 22n ? [`  by its number it would be of ${new Date(idTimeMs(id)).toISOString().slice(0, 19)}Z`] : [];
}

const clock = (ms: number): string => new Date(ms).toISOString().slice(11, 23);
const after = (ms: number): string => `${ms < 0 ? '−' : '+'}${Math.abs(ms).toFixed(0)} ms`.padStart(9);
const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;
const plural = (n: number, one: string, many: string): string => `${n} ${n === 1 ? one : many}`;
