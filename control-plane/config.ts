// What the control plane is told at its start.

import { cellNumberMax } from '@weft/proto/ids.ts';
import { port, processKeys, readConfig, type Secret, secret, secretBytes, secretUrl } from '@weft/runtime/config.ts';
import { parseServiceTokens, type ServiceTokens } from '@weft/runtime/grpc.ts';
import { type TlsIdentity, tlsIdentity, tlsKeys } from '@weft/runtime/mutual-tls.ts';
import { z } from 'zod';
import { limits } from './limits.ts';

export interface PlannedCell {
  readonly name: string;
  readonly number: number;
  readonly region: string;
  /** Placement weight, 0 to 1000. */
  readonly weight: number;
}

export interface ControlPlaneConfig {
  readonly host: string;
  /** gRPC; 0 lets the system choose, as for metricsPort. */
  readonly port: number;
  readonly metricsPort: number;
  readonly logLevel: string;
  readonly drainMsMax: number;
  readonly pgUrl: Secret;
  readonly tokens: ServiceTokens;
  readonly tls?: TlsIdentity | undefined;
  readonly cells: readonly PlannedCell[];
  /** In order of preference; may be empty. */
  readonly hubUrls: readonly string[];
  /** nkey seed at the hubs, SU…. */
  readonly nkeySeed: Secret;
  /** Ed25519 seed, 32 bytes in base64url. */
  readonly signSeed: Secret;
}

const name = z.string().regex(/^[a-z0-9-]{1,32}$/, 'a name is lower-case letters, digits and -');

const plannedCells = z
  .array(
    z.object({
      name,
      number: z.int().min(1).max(cellNumberMax),
      region: name,
      weight: z.int().min(0).max(1_000).default(100),
    }),
  )
  .min(1)
  .max(limits.cellsMax)
  .refine((cells) => new Set(cells.map((cell) => cell.name)).size === cells.length, 'a name is there twice')
  .refine((cells) => new Set(cells.map((cell) => cell.number)).size === cells.length, 'a number is there twice');

const schema = z.object({
  ...processKeys,
  ...tlsKeys,
  WEFT_PORT: port(),
  WEFT_METRICS_PORT: port(),
  WEFT_PG_URL: secretUrl('postgres', 'postgresql'),
  WEFT_SERVICE_TOKENS: z.string().transform((text, context) => {
    try {
      return parseServiceTokens(text);
    } catch (error) {
      context.addIssue((error as Error).message);
      return z.NEVER;
    }
  }),
  WEFT_CELL_PLAN: z
    .string()
    .transform((text, context): unknown => {
      try {
        return JSON.parse(text);
      } catch {
        context.addIssue('must be JSON: [{name, number, region, weight}]');
        return z.NEVER;
      }
    })
    .pipe(plannedCells),
  WEFT_HUB_URLS: z
    .string()
    .default('')
    .transform((text) =>
      text
        .split(',')
        .map((url) => url.trim())
        .filter((url) => url !== ''),
    )
    .refine((urls) => urls.every((url) => URL.canParse(url)), 'must be urls, separated by commas'),
  WEFT_DIRECTORY_NKEY: secret(),
  WEFT_DIRECTORY_SIGN_KEY: secretBytes(32),
});

/** Throws ConfigError with every problem. */
export function readControlPlaneConfig(env: Record<string, string | undefined>): ControlPlaneConfig {
  const read = readConfig(schema, env);
  return {
    host: read.WEFT_HOST,
    port: read.WEFT_PORT,
    metricsPort: read.WEFT_METRICS_PORT,
    logLevel: read.WEFT_LOG_LEVEL,
    drainMsMax: read.WEFT_DRAIN_MS_MAX,
    pgUrl: read.WEFT_PG_URL,
    tokens: read.WEFT_SERVICE_TOKENS,
    tls: tlsIdentity(read),
    cells: read.WEFT_CELL_PLAN,
    hubUrls: read.WEFT_HUB_URLS,
    nkeySeed: read.WEFT_DIRECTORY_NKEY,
    signSeed: read.WEFT_DIRECTORY_SIGN_KEY,
  };
}
