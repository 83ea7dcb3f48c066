// Configuration is read once, from the environment, and every problem is told at once by the key's name.
import { z } from 'zod';

/** Every problem of the configuration, one a line, without the values. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`the configuration is not usable:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
    this.problems = problems;
  }
}

/** A value that never reaches a log, a metric or an error by accident. */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return '[secret]';
  }

  toJSON(): string {
    return '[secret]';
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return '[secret]';
  }
}

/**
 * Reads the keys of `schema` from `env`. An empty variable counts as not set, so that defaults apply; other variables are ignored.
 * Throws {@link ConfigError} listing every bad key.
 */
export function readConfig<T extends z.ZodObject>(schema: T, env: Record<string, string | undefined>): z.infer<T> {
  const given: Record<string, string> = {};
  for (const key of Object.keys(schema.shape)) {
    const value = env[key];
    if (value !== undefined && value !== '') given[key] = value;
  }
  const read = schema.safeParse(given);
  if (read.success) return read.data;
  throw new ConfigError(
    read.error.issues.map((issue) => {
      const key = String(issue.path[0] ?? 'the whole');
      return key in given || issue.path.length === 0 ? `${key}: ${issue.message}` : `${key}: is missing`;
    }),
  );
}

/** A value that is wrapped as {@link Secret}. */
export const secret = () => z.string().transform((value) => new Secret(value));

/** A secret of exactly `bytes` bytes in base64url. */
export const secretBytes = (bytes: number) =>
  z
    .string()
    .refine((value) => isBase64Url(value) && Buffer.from(value, 'base64url').length === bytes, `must be ${bytes} bytes in base64url`)
    .transform((value) => new Secret(value));

/** A public value of exactly `bytes` bytes in base64url, as bytes. */
export const publicBytes = (bytes: number) =>
  z
    .string()
    .refine((value) => isBase64Url(value) && Buffer.from(value, 'base64url').length === bytes, `must be ${bytes} bytes in base64url`)
    .transform((value) => Buffer.from(value, 'base64url'));

/** A whole number written in decimal, min ≤ n ≤ max. */
export const wholeNumber = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d{1,15}$/, 'must be a whole number')
    .transform(Number)
    .refine((value) => value >= min && value <= max, `must be ${min} to ${max}`);

/** A TCP port; 0 lets the system choose. */
export const port = () => wholeNumber(0, 65_535);

/** `1` or `0`. */
export const flag = () => z.enum(['0', '1']).transform((value) => value === '1');

/** `host:port`. */
export const address = () => z.string().regex(/^[^\s:/]+:\d{1,5}$/, 'must be host:port');

/** A URL with one of the given schemes; secret, because it may carry a password. */
export const secretUrl = (...schemes: readonly string[]) =>
  z
    .string()
    .refine(
      (value) => URL.canParse(value) && schemes.includes(new URL(value).protocol.slice(0, -1)),
      `must be a URL (${schemes.join(', ')})`,
    )
    .transform((value) => new Secret(value));

/** The keys every process has; spread into its schema. */
export const processKeys = {
  WEFT_HOST: z.string().default('127.0.0.1'),
  WEFT_LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal']).default('info'),
  WEFT_DRAIN_MS_MAX: wholeNumber(0, 600_000).default(5_000),
};

const isBase64Url = (value: string): boolean => /^[A-Za-z0-9_-]+$/.test(value);
