// Faults as HTTP answers (RFC 9457): the one translation of this room.
import { type FaultCode, faults, WeftError } from '@weft/proto/faults.ts';

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: FaultCode;
  readonly retry: 'never' | 'later' | 'elsewhere';
  /** Milliseconds; 0: the client's own back-off. */
  readonly after_ms: number;
}

/** `status`: when HTTP has a better one than the catalogue. */
export const problemOf = (fault: WeftError, status: number = faults[fault.code].http): Problem => ({
  type: `urn:weft:fault:${fault.code}`,
  title: faults[fault.code].text,
  status,
  detail: fault.message,
  code: fault.code,
  retry: fault.retry,
  after_ms: Math.ceil(fault.afterMs),
});

/** What a handler or the HTTP server threw; undefined for what should not have happened. */
export function problemFrom(error: unknown): Problem | undefined {
  if (error instanceof WeftError) return problemOf(error);
  // The HTTP server's own refusals: bad JSON, too large, wrong media type.
  const status = (error as { statusCode?: unknown }).statusCode;
  if (typeof status !== 'number' || status < 400 || status > 499) return undefined;
  return problemOf(new WeftError('bad_request', (error as Error).message), status);
}
