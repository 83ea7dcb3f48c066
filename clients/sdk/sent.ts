import type { WeftError } from '@weft/proto/faults.ts';
import type { Position } from '@weft/proto/positions.ts';

/**
 * queued: only here · sent: on its way, unanswered · pending: stored by the home cell, which will not forget it, and the owner
 * of the log has yet to decide · accepted, refused, cancelled: final.
 */
export type SentState = 'queued' | 'sent' | 'pending' | 'accepted' | 'refused' | 'cancelled';

export interface AcceptedAt extends Position {
  readonly log: bigint;
  /** Milliseconds since the Unix epoch by the owner's clock. */
  readonly ts: number;
}

export type Content = { readonly $case: 'text'; readonly value: string } | { readonly $case: 'data'; readonly value: Uint8Array };

export interface SentBacking {
  cancel(sent: Sent): boolean;
  changed(sent: Sent): void;
}

/** One entry on its way out. */
export class Sent {
  /** The author's id of the entry; it names the entry for ever, however often it is sent. */
  readonly id: bigint;
  /** The outbox's queue: entries of one lane keep their order. */
  readonly lane: string;
  readonly content: Content;
  /** Resolves when the entry survives a crash of this process; rejects when the store fails (the entry is sent all the same). */
  readonly stored: Promise<void>;
  #state: SentState = 'queued';
  #at: AcceptedAt | undefined;
  #fault: WeftError | undefined;
  #accepted: PromiseWithResolvers<AcceptedAt> | undefined;
  readonly #backing: SentBacking;
  /** It was handed to a connection once, so a cell may know it. */
  wasSent = false;

  constructor(options: { id: bigint; lane: string; content: Content; stored: Promise<void>; backing: SentBacking }) {
    this.id = options.id;
    this.lane = options.lane;
    this.content = options.content;
    this.stored = options.stored;
    this.#backing = options.backing;
  }

  get state(): SentState {
    return this.#state;
  }

  get text(): string {
    return this.content.$case === 'text' ? this.content.value : '';
  }

  /** Where it stands in the log, once accepted. */
  get at(): AcceptedAt | undefined {
    return this.#at;
  }

  /** Why it was refused. */
  get fault(): WeftError | undefined {
    return this.#fault;
  }

  get final(): boolean {
    return this.#state === 'accepted' || this.#state === 'refused' || this.#state === 'cancelled';
  }

  /**
   * Resolves when the owner of the log gave it a place. Rejects with WeftError when it was refused (the owner's reason),
   * cancelled, or when the client was stopped first (`not_ready`: with a durable outbox it goes on at the next start).
   */
  get accepted(): Promise<AcceptedAt> {
    if (this.#accepted === undefined) {
      this.#accepted = Promise.withResolvers();
      if (this.#at !== undefined) this.#accepted.resolve(this.#at);
      else if (this.#fault !== undefined) this.#accepted.reject(this.#fault);
    }
    return this.#accepted.promise;
  }

  /** Takes it back; false when it is too late: a cell may have it already. */
  cancel(): boolean {
    return this.#backing.cancel(this);
  }

  /** For the outbox: the next state and what it brought. */
  become(state: SentState, outcome: { readonly at?: AcceptedAt; readonly fault?: WeftError } = {}): void {
    if (this.final || this.#state === state) return;
    this.#state = state;
    this.#at = outcome.at;
    this.#fault = outcome.fault;
    if (outcome.at !== undefined) this.#accepted?.resolve(outcome.at);
    else if (outcome.fault !== undefined) this.#accepted?.reject(outcome.fault);
    this.#backing.changed(this);
  }

  /** For the outbox: nobody will hear of it in this process any more; the state stays. */
  giveUp(fault: WeftError): void {
    if (!this.final) this.#accepted?.reject(fault);
  }
}
