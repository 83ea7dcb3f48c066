// One translation for everything that may come back as a fault: the socket's Fault, a REST problem, no answer at all.

import { type FaultCode, faults, type RetryAdvice, WeftError } from '@weft/proto/faults.ts';
import type { Fault } from '@weft/proto/gen/weft/client/v1/client.ts';

const byAdvice: Record<RetryAdvice, FaultCode> = { never: 'bad_request', later: 'internal', elsewhere: 'stale_epoch' };

/** A code this version does not know becomes one that asks for the same conduct. */
export function toFault(fault: {
  readonly code: string;
  readonly retry: RetryAdvice;
  readonly text: string;
  readonly afterMs: number;
}): WeftError {
  const known = fault.code in faults;
  const code = known ? (fault.code as FaultCode) : byAdvice[fault.retry];
  const detail = known ? fault.text.replace(faults[code].text, '').replace(/^: /, '') : `${fault.code} ${fault.text}`;
  return new WeftError(code, detail, fault.afterMs);
}

export function retryOf(fault: Fault): RetryAdvice {
  if (fault.retry === 'RETRY_NEVER') return 'never';
  return fault.retry === 'RETRY_ELSEWHERE' ? 'elsewhere' : 'later';
}

export const faultFromWire = (fault: Fault): WeftError =>
  toFault({ code: fault.code, retry: retryOf(fault), text: fault.text, afterMs: fault.afterMs });

/** RFC 9457 problem of the REST doors. */
export interface Problem {
  readonly code: string;
  readonly detail: string;
  readonly retry: RetryAdvice;
  readonly afterMs: number;
  /** Where to go instead, after `wrong_home`. */
  readonly url: string | undefined;
}

export function problemFrom(status: number, body: unknown): Problem {
  const fields = typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {};
  const text = (key: string): string => (typeof fields[key] === 'string' ? fields[key] : '');
  const retry = text('retry');
  return {
    code: text('code') || (status >= 500 || status === 429 ? 'internal' : 'bad_request'),
    detail: text('detail') || text('title') || (text('code') === '' ? `HTTP ${status}` : ''),
    retry: retry === 'never' || retry === 'elsewhere' || retry === 'later' ? retry : status >= 500 || status === 429 ? 'later' : 'never',
    afterMs: typeof fields.after_ms === 'number' ? fields.after_ms : 0,
    url: text('url') || undefined,
  };
}
