// What a router is told at its start.
import { address, port, processKeys, publicBytes, readConfig, type Secret, secret, wholeNumber } from '@weft/runtime/config.ts';
import { type TlsIdentity, tlsIdentity, tlsKeys } from '@weft/runtime/mutual-tls.ts';
import { z } from 'zod';
import { limits } from './limits.ts';

export interface RouterConfig {
  readonly host: string;
  readonly region: string;
  /** Public HTTP; 0 lets the system choose, as for metricsPort. */
  readonly port: number;
  readonly metricsPort: number;
  readonly logLevel: string;
  readonly drainMsMax: number;
  /** host:port of the control plane. */
  readonly directoryAddress: string;
  readonly serviceToken: Secret;
  readonly tls?: TlsIdentity | undefined;
  /** 32 raw bytes. */
  readonly directoryKey: Uint8Array;
  /** Folder of its own. */
  readonly dataDir: string;
  /** Per client address. */
  readonly requestsPerSecond: number;
  /** Origins of pages that may call. */
  readonly origins: readonly string[];
}

const schema = z.object({
  ...processKeys,
  ...tlsKeys,
  WEFT_REGION: z.string().regex(/^[a-z0-9-]{1,32}$/, 'a name is lower-case letters, digits and -'),
  WEFT_PORT: port(),
  WEFT_METRICS_PORT: port(),
  WEFT_DIRECTORY_ADDR: address(),
  WEFT_SERVICE_TOKEN: secret(),
  WEFT_DIRECTORY_KEY: publicBytes(32),
  WEFT_DATA_DIR: z.string().min(1),
  WEFT_REQUESTS_PER_SECOND: wholeNumber(1, 1_000_000).default(limits.requestsPerSecond),
  WEFT_ORIGINS: z.string().default(''),
});

/** Throws ConfigError with every problem. */
export function readRouterConfig(env: Record<string, string | undefined>): RouterConfig {
  const read = readConfig(schema, env);
  return {
    host: read.WEFT_HOST,
    region: read.WEFT_REGION,
    port: read.WEFT_PORT,
    metricsPort: read.WEFT_METRICS_PORT,
    logLevel: read.WEFT_LOG_LEVEL,
    drainMsMax: read.WEFT_DRAIN_MS_MAX,
    directoryAddress: read.WEFT_DIRECTORY_ADDR,
    serviceToken: read.WEFT_SERVICE_TOKEN,
    tls: tlsIdentity(read),
    directoryKey: read.WEFT_DIRECTORY_KEY,
    dataDir: read.WEFT_DATA_DIR,
    requestsPerSecond: read.WEFT_REQUESTS_PER_SECOND,
    origins: read.WEFT_ORIGINS.split(',').filter(Boolean),
  };
}
