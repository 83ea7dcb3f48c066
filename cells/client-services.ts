// What a client's connection may ask of its node, put together from the node's parts.

import { WeftError } from '@weft/proto/faults.ts';
import type { Hello, Redirect } from '@weft/proto/gen/weft/client/v1/client.ts';
import type { Clock } from '@weft/runtime/clock.ts';
import type { Log } from '@weft/runtime/log.ts';
import type { Random } from '@weft/runtime/random.ts';
import { WrongHome } from './accounts/homes.ts';
import { AppendRate } from './append-rate.ts';
import type { CellDelivery } from './cell-delivery.ts';
import type { CellConfig } from './config.ts';
import { Admission } from './edge/admission.ts';
import { socketPath } from './edge/edge.ts';
import type { EdgeServices } from './edge/edge-services.ts';
import { type Access, Greeter } from './edge/greeter.ts';
import { Requests } from './edge/requests.ts';
import { cellLimits } from './limits.ts';
import type { KnownPeers } from './peers.ts';
import type { SessionsWatch } from './sessions-watch.ts';
import { type Gathering, gatheringBy } from './store/ask-together.ts';
import type { CellStore } from './store/sql-log-store.ts';

export interface ClientServicesOptions {
  readonly config: Pick<CellConfig, 'node' | 'heartbeatMs' | 'appendsPerSecond' | 'logsPerUserMax'>;
  readonly cell: { readonly name: string; readonly number: number; readonly generation: number };
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly store: CellStore;
  readonly delivery: CellDelivery;
  readonly peers: KnownPeers;
  readonly metrics: EdgeServices['metrics'];
  readonly sessionsWatch: SessionsWatch;
  /** Checks an access token. Throws WeftError. */
  readonly verify: (token: string) => Promise<Access>;
  /** Whether this node knows the user by itself. */
  readonly knowsUser: (user: bigint) => boolean;
  /** Whether there is such a user. Throws directory_away when nobody can tell. */
  readonly userExists: (user: bigint) => Promise<boolean>;
  /** How greetings gather; by the clock, when left out. */
  readonly gathering?: Gathering;
}

export const socketUrl = (url: string): string => `${url.replace(/^http/, 'ws')}${socketPath}`;

export function clientServices(options: ClientServicesOptions): EdgeServices {
  const { config, clock, random, log, cell, store, delivery, peers, metrics, sessionsWatch } = options;
  const rate = new AppendRate(clock, config.appendsPerSecond);
  const greeter = new Greeter({
    cell,
    node: config.node,
    heartbeatMs: config.heartbeatMs,
    appendsPerSecond: config.appendsPerSecond,
    hub: delivery.hub,
    now: () => clock.now(),
    verify: options.verify,
    readHeads: (users) => store.userHeads(users),
    gathering: options.gathering ?? gatheringBy(clock, cellLimits.greetPauseMs),
  });
  const admission = new Admission(clock, cellLimits);
  const requests = new Requests({
    cell: cell.number,
    store,
    homeOf: peers.homeOf,
    logsPerUserMax: config.logsPerUserMax,
    exists: options.userExists,
    append: (operation) => delivery.append(operation),
    openAway: (opener, peer, clientEntryId) => delivery.requests.openAway(opener, peer, clientEntryId),
    setMark: async (mark, state) => {
      // Entries first: a mark that comes again is merged by maximum, so nothing is lost by waiting.
      if (delivery.waiting > cellLimits.marksShedAbove) throw new WeftError('busy', 'marks wait while entries do', cellLimits.laterMs);
      await delivery.marks.set(mark, state);
    },
    signedHead: (log, user, isWitness) => delivery.proof.read(log, user, isWitness),
    renew: async (token, greeted) => {
      const access = await options.verify(token);
      if (access.user !== greeted.user || access.session !== greeted.session)
        throw new WeftError('token_invalid', 'the token belongs to another session');
      greeted.tokenEndsMs = access.endsMs;
    },
  });
  return {
    clock,
    log,
    random,
    metrics,
    greet: async (hello: Hello, socket) => {
      const answer = await admission.admit(() => greeter.greet(hello, socket));
      const now = clock.now();
      // Clocks of two nodes may differ by more than it takes a device to come back.
      const order = Number(hello.openedAt) || now;
      sessionsWatch.greeted(answer.greeted, socket, { openedAt: now, order });
      delivery.pushes.tellSessionOpened(answer.greeted.session, order);
      return answer;
    },
    redirectOf,
    left: ({ user, session }, socket) => {
      delivery.hub.close(user, socket);
      sessionsWatch.left(session, socket);
      if (!delivery.hub.user(user)) rate.forget(user);
    },
    takeAppend: (user) => rate.take(user),
    knowsUser: options.knowsUser,
    userExists: options.userExists,
    append: (submission) => delivery.submit(submission),
    handle: (request, { greeted }) => requests.handle(request, greeted),
    cursor: (nowMs) => greeter.cursor(nowMs),
  };
}

function redirectOf(error: unknown): Redirect | undefined {
  if (!(error instanceof WrongHome) || error.url === '') return undefined;
  return { cell: error.cell, url: socketUrl(error.url), afterMs: 0 };
}
