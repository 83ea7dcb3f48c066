// The one translation of faults into HTTP problems (RFC 9457).
import { type FaultCode, faults, WeftError } from '@weft/proto/faults.ts';
import { WrongHome } from '../accounts/homes.ts';

export const problemType = 'application/problem+json';

export interface Problem {
  /** Names the fault; it is not fetched. */
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: FaultCode;
  readonly retry: 'never' | 'later' | 'elsewhere';
  /** Milliseconds; 0: the client's own back-off. */
  readonly after_ms: number;
  /** Of the home, with `wrong_home`. */
  readonly cell?: string;
  readonly url?: string;
}

/** `status`: where HTTP knows it better than the fault does. */
export function problemOf(fault: WeftError, status: number = faults[fault.code].http): Problem {
  return {
    type: `urn:weft:fault:${fault.code}`,
    title: faults[fault.code].text,
    status,
    detail: fault.message,
    code: fault.code,
    retry: fault.retry,
    after_ms: fault.afterMs,
    ...(fault instanceof WrongHome ? { cell: fault.cell, url: fault.url } : {}),
  };
}

/** A WeftError tells itself; what HTTP itself refused is the client's; undefined: a bug of ours. */
export function problemOfError(error: unknown): Problem | undefined {
  if (error instanceof WeftError) return problemOf(error);
  const status = (error as { statusCode?: unknown }).statusCode;
  if (typeof status !== 'number' || status < 400 || status > 499) return undefined;
  const details: Readonly<Record<number, string>> = { 413: 'the body is too large', 415: 'the body must be application/json' };
  return problemOf(new WeftError('bad_request', details[status] ?? 'the request is not well-formed'), status);
}
