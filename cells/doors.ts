// What clients knock at: the REST door and the WebSocket door, on one port.

import type { Health } from '@weft/runtime/observability.ts';
import { systemRandom } from '@weft/runtime/random.ts';
import { Accounts } from './accounts/accounts.ts';
import { clientServices, socketUrl } from './client-services.ts';
import type { CellConfig } from './config.ts';
import { Edge } from './edge/edge.ts';
import type { CellFabric } from './fabric.ts';
import type { CellBase, Opening } from './ground.ts';
import { buildHttp } from './http/http.ts';
import { operatorRoutes } from './http/operator.ts';
import { cellLimits } from './limits.ts';
import { openDesk } from './operator-desk.ts';

export interface DoorsOptions extends Opening, CellBase, CellFabric {
  readonly config: CellConfig;
  readonly health: Health;
}

export interface Doors {
  /** Tells the sockets to go elsewhere and waits until most have. */
  leave(): Promise<void>;
}

export async function openDoors(options: DoorsOptions): Promise<Doors> {
  const { config, clock, log, opened, health, keys, replica, sessionsWatch, delivery, headKeys } = options;
  const accounts = opened.use(await openAccounts(options));
  opened.use(
    accounts.sessions.onEnded((sessions, from) => {
      sessionsWatch.end(sessions);
      if (from === 'here') delivery.pushes.tellSessionsEnded(sessions);
    }),
  );
  const app = buildHttp({ cell: config.cell.name, accounts, keys, headKeys, health, log, origins: config.origins });
  operatorRoutes(app, openDesk(options), config.operatorTokens);
  const edge = new Edge({
    services: clientServices({
      ...options,
      random: systemRandom,
      verify: (token) => accounts.verifyAccess(token),
      knowsUser: (user) => replica.userById(user) !== undefined,
      userExists: (user) => userExists(options, user),
    }),
    heartbeatMs: config.heartbeatMs,
    socketsPerAddressMax: config.socketsPerAddressMax,
    ready: () => health.ready,
  });
  sessionsWatch.countWith(() => edge.size);
  edge.listenTo(app.server);
  opened.defer(() => app.close());
  opened.use(edge);
  await app.listen({ host: config.host, port: config.port, backlog: cellLimits.acceptsWaitingMax });
  return {
    leave: async () => {
      const others = replica.cell(config.cell.name)?.urls.filter((url) => url !== config.publicUrl) ?? [];
      edge.leave(others[0] ? socketUrl(others[0]) : '');
      for (const until = clock.monotonic() + leaveMsMax; edge.size > 0 && clock.monotonic() < until; ) await clock.sleep(leavePollMs);
    },
  };
}

function openAccounts(options: DoorsOptions): Promise<Accounts> {
  const { config, clock, log, pool, redis, ids, keys, replica, leases, createSelfLog, failpoints, life } = options;
  return Accounts.open({
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
    notBeforeMs: life.life.raisedMs,
    failpoint: async (name) => void failpoints.reach(name),
    log,
  });
}

const leaveMsMax = 1_000;
const leavePollMs = 20;

/** The replica may be a moment behind a sign-up, so a user it does not know is asked for. */
async function userExists({ replica }: DoorsOptions, user: bigint): Promise<boolean> {
  if (replica.userById(user)) return true;
  return (await replica.directory.findUser({ id: user })) !== undefined;
}
