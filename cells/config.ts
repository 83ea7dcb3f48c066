// What a cell's node must be told, from the environment.
import { cellNumberMax } from '@weft/proto/ids.ts';
import { limits } from '@weft/proto/limits.ts';
import {
  address,
  ConfigError,
  flag,
  port,
  processKeys,
  publicBytes,
  readConfig,
  type Secret,
  secret,
  secretBytes,
  secretUrl,
  wholeNumber,
} from '@weft/runtime/config.ts';
import { parseServiceTokens, type ServiceTokens } from '@weft/runtime/grpc.ts';
import { type TlsIdentity, tlsIdentity, tlsKeys } from '@weft/runtime/mutual-tls.ts';
import { z } from 'zod';
import { cellLimits } from './limits.ts';

const name = z.string().regex(/^[a-z][a-z0-9-]{0,30}$/, 'must be lower-case letters, digits and -');

const peppers = secret().transform((value, context) => {
  const found = new Map<number, Uint8Array>();
  for (const part of value.reveal().split(',')) {
    const [id, key] = part.split(':');
    const bytes = Buffer.from(key ?? '', 'base64url');
    if (!/^\d{1,9}$/.test(id ?? '') || bytes.length < 16)
      context.addIssue({ code: 'custom', message: 'must be id:base64url of at least 16 bytes, comma separated' });
    found.set(Number(id), bytes);
  }
  return found;
});

function operatorTokens(text: string, context: z.RefinementCtx): ServiceTokens {
  try {
    return text === '' ? new Map() : parseServiceTokens(text);
  } catch (error) {
    context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : String(error) });
    return z.NEVER;
  }
}

const schema = z.object({
  ...processKeys,
  ...tlsKeys,
  WEFT_CELL: name,
  WEFT_CELL_NUMBER: wholeNumber(1, cellNumberMax),
  WEFT_REGION: name,
  WEFT_NODE: name,
  WEFT_PORT: port(),
  WEFT_METRICS_PORT: port(),
  WEFT_PUBLIC_URL: z.url({ protocol: /^https?$/ }),
  WEFT_PG_URL: secretUrl('postgres', 'postgresql'),
  WEFT_REDIS_URL: secretUrl('redis', 'rediss'),
  WEFT_NATS_URL: z.string().min(1),
  WEFT_NATS_FABRIC_PASSWORD: secret(),
  WEFT_NATS_CELL_PASSWORD: secret(),
  WEFT_DIRECTORY_ADDR: address(),
  WEFT_DIRECTORY_KEY: publicBytes(32),
  WEFT_SERVICE_TOKEN: secret(),
  /** Digests of the operators' tokens (`http/operator.ts`), `name:sha256hex,…`; nobody by default. */
  WEFT_OPERATOR_TOKENS: z.string().default('').transform(operatorTokens),
  WEFT_KEY_SECRET: secretBytes(32),
  WEFT_PEPPERS: peppers,
  WEFT_DATA_DIR: z.string().min(1),
  WEFT_APPENDS_PER_SECOND: wholeNumber(1, 1_000_000).default(limits.appendsPerSecond),
  WEFT_HEARTBEAT_MS: wholeNumber(1_000, 60_000).default(limits.heartbeatMs),
  WEFT_SOCKETS_PER_ADDRESS: wholeNumber(1, 1_000_000).default(limits.socketsPerAddressMax),
  WEFT_INBOUND_BYTES_MAX: wholeNumber(1_048_576, 1_000_000_000_000).default(2_147_483_648),
  /** What may wait for one other cell: bytes of intake, frames of the outbox, and how often the latter are counted. */
  WEFT_INTAKE_BYTES_MAX: wholeNumber(1_024, 1_000_000_000_000).default(cellLimits.intakeBytesMax),
  WEFT_OUTBOX_ROWS_MAX: wholeNumber(1, 1_000_000_000).default(cellLimits.outboxRowsMax),
  WEFT_OUTBOX_COUNT_MS: wholeNumber(100, 3_600_000).default(cellLimits.outboxCountEveryMs),
  WEFT_LOGS_PER_USER: wholeNumber(1, 1_000_000).default(limits.logsPerUserMax),
  /** Origins of pages that may call, comma separated; none by default. */
  WEFT_ORIGINS: z.string().default(''),
  WEFT_FAILPOINTS: z.string().default(''),
  WEFT_PRODUCTION: flag().default(false),
});

export interface CellConfig {
  readonly host: string;
  readonly logLevel: z.infer<typeof processKeys.WEFT_LOG_LEVEL>;
  readonly drainMsMax: number;
  readonly cell: { readonly name: string; readonly number: number; readonly region: string };
  readonly node: string;
  readonly port: number;
  readonly metricsPort: number;
  readonly publicUrl: string;
  readonly pgUrl: Secret;
  readonly redisUrl: Secret;
  readonly nats: { readonly url: string; readonly fabricPassword: Secret; readonly cellPassword: Secret };
  readonly directory: {
    readonly address: string;
    readonly key: Uint8Array;
    readonly token: Secret;
    readonly tls: TlsIdentity | undefined;
  };
  readonly operatorTokens: ServiceTokens;
  readonly keySecret: Secret;
  readonly peppers: ReadonlyMap<number, Uint8Array>;
  readonly dataDir: string;
  readonly appendsPerSecond: number;
  readonly heartbeatMs: number;
  readonly socketsPerAddressMax: number;
  readonly inboundBytesMax: number;
  readonly waiting: { readonly intakeBytesMax: number; readonly outboxRowsMax: number; readonly outboxCountMs: number };
  readonly logsPerUserMax: number;
  readonly origins: readonly string[];
  readonly failpoints: readonly string[];
}

/** Throws ConfigError with every problem at once. */
export function readCellConfig(env: Record<string, string | undefined>): CellConfig {
  const read = readConfig(schema, env);
  if (read.WEFT_PRODUCTION && read.WEFT_FAILPOINTS !== '') throw new ConfigError(['WEFT_FAILPOINTS: is refused where WEFT_PRODUCTION=1']);
  return {
    host: read.WEFT_HOST,
    logLevel: read.WEFT_LOG_LEVEL,
    drainMsMax: read.WEFT_DRAIN_MS_MAX,
    cell: { name: read.WEFT_CELL, number: read.WEFT_CELL_NUMBER, region: read.WEFT_REGION },
    node: read.WEFT_NODE,
    port: read.WEFT_PORT,
    metricsPort: read.WEFT_METRICS_PORT,
    publicUrl: read.WEFT_PUBLIC_URL,
    pgUrl: read.WEFT_PG_URL,
    redisUrl: read.WEFT_REDIS_URL,
    nats: { url: read.WEFT_NATS_URL, fabricPassword: read.WEFT_NATS_FABRIC_PASSWORD, cellPassword: read.WEFT_NATS_CELL_PASSWORD },
    directory: { address: read.WEFT_DIRECTORY_ADDR, key: read.WEFT_DIRECTORY_KEY, token: read.WEFT_SERVICE_TOKEN, tls: tlsIdentity(read) },
    operatorTokens: read.WEFT_OPERATOR_TOKENS,
    keySecret: read.WEFT_KEY_SECRET,
    peppers: read.WEFT_PEPPERS,
    dataDir: read.WEFT_DATA_DIR,
    appendsPerSecond: read.WEFT_APPENDS_PER_SECOND,
    heartbeatMs: read.WEFT_HEARTBEAT_MS,
    socketsPerAddressMax: read.WEFT_SOCKETS_PER_ADDRESS,
    inboundBytesMax: read.WEFT_INBOUND_BYTES_MAX,
    waiting: {
      intakeBytesMax: read.WEFT_INTAKE_BYTES_MAX,
      outboxRowsMax: read.WEFT_OUTBOX_ROWS_MAX,
      outboxCountMs: read.WEFT_OUTBOX_COUNT_MS,
    },
    logsPerUserMax: read.WEFT_LOGS_PER_USER,
    origins: read.WEFT_ORIGINS.split(',').filter(Boolean),
    failpoints: read.WEFT_FAILPOINTS.split(',').filter(Boolean),
  };
}
