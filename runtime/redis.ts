// Redis holds only what may be lost: presence, session registry, rate limits, caches. Its absence is a miss, never a fault.
import { Redis } from 'ioredis';
import { runtimeLimits as limits } from './limits.ts';
import type { Log } from './log.ts';

export interface RedisSettings {
  /** Put before every key, ends in ':'. Processes that share a server keep apart by it. */
  readonly keyPrefix?: string;
}

/**
 * A connection that is opened in the background and again for ever. Commands of one turn go out together. While the server is away a command
 * rejects at once, and one without answer rejects after redisCommandMsMax; it may have been done all the same. Close with {@link closeRedis}.
 */
export function openRedis(url: string, log: Log, settings: RedisSettings = {}): Redis {
  const redis = new Redis(url, {
    keyPrefix: settings.keyPrefix ?? 'weft:',
    enableAutoPipelining: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    connectTimeout: limits.connectMsMax,
    commandTimeout: limits.redisCommandMsMax,
    // A frozen server closes nothing; without this its connection would never be replaced.
    socketTimeout: limits.keepAliveMs,
    keepAlive: limits.keepAliveMs,
    retryStrategy: (times) => Math.min(limits.redisBackOffMs * 2 ** Math.min(times, 10), limits.redisBackOffMsMax),
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  });
  let away = false;
  redis.on('error', (error) => {
    if (!away) log.warn({ err: error }, 'Redis is away');
    away = true;
  });
  redis.on('ready', () => {
    if (away) log.info('Redis is back');
    away = false;
  });
  return redis;
}

/** Closes without waiting for answers: nothing in Redis is worth waiting for. */
export function closeRedis(redis: Redis): void {
  redis.disconnect(false);
}
