// What a caller gives to a client, and what it hears from it.

import { sha256 } from '@noble/hashes/sha2.js';
import type { WeftError } from '@weft/proto/faults.ts';

import type { StateName, StopReason } from './connection.ts';
import type { Conversation, ConversationKind } from './conversation.ts';
import type { Entry } from './entry.ts';
import type { ProofReport } from './judge.ts';
import { memoryOutbox } from './outbox-store.ts';
import { fetchHttp, type Ports, type Random, socketsFrom, systemClock, webVerify } from './ports.ts';
import type { Sent } from './sent.ts';
import { memorySession } from './session.ts';
import type { Encoding } from './wire.ts';

export interface WeftOptions {
  /** What survives a restart, and what touches the outside; by default memory and the platform's own. */
  readonly ports?: Partial<Ports>;
  /** protobuf by default. */
  readonly encoding?: Encoding;
  /** Tell senders that their messages arrived; on by default, at most one small request a second per log. */
  readonly deliveredMarks?: boolean;
  /** Free text for operators, such as "my-bot/1.2". */
  readonly agent?: string;
}

export interface LogInOptions extends WeftOptions {
  /** Address of any router, such as "https://eu.weft.example". */
  readonly router: string;
  readonly handle: string;
  readonly password: string;
  /** Chosen once per installation: 1 to 64 of [A-Za-z0-9_-]. Two clients of one user need two. Random by default. */
  readonly device?: string;
}

export interface SignUpOptions extends LogInOptions {
  /** Wish for the home's region. */
  readonly region?: string;
}

export interface WeftState {
  /** connection.ts tells what each means and how long it can last. */
  readonly name: StateName;
  /** Why it waits or stopped, for people. */
  readonly reason: string;
  /** When the next try begins (ms since the Unix epoch), while waiting. */
  readonly retryAtMs: number | undefined;
  readonly stop: StopReason | undefined;
  readonly cell: string;
  /** The node spoken to last. */
  readonly node: string;
}

export interface ConversationInfo {
  readonly conversation: Conversation;
  readonly kind: ConversationKind;
  readonly peer: bigint | undefined;
  readonly title: string;
  readonly headSeq: number;
  /** Milliseconds since the Unix epoch of the newest entry. */
  readonly headTs: number;
  readonly seenSeq: number;
  readonly unread: number;
}

export interface MarkInfo {
  readonly conversation: Conversation;
  readonly user: bigint;
  readonly kind: 'delivered' | 'seen';
  readonly seq: number;
}

export type WeftEvents = {
  /** The connection's state changed. */
  state: [state: WeftState];
  /** A new entry of any conversation, in order per conversation. Once somebody listens, everything missed is fetched. */
  entry: [entry: Entry, conversation: Conversation];
  /** A new epoch began after seq `base`: what was shown above it was given up, and what stands there now follows as entries. */
  truncated: [conversation: Conversation, at: { readonly epoch: bigint; readonly base: number }];
  /** Somebody's delivered or seen mark moved on. */
  mark: [mark: MarkInfo];
  /** The user joined or left. */
  conversation: [conversation: Conversation, change: 'joined' | 'left'];
  /** An entry of this client changed its state. */
  sent: [sent: Sent];
  /** An entry of this client will never be accepted; `sent.fault` says why. */
  refused: [sent: Sent];
  /**
   * An entry of this user that was accepted, and that a newer epoch of its log gave up (`truncated`), was offered again and
   * refused: it is in no history any more, and `fault` says why. Rare: after a restore, for somebody who was removed meanwhile.
   */
  givenUp: [entry: Entry, conversation: Conversation, fault: WeftError];
  /** The history shown here is not the one its owner gave: judge.ts tells what each field means. Nothing is told of what is right. */
  proof: [report: ProofReport];
  /** The outbox's store failed: entries are sent all the same, but would not survive a crash. */
  trouble: [error: unknown];
};

/** The platform's own where nothing else was given. */
export function withDefaults(ports: Partial<Ports> = {}): Ports {
  return {
    socket: ports.socket ?? socketsFrom(globalThis.WebSocket),
    http: ports.http ?? fetchHttp,
    clock: ports.clock ?? systemClock,
    random: ports.random ?? { next: () => Math.random() },
    outbox: ports.outbox ?? memoryOutbox(),
    session: ports.session ?? memorySession(),
    sha256: ports.sha256 ?? sha256,
    verify: ports.verify ?? webVerify,
  };
}

const deviceDigits = 16;

export const randomDevice = (random: Random): string =>
  Array.from({ length: deviceDigits }, () => Math.floor(random.next() * 36).toString(36)).join('');
