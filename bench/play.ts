// Plays one thread: whoever's turn it is sends all lines of the turn; the other answers when the last of them was shown there.

import type { Conversation } from '@weft/client/conversation.ts';
import type { Sent } from '@weft/client/sent.ts';
import type { Actor, Troupe } from './actors.ts';
import { type Thread, turnsOf } from './cast.ts';
import type { Line } from './data-set.ts';
import type { Latency } from './latency.ts';
import { replayLimits } from './limits.ts';

export interface Played {
  readonly thread: Thread;
  readonly log: bigint;
}

/** What all threads of a replay add to. */
export interface Score {
  /** From the moment it was written, the wait in the writer's own outbox included. */
  readonly shown: Latency;
  /** From the moment it first left the writer's outbox. */
  readonly carried: Latency;
  /** Messages by directed link, such as "eu-1 → us-2". */
  readonly links: Map<string, number>;
  /** The two cells of each conversation under way, by its log. */
  readonly talking: Map<bigint, readonly [string, string]>;
  messages: number;
  /** Shown more than once on one device. */
  twice: number;
}

/** One person's side of a thread: what the other wrote and was not shown yet. */
class Side {
  readonly actor: Actor;
  readonly conversation: Conversation;
  readonly #waiting = new Map<bigint, { readonly writer: Actor; readonly sent: Sent; readonly writtenMs: number }>();
  readonly #seen = new Set<number>();
  readonly #score: Score;
  #allShown: (() => void) | undefined;
  #patience: NodeJS.Timeout | undefined;
  readonly stop: () => void;

  constructor(actor: Actor, conversation: Conversation, score: Score) {
    this.actor = actor;
    this.conversation = conversation;
    this.#score = score;
    this.stop = conversation.subscribe(
      (entry) => {
        if (entry.kind !== 'text') return;
        if (this.#seen.has(entry.seq)) score.twice += 1;
        this.#seen.add(entry.seq);
        if (entry.author !== actor.user) this.#shown(entry.id);
      },
      { from: 1 },
    );
  }

  /** The other has just sent this. */
  expect(sent: Sent, writer: Actor): void {
    this.#waiting.set(sent.id, { writer, sent, writtenMs: performance.now() });
  }

  #shown(id: bigint): void {
    const expected = this.#waiting.get(id);
    if (expected === undefined) return;
    this.#waiting.delete(id);
    const now = performance.now();
    this.#score.shown.add(now - expected.writtenMs);
    // What left at once may have left before its time of writing was taken.
    const leftMs = Math.max(expected.writer.departures.take(id) ?? 0, expected.writtenMs);
    this.#score.carried.add(now - leftMs);
    this.#patience?.refresh();
    if (this.#waiting.size === 0) this.#allShown?.();
  }

  /**
   * Resolves when everything expected was shown; rejects when nothing was for shownMsMax: a monologue of thousands of lines takes
   * as long as its writer's window lets it.
   */
  async everythingShown(): Promise<void> {
    if (this.#waiting.size === 0) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#allShown = resolve;
    const { person, weft } = this.actor;
    this.#patience = setTimeout(() => {
      const { name, reason } = weft.state;
      const [first] = this.#waiting.values();
      reject(
        new Error(
          `${person.name} in ${person.cell} was shown nothing for ${replayLimits.shownMsMax} ms, ${this.#waiting.size} messages are missing, the first is ${first?.sent.state} at its writer, who is ${first?.writer.weft.state.name} (connection: ${name} ${reason})`,
        ),
      );
    }, replayLimits.shownMsMax);
    await promise.finally(() => clearTimeout(this.#patience));
    this.#allShown = undefined;
    this.#patience = undefined;
  }
}

/** Plays a thread to its end. Throws when a message is refused or not shown in time. */
export async function play(thread: Thread, troupe: Troupe, score: Score): Promise<Played> {
  const [a, b] = [troupe.actor(thread.people[0]), troupe.actor(thread.people[1])];
  const ours = await open(a, b);
  const theirs = await open(b, a);
  if (ours.log !== theirs.log)
    throw new Error(`${a.person.name} and ${b.person.name} have two conversations: ${ours.log} and ${theirs.log}`);
  const sides = [new Side(a, ours.conversation, score), new Side(b, theirs.conversation, score)] as const;
  score.talking.set(ours.log, [a.person.cell, b.person.cell]);
  try {
    for (const turn of turnsOf(thread.lines)) await playTurn(turn, sides, score);
  } finally {
    score.talking.delete(ours.log);
    for (const side of sides) side.stop();
  }
  return { thread, log: ours.log };
}

async function playTurn(turn: readonly Line[], [a, b]: readonly [Side, Side], score: Score): Promise<void> {
  const [writer, reader] = turn[0]?.sender === a.actor.person.name ? [a, b] : [b, a];
  const link = `${writer.actor.person.cell} → ${reader.actor.person.cell}`;
  const decided = turn.map(({ text }) => {
    const sent = writer.conversation.send(text);
    reader.expect(sent, writer.actor);
    return sent.accepted;
  });
  // Refused means that nobody will ever be shown it: no need to wait for that.
  await Promise.all([...decided, reader.everythingShown()]);
  score.messages += turn.length;
  score.links.set(link, (score.links.get(link) ?? 0) + turn.length);
}

/** The direct conversation of two people as one of them has it; asked again while the pair's cell is away. */
async function open(me: Actor, peer: Actor): Promise<{ readonly conversation: Conversation; readonly log: bigint }> {
  const until = performance.now() + replayLimits.shownMsMax;
  while (performance.now() < until) {
    const conversation = await me.weft.openDirect(peer.user);
    if (conversation.log !== undefined) return { conversation, log: conversation.log };
  }
  const { name, reason } = me.weft.state;
  throw new Error(
    `${me.person.name} in ${me.person.cell} could not open the conversation with ${peer.person.name} in ${peer.person.cell} (connection: ${name} ${reason})`,
  );
}
