// Guards switched off in a running node, so that a test can see somebody notice: what stands at the ports of the delivery
// core lies to it, or what it says is changed on the way out. Made only where WEFT_FAILPOINTS names a guard (failpoints.ts).
import { WeftError } from '@weft/proto/faults.ts';
import { IntakeFrame, LinkBeat } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { birthCell } from '@weft/proto/ids.ts';
import type { CellBus } from '@weft/runtime/nats-cell-bus.ts';
import type { InboundFrame } from '@weft/runtime/nats-consumer.ts';
import type { LogState } from './delivery/log-state.ts';
import type { Facts, OutboxRow, PublishResult, WriteKeys, Writes } from './delivery/ports.ts';
import { toldOtherwise } from './delivery/told-otherwise.ts';
import type { Failpoints } from './failpoints.ts';
import { beatSignal } from './link/beats.ts';
import { type OpenedFrame, SealedLink, type SealedLinkOptions } from './link/sealed-link.ts';
import { SqlLogStore, type SqlLogStoreOptions } from './store/sql-log-store.ts';

export class GuardlessStore extends SqlLogStore {
  readonly #off: Failpoints;
  readonly #membersEver = new Map<bigint, LogState['members']>();

  constructor(options: SqlLogStoreOptions, off: Failpoints) {
    super(options);
    this.#off = off;
  }

  override write<T extends { readonly writes: Writes }>(lane: number, keys: WriteKeys, decide: (facts: Facts) => T): Promise<T> {
    const lied = (facts: Facts): T => decide(this.#lie(facts, keys));
    if (!this.#off.isOff('commit-before-answer')) return super.write(lane, keys, lied);
    return new Promise((resolve, reject) => {
      const decideAndTell = (facts: Facts): T => {
        const decision = lied(facts);
        resolve(decision);
        return decision;
      };
      super.write(lane, keys, decideAndTell).catch(reject);
    });
  }

  override async unacknowledged(...asked: Parameters<SqlLogStore['unacknowledged']>): Promise<OutboxRow[]> {
    return this.#off.isOff('resend') ? [] : super.unacknowledged(...asked);
  }

  #lie(facts: Facts, keys: WriteKeys): Facts {
    const off = this.#off;
    return toldOtherwise(facts, {
      states: new Map([...facts.states].map(([log, state]) => [log, this.#lieAbout(state)])),
      ...(off.isOff('contiguous-apply') ? { rows: headsBefore(facts, keys) } : {}),
      ...(off.isOff('dedupe') ? { known: () => undefined } : {}),
      ...(off.isOff('intake-number') ? { decided: () => 0 } : {}),
    });
  }

  #lieAbout(state: LogState): LogState {
    const membersMax = this.#off.isOff('limit') ? Number.MAX_SAFE_INTEGER : state.membersMax;
    if (!this.#off.isOff('permission')) return { ...state, membersMax };
    const members = new Map([...(this.#membersEver.get(state.log) ?? []), ...state.members]);
    this.#membersEver.set(state.log, members);
    return { ...state, membersMax, members };
  }
}

/** Runs beyond the head look as if they continued it. */
function headsBefore(facts: Facts, keys: WriteKeys): Facts['rows'] {
  const rows = new Map(facts.rows);
  for (const { log, from } of keys.runs) {
    const row = rows.get(log);
    if (row && from > row.head + 1) rows.set(log, { ...row, head: from - 1 });
  }
  return rows;
}

export class GuardlessLink extends SealedLink {
  readonly #off: Failpoints;

  constructor(options: SealedLinkOptions, off: Failpoints) {
    super(options);
    this.#off = off;
  }

  override publish(frame: Parameters<SealedLink['publish']>[0]): Promise<PublishResult> {
    return super.publish(this.#off.isOff('attempt-number') ? { ...frame, attempt: 1 } : frame);
  }

  override async request(dst: number, method: string, bytes: Uint8Array): Promise<Uint8Array> {
    if (method === 'pull' && this.#off.isOff('pull')) throw new WeftError('peer_away', 'pulls are switched off');
    return super.request(dst, method, bytes);
  }

  override signal(dst: number, what: string, bytes: Uint8Array): void {
    const headless = what === beatSignal && this.#off.isOff('beat-heads');
    super.signal(dst, what, headless ? LinkBeat.encode({ ...LinkBeat.decode(bytes), heads: [] }).finish() : bytes);
  }

  override open(frame: InboundFrame): OpenedFrame | undefined {
    const opened = super.open(frame);
    if ((opened?.cls === 'e' || opened?.cls === 'i') && this.#off.reach('swallow-frame')) {
      frame.ack();
      return undefined;
    }
    if (opened?.cls !== 'i') return opened;
    const { intakes } = IntakeFrame.decode(opened.plain);
    const numbered = this.#off.isOff('intake-number') ? intakes.map((intake) => ({ ...intake, lowestOpen: intake.n })) : intakes;
    const src = this.#off.isOff('author-home') ? birthCell(intakes[0]?.author ?? 0n) : opened.src;
    return { ...opened, src, plain: IntakeFrame.encode({ intakes: numbered }).finish() };
  }
}

/** What one node tells the others, with one push kept back until another has overtaken it. */
export function overtakenPushes(bus: CellBus, failpoints: Failpoints): Pick<CellBus, 'publishPush' | 'subscribePush'> {
  let held: Uint8Array | undefined;
  return {
    subscribePush: (onBytes) => bus.subscribePush(onBytes),
    publishPush: (p, bytes) => {
      // The beats are short; what is held is a push of entries.
      if (held === undefined && bytes.length > beatBytesMax && failpoints.reach('hold-node-push')) {
        held = bytes;
        return true;
      }
      const sent = bus.publishPush(p, bytes);
      if (held !== undefined && bytes.length > beatBytesMax) {
        bus.publishPush(p, held);
        held = undefined;
      }
      return sent;
    },
  };
}

/** A beat holds four numbers. */
const beatBytesMax = 40;
