// Connections to the bus. A connection outlives its server: it tries again for as long as the process runs.
import { type ConnectionOptions, connect, type NatsConnection, nkeyAuthenticator } from '@nats-io/transport-node';
import { subjects } from '@weft/proto/subjects.ts';
import { systemClock } from './clock.ts';
import { linkLimits } from './link-limits.ts';
import type { Log } from './log.ts';

export interface OpenBusOptions {
  /** nats://host:port of the cell's own server; a comma list names several. */
  readonly url: string;
  /** Account and user name in it: `fabric` is bridged to the hubs, `cell` to nothing. */
  readonly account: 'fabric' | 'cell';
  readonly password: string;
  readonly cell: string;
  readonly log: Log;
  /** Ends the waiting for a server that is away. */
  readonly signal?: AbortSignal;
}

/** Resolves once the server accepted the connection, however long it is away. Rejects only when `signal` is aborted. */
export function openBus({ url, account, password, cell, log, signal }: OpenBusOptions): Promise<NatsConnection> {
  return connectUntil(
    { log, ...(signal === undefined ? {} : { signal }) },
    {
      servers: url.split(','),
      user: account,
      pass: password,
      name: `${cell} ${account}`,
      inboxPrefix: subjects.inbox(cell, cell),
      // In the cell's own account nobody wants to hear himself: nodes push to the *other* nodes.
      noEcho: account === 'cell',
    },
  );
}

export interface OpenHubOptions {
  readonly url: string;
  /** Seed (SU…) of the directory's nkey. */
  readonly nkeySeed: string;
  readonly log: Log;
  readonly signal?: AbortSignal;
}

/** The directory's connection to a hub, on which it may publish its changes and nothing else. */
export function openHub({ url, nkeySeed, log, signal }: OpenHubOptions): Promise<NatsConnection> {
  return connectUntil(
    { log, ...(signal === undefined ? {} : { signal }) },
    {
      servers: url.split(','),
      authenticator: nkeyAuthenticator(new TextEncoder().encode(nkeySeed)),
      name: 'directory',
      inboxPrefix: subjects.directoryInbox,
    },
  );
}

const settings: ConnectionOptions = {
  maxReconnectAttempts: -1,
  reconnectTimeWait: linkLimits.reconnectPauseMs,
  timeout: linkLimits.connectMsMax,
  pingInterval: linkLimits.pingMs,
  maxPingOut: linkLimits.pingsOutMax,
  // A server that was restarted with other users comes right again; giving up for ever would need a restart of ours.
  ignoreAuthErrorAbort: true,
  // The cell's servers are those its configuration names.
  ignoreClusterUpdates: true,
  // A stack trace for each request costs more than the request.
  noAsyncTraces: true,
};

async function connectUntil(
  { log, signal }: { readonly log: Log; readonly signal?: AbortSignal },
  options: ConnectionOptions,
): Promise<NatsConnection> {
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted();
    // The client's own waiting cannot be aborted, so each attempt is one of ours.
    const connection = await connect({ ...settings, ...options, waitOnFirstConnect: false }).catch((error: Error) => {
      if (attempt === 1) log.warn({ err: error, bus: options.name }, 'the bus is away; trying again');
      return undefined;
    });
    if (connection !== undefined && signal?.aborted !== true) return connection;
    await connection?.close();
    await systemClock.sleep(linkLimits.reconnectPauseMs, signal);
  }
}
