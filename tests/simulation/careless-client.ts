// Clients that leave out what a client has to do. The SDK's own classes, each with a method that does less.
import { CatchUp } from '@weft/client/catch-up.ts';
import type { Entry } from '@weft/client/entry.ts';
import { Line, type Waiter } from '@weft/client/line.ts';
import { LogView } from '@weft/client/log-view.ts';
import type { Request } from '@weft/client/wire.ts';
import { type Mutation, patched } from './mutation.ts';

type Send = (request: Request, waiter: Waiter) => boolean;

/** Changes how appends are sent that were sent before, by the same client on any connection. */
const resending =
  (make: (send: Send, line: Line) => { first: Send; again: Send }): (() => Mutation) =>
  () => ({
    patch: () => {
      const seen = new WeakMap<Line, Set<bigint>>();
      const ways = new WeakMap<Line, { first: Send; again: Send }>();
      return patched({
        of: Line.prototype,
        method: 'send',
        make: (original) =>
          function (this: Line, request: Request, waiter: Waiter): boolean {
            const send: Send = (r, w) => Reflect.apply(original, this, [r, w]) as boolean;
            if (request.$case !== 'append') return send(request, waiter);
            const way = ways.get(this) ?? make(send, this);
            ways.set(this, way);
            const known = seen.get(this) ?? new Set<bigint>();
            seen.set(this, known);
            const again = known.has(request.value.clientEntryId);
            const sent = (again ? way.again : way.first)(request, waiter);
            if (sent) known.add(request.value.clientEntryId);
            return sent;
          },
      });
    },
  });

export const resentUnderNewIds = resending((send) => ({
  first: send,
  again: (request, waiter) => {
    if (request.$case !== 'append') return send(request, waiter);
    const { clientEntryId } = request.value;
    return send({ ...request, value: { ...request.value, clientEntryId: clientEntryId ^ 0x155n } }, waiter);
  },
}));

export const answersForgotten = resending((send, line) => ({ first: send, again: () => line.attached }));

/** What was unanswered waits until something new has been sent. */
export const resentLast = resending((send, line) => {
  let waiting: (() => boolean)[] = [];
  return {
    first: (request, waiter) => {
      const sent = send(request, waiter);
      for (const late of waiting) late();
      waiting = [];
      return sent;
    },
    again: (request, waiter) => {
      waiting.push(() => send(request, waiter));
      return line.attached;
    },
  };
});

export const digestIgnored = (): Mutation => ({
  patch: () => patched({ of: CatchUp.prototype, method: 'heartbeat', make: () => () => undefined }),
});

type Offer = (entry: Entry, nowMs: number, taken: Entry[]) => number | undefined;

const offering = (make: (view: LogView, offer: Offer) => Offer): Mutation => ({
  patch: () =>
    patched({
      of: LogView.prototype,
      method: 'offer',
      make: (original) =>
        function (this: LogView, ...args: Parameters<Offer>) {
          return make(this, (...given) => Reflect.apply(original, this, given) as number | undefined)(...args);
        },
    }),
});

export const holesTaken = (): Mutation =>
  offering((view, offer) => (entry, nowMs, taken) => {
    if (view.anchored && !view.left && entry.seq > view.head + 1) view.skipTo(entry.seq - 1);
    return offer(entry, nowMs, taken);
  });

export const ownEntriesShownTwice = (): Mutation =>
  offering((view, offer) => (entry, nowMs, taken) => {
    if (view.anchored && !view.left && entry.seq <= view.head) taken.push(entry);
    return offer(entry, nowMs, taken);
  });
