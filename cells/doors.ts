// What clients knock at: the REST door and the WebSocket door, on one port.

import { WeftError } from '@weft/proto/faults.ts';
import type { Hello, Redirect } from '@weft/proto/gen/weft/client/v1/client.ts';
import type { Health } from '@weft/runtime/observability.ts';
import { systemRandom } from '@weft/runtime/random.ts';
import { Accounts } from './accounts/accounts.ts';
import { WrongHome } from './accounts/homes.ts';
import { AppendRate } from './append-rate.ts';
import type { CellConfig } from './config.ts';
import { Edge, socketPath } from './edge/edge.ts';
import type { EdgeServices } from './edge/edge-services.ts';
import { Greeter } from './edge/greeter.ts';
import { Requests } from './edge/requests.ts';
import type { CellFabric } from './fabric.ts';
import type { CellBase, Opening } from './ground.ts';
import { buildHttp } from './http/http.ts';

export interface DoorsOptions extends Opening, CellBase, CellFabric {
  readonly config: CellConfig;
  readonly health: Health;
}

export interface Doors {
  /** Tells the sockets to go elsewhere and waits until most have. */
  leave(): Promise<void>;
}

export async function openDoors(options: DoorsOptions): Promise<Doors> {
  const {
    config,
    clock,
    log,
    opened,
    health,
    pool,
    redis,
    ids,
    keys,
    replica,
    leases,
    createSelfLog,
    sessionsWatch,
    delivery,
    failpoints,
  } = options;
  const accounts = opened.use(
    await Accounts.open({
      pool,
      redis,
      clock,
      ids,
      own: { ...config.cell, url: config.publicUrl },
      homes: replica,
      keys,
      keySecret: Buffer.from(config.keySecret.reveal(), 'base64url'),
      peppers: config.peppers,
      leases,
      createSelfLog,
      failpoint: async (name) => void failpoints.reach(name),
      log,
    }),
  );
  opened.use(
    accounts.sessions.onEnded((sessions, from) => {
      sessionsWatch.end(sessions);
      if (from === 'here') delivery.pushes.tellSessionsEnded(sessions);
    }),
  );
  const app = buildHttp({ cell: config.cell.name, accounts, keys, health, log, origins: config.origins });
  const edge = new Edge({
    services: edgeServices(options, accounts),
    heartbeatMs: config.heartbeatMs,
    socketsPerAddressMax: config.socketsPerAddressMax,
    ready: () => health.ready,
  });
  sessionsWatch.countWith(() => edge.size);
  edge.listenTo(app.server);
  opened.defer(() => app.close());
  opened.use(edge);
  await app.listen({ host: config.host, port: config.port });
  return {
    leave: async () => {
      const others = replica.cell(config.cell.name)?.urls.filter((url) => url !== config.publicUrl) ?? [];
      edge.leave(others[0] ? socketUrl(others[0]) : '');
      for (const until = clock.monotonic() + leaveMsMax; edge.size > 0 && clock.monotonic() < until; ) await clock.sleep(leavePollMs);
    },
  };
}

const leaveMsMax = 1_000;
const leavePollMs = 20;

const socketUrl = (url: string): string => `${url.replace(/^http/, 'ws')}${socketPath}`;

function edgeServices(options: DoorsOptions, accounts: Accounts): EdgeServices {
  const { config, clock, log, cell, store, delivery, peers, metrics, sessionsWatch } = options;
  const rate = new AppendRate(clock, config.appendsPerSecond);
  const greeter = new Greeter({
    cell,
    node: config.node,
    heartbeatMs: config.heartbeatMs,
    appendsPerSecond: config.appendsPerSecond,
    hub: delivery.hub,
    now: () => clock.now(),
    verify: (token) => accounts.verifyAccess(token),
    readHeads: (users) => store.userHeads(users),
  });
  const requests = new Requests({
    cell: cell.number,
    store,
    homeOf: peers.homeOf,
    exists: (user) => userExists(options, user),
    append: (operation) => delivery.append(operation),
    openAway: (opener, peer, clientEntryId) => delivery.requests.openAway(opener, peer, clientEntryId),
    setMark: (mark, state) => delivery.marks.set(mark, state),
    renew: async (token, greeted) => {
      const access = await accounts.verifyAccess(token);
      if (access.user !== greeted.user || access.session !== greeted.session)
        throw new WeftError('token_invalid', 'the token belongs to another session');
      greeted.tokenEndsMs = access.endsMs;
    },
  });
  return {
    clock,
    log,
    random: systemRandom,
    metrics,
    greet: async (hello: Hello, socket) => {
      const answer = await greeter.greet(hello, socket);
      sessionsWatch.greeted(answer.greeted, socket, clock.now());
      return answer;
    },
    redirectOf,
    left: ({ user, session }, socket) => {
      delivery.hub.close(user, socket);
      sessionsWatch.left(session, socket);
      if (!delivery.hub.user(user)) rate.forget(user);
    },
    takeAppend: (user) => rate.take(user),
    knowsUser: (user) => options.replica.userById(user) !== undefined,
    userExists: (user) => userExists(options, user),
    append: (submission) => delivery.submit(submission),
    handle: (request, { greeted }) => requests.handle(request, greeted),
    cursor: (nowMs) => greeter.cursor(nowMs),
  };
}

function redirectOf(error: unknown): Redirect | undefined {
  if (!(error instanceof WrongHome) || error.url === '') return undefined;
  return { cell: error.cell, url: socketUrl(error.url), afterMs: 0 };
}

/** The replica may be a moment behind a sign-up, so a user it does not know is asked for. */
async function userExists({ replica }: DoorsOptions, user: bigint): Promise<boolean> {
  if (replica.userById(user)) return true;
  return (await replica.directory.findUser({ id: user })) !== undefined;
}
