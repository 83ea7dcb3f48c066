import type { LogKind } from '@weft/proto/gen/weft/client/v1/client.ts';

import { Conversation, type Ground } from './conversation.ts';
import type { Entry } from './entry.ts';
import { laneOfPeer } from './lane.ts';

interface About {
  readonly kind?: LogKind;
  readonly peer?: bigint;
  readonly title?: string;
}

/**
 * One object per conversation, whether it was met by its log or by its peer. Where both happened before it was known that
 * they are one, both objects stay in use and hear the same.
 */
export class ConversationTable {
  readonly #ground: Ground;
  readonly #byLog = new Map<bigint, Conversation[]>();
  readonly #byPeer = new Map<bigint, Conversation>();
  readonly #logs = new Map<string, bigint>();

  constructor(ground: Ground) {
    this.#ground = ground;
  }

  byLog(log: bigint): Conversation {
    const known = this.#byLog.get(log)?.[0];
    if (known !== undefined) return known;
    const conversation = new Conversation(this.#ground, { log });
    this.#byLog.set(log, [conversation]);
    return conversation;
  }

  byPeer(peer: bigint): Conversation {
    const known = this.#byPeer.get(peer);
    if (known !== undefined) return known;
    const log = this.#logs.get(laneOfPeer(peer));
    const conversation = log === undefined ? new Conversation(this.#ground, { peer }) : this.byLog(log);
    this.#byPeer.set(peer, conversation);
    return conversation;
  }

  /** The log of a lane that is addressed by its peer. */
  logOfLane(lane: string): bigint | undefined {
    return this.#logs.get(lane);
  }

  /** An answer told where a lane leads. */
  learn(lane: string, log: bigint): void {
    if (!lane.startsWith('peer:') || this.#logs.has(lane)) return;
    this.bind(log, { kind: 'LOG_KIND_DIRECT', peer: BigInt(lane.slice('peer:'.length)) });
  }

  /** What became known of a log; the result is its conversation. */
  bind(log: bigint, about: About): Conversation {
    const peer = about.peer === 0n ? undefined : about.peer;
    const byPeer = peer === undefined ? undefined : this.#byPeer.get(peer);
    // Where a cell was restored to before the conversation began, it may be opened anew: another log, another object.
    const met = byPeer?.log === undefined || byPeer.log === log ? byPeer : undefined;
    const known = this.#byLog.get(log) ?? [];
    if (met !== undefined && !known.includes(met)) this.#byLog.set(log, [met, ...known]);
    const conversation = this.byLog(log);
    if (peer !== undefined) {
      this.#byPeer.set(peer, met ?? conversation);
      this.#logs.set(laneOfPeer(peer), log);
    }
    for (const each of this.#byLog.get(log) ?? []) each.bind(log, about);
    return conversation;
  }

  /** The log grew; the result is its conversation, if there is an object for it. */
  grown(log: bigint, entries: readonly Entry[]): Conversation | undefined {
    const conversations = this.#byLog.get(log);
    for (const { body } of entries) if (body?.$case === 'created') this.#created(log, body.value);
    for (const conversation of conversations ?? []) conversation.grown(entries);
    return (conversations ?? this.#byLog.get(log))?.[0];
  }

  truncated(log: bigint, base: number): void {
    for (const conversation of this.#byLog.get(log) ?? []) conversation.truncated(base);
  }

  anchored(log: bigint): void {
    for (const conversation of this.#byLog.get(log) ?? []) conversation.anchored();
  }

  close(): void {
    for (const conversations of this.#byLog.values()) for (const conversation of conversations) conversation.close();
    for (const conversation of this.#byPeer.values()) conversation.close();
  }

  #created(
    log: bigint,
    created: { readonly kind: LogKind; readonly title: string; readonly members: readonly { readonly user: bigint }[] },
  ): void {
    const direct = created.kind === 'LOG_KIND_DIRECT';
    const peer = direct ? created.members.find((member) => member.user !== this.#ground.me)?.user : undefined;
    this.bind(log, { kind: created.kind, title: created.title, ...(peer !== undefined && { peer }) });
  }
}
