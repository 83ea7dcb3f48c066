// Reads every conversation back from the cells of both members, not from what the clients hold: sockets and pages of its own.

import { inParallel } from '@weft/local/in-parallel.ts';
import { limits as wireLimits } from '@weft/proto/limits.ts';
import type { Actor, Troupe } from './actors.ts';
import { type Comparison, compare } from './comparison.ts';
import type { Line } from './data-set.ts';
import { replayLimits } from './limits.ts';
import { LoadClient } from './load-client.ts';
import type { Played } from './play.ts';

export interface Verdict {
  missing: number;
  doubled: number;
  reordered: number;
  /** Conversations read, each from two cells. */
  read: number;
  /** The first differences, as text. */
  readonly differences: string[];
}

/** Every text of a log as the member's cell has it, with the names of the data set. */
async function readLog(reader: LoadClient, log: bigint, names: ReadonlyMap<bigint, string>): Promise<Line[]> {
  const lines: Line[] = [];
  for (let from = 1n; ; ) {
    const page = await reader.ask({ $case: 'readHistory', value: { log, from, before: 0n, limit: wireLimits.pageEntriesMax } }, 'page');
    for (const { seq, author, body } of page.entries) {
      if (seq !== from) throw new Error(`log ${log} has seq ${seq} where ${from} should be`);
      from += 1n;
      if (body?.$case === 'text') lines.push({ sender: names.get(author) ?? `user ${author}`, text: body.value });
    }
    // By the head, not by `end`: a page that ends too early must not hide what follows.
    if (page.entries.length === 0 || from > (page.head?.seq ?? 0n)) return lines;
  }
}

/** One person's conversations on one connection of its own; begun again when a node goes away under it. */
async function readOf(actor: Actor, logs: readonly bigint[], names: ReadonlyMap<bigint, string>): Promise<Map<bigint, Line[]>> {
  const found = new Map<bigint, Line[]>();
  let last: unknown;
  for (let attempt = 0; attempt < replayLimits.readBackAttemptsMax; attempt++) {
    const { session } = actor.weft;
    const url = session.urls[attempt % session.urls.length] ?? '';
    const socket = url.replace(/^http/, 'ws').replace(/\/*$/, '/v1/socket');
    try {
      const user = { user: session.user, device: session.device, accessToken: session.accessToken, url: socket };
      const reader = await LoadClient.connect(user, { accepted: () => {}, pushed: () => {} });
      for (const log of logs) if (!found.has(log)) found.set(log, await readLog(reader, log, names));
      reader.close();
      return found;
    } catch (error) {
      last = error;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
  throw new Error(`${actor.person.name} could not read back: ${last instanceof Error ? last.message : String(last)}`);
}

/** Compares each conversation, as both members' cells have it, with the data set. */
export async function readBack(played: readonly Played[], troupe: Troupe, onRead: () => void): Promise<Verdict> {
  const verdict: Verdict = { missing: 0, doubled: 0, reordered: 0, read: 0, differences: [] };
  const names = new Map([...troupe.actors.values()].map(({ user, person }) => [user, person.name]));
  const byPerson = new Map<string, Played[]>();
  for (const one of played) for (const { name } of one.thread.people) byPerson.set(name, [...(byPerson.get(name) ?? []), one]);
  await inParallel([...byPerson], replayLimits.readBacksMax, async ([name, threads]) => {
    const actor = troupe.actors.get(name);
    if (actor === undefined) throw new Error(`${name} is not in the troupe`);
    // The session's own connection makes room: one device has one socket.
    await actor.weft.close();
    const found = await readOf(
      actor,
      threads.map(({ log }) => log),
      names,
    );
    for (const { thread, log } of threads) {
      judge(verdict, compare(thread.lines, found.get(log) ?? []), `${name} in ${actor.person.cell}, log ${log}`);
      onRead();
    }
  });
  return verdict;
}

function judge(verdict: Verdict, found: Comparison, where: string): void {
  verdict.read += 1;
  verdict.missing += found.missing;
  verdict.doubled += found.doubled;
  verdict.reordered += found.reordered;
  if (found.first === undefined || verdict.differences.length >= replayLimits.differencesShown) return;
  const shown = (line: Line | undefined): string => (line === undefined ? 'nothing' : `${line.sender}: ${JSON.stringify(line.text)}`);
  verdict.differences.push(
    `${where}, message ${found.first.at + 1}: wrote ${shown(found.first.wanted)}, found ${shown(found.first.found)}`,
  );
}
