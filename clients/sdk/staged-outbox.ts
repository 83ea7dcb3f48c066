// An outbox whose other end and clock a test holds in its hands.
import { sha256 } from '@noble/hashes/sha2.js';
import type { Append, Retry } from '@weft/proto/gen/weft/client/v1/client.ts';
import type { Waiter } from './line.ts';
import { ManualClock } from './manual-clock.ts';
import { Outbox } from './outbox.ts';
import { memoryOutbox, type OutboxStore, type StoredAppend } from './outbox-store.ts';
import type { Ports } from './ports.ts';
import type { Sent } from './sent.ts';
import { memorySession } from './session.ts';
import type { Reply } from './wire.ts';

/** A store whose content a test can carry into the next outbox. */
export class KeptStore implements OutboxStore {
  readonly kept: StoredAppend[];

  constructor(kept: StoredAppend[] = []) {
    this.kept = kept;
  }

  load = (): Promise<StoredAppend[]> => Promise.resolve([...this.kept]);
  put = (append: StoredAppend): Promise<void> => Promise.resolve(void this.kept.push(append));
  remove = (id: string): Promise<void> =>
    Promise.resolve(
      void this.kept.splice(
        this.kept.findIndex((append) => append.id === id),
        1,
      ),
    );
  close = (): Promise<void> => Promise.resolve();
}

/** The other end: takes appends, answers when told to, and keeps R8. */
export class Owner {
  connected = false;
  readonly waiting: { readonly append: Append; readonly waiter: Waiter }[] = [];
  /** Texts in the order decided. */
  readonly log: string[] = [];
  readonly #ids = new Map<bigint, bigint>();
  #faultedId: bigint | undefined;

  send(append: Append, waiter: Waiter): boolean {
    if (!this.connected) return false;
    this.waiting.push({ append, waiter });
    return true;
  }

  /** Decides the oldest; `answered` false: the answer is lost. */
  decide(how: 'accept' | 'later' | 'never' | 'pending', answered = true): void {
    const next = this.waiting.shift();
    if (next === undefined) return;
    const reply = this.#reply(next.append, how);
    if (answered) next.waiter.answered(reply);
  }

  #reply(append: Append, how: 'accept' | 'later' | 'never' | 'pending'): Reply {
    const id = append.clientEntryId;
    if (this.#faultedId !== undefined && this.#faultedId !== id) return fault('earlier_faulted', 'RETRY_LATER', 100);
    this.#faultedId = how === 'later' ? id : undefined;
    if (how === 'later') return fault('busy', 'RETRY_LATER', 100);
    if (how === 'never' && !this.#ids.has(id)) return fault('not_a_member', 'RETRY_NEVER');
    if (how === 'pending' && !this.#ids.has(id)) return { $case: 'pending', value: { log: 7n, clientEntryId: id } };
    const seq = this.#ids.get(id) ?? BigInt(this.log.push(append.content?.$case === 'text' ? append.content.value : ''));
    this.#ids.set(id, seq);
    return { $case: 'accepted', value: { log: 7n, epoch: 1n, seq, ts: 1n, clientEntryId: id, ord: seq } };
  }
}

const fault = (code: string, retry: Retry, afterMs = 0): Reply => ({ $case: 'fault', value: { code, text: '', retry, afterMs } });

function unexpected(what: string): never {
  throw new Error(`unexpected: ${what}`);
}

export function open(store: OutboxStore = memoryOutbox()) {
  const clock = new ManualClock();
  const owner = new Owner();
  const changes: Sent[] = [];
  const isIn = { log: true };
  const ports: Ports = {
    socket: () => unexpected('a socket'),
    http: () => unexpected('a REST call'),
    clock,
    sha256,
    verify: () => Promise.resolve(true),
    random: { next: () => 0.5 },
    outbox: store,
    session: memorySession(),
  };
  const outbox = new Outbox({
    ports,
    events: {
      send: (request, waiter) => request.$case === 'append' && owner.send(request.value, waiter),
      logOf: () => undefined,
      isIn: () => isIn.log,
      changed: (sent) => changes.push(sent),
      accepted: () => undefined,
      trouble: (error) => unexpected(String(error)),
    },
  });
  const connect = (): void => {
    owner.connected = true;
    outbox.attached(32);
  };
  const cut = (): void => {
    owner.connected = false;
    owner.waiting.length = 0;
    outbox.detached();
  };
  return { clock, owner, outbox, connect, cut, changes, isIn };
}

export const write = (outbox: Outbox, text: string, lane = 'log:7'): Sent => outbox.add(lane, { $case: 'text', value: text });
