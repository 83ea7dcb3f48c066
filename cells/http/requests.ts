// What the REST door takes. What a password or a handle may be is decided by the accounts, not here.
import { WeftError } from '@weft/proto/faults.ts';
import { limits } from '@weft/proto/limits.ts';
import { z } from 'zod';

/** Characters that are looked at at all; the rules are tighter. */
const textCharsMax = 1_024;

const text = z
  .string()
  .min(1)
  .max(textCharsMax)
  .refine((value) => value.isWellFormed() && !value.includes('\0'), 'must be Unicode text');
const device = z
  .string()
  .regex(/^[A-Za-z0-9_-]+$/, 'must be of A-Z a-z 0-9 _ -')
  .min(1)
  .max(limits.deviceCharsMax);

export const credentials = z.object({ handle: text, password: text, device });
export const refreshing = z.object({ refresh_token: text });
export const byHandle = z.object({ handle: text });

/** Unknown fields are ignored. Throws WeftError `bad_request` that names the fields, not their values. */
export function read<T extends z.ZodObject>(schema: T, value: unknown): z.infer<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => `${issue.path.join('.') || 'the body'}: ${issue.message}`);
  throw new WeftError('bad_request', problems.join('; '));
}

/** The token of `Authorization: Bearer` (RFC 6750). Throws WeftError `token_invalid`. */
export function bearer(header: string | undefined): string {
  const [, token] = /^Bearer +([A-Za-z0-9._~+/=-]+) *$/i.exec(header ?? '') ?? [];
  if (token === undefined) throw new WeftError('token_invalid', 'no bearer token');
  return token;
}
