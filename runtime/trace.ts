// Which request a log line belongs to: the trace id that came with it (W3C Trace Context, section 3.2.2), else a new one.
import { randomUUID } from 'node:crypto';

const traceparent = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/;
const none = '0'.repeat(32);

/** 32 lower-case hex digits. A new one is a UUID (RFC 9562, version 4): Node asks the system for the bytes of 128 of them at once. */
export function traceOf(header: string | string[] | undefined): string {
  const found = typeof header === 'string' ? traceparent.exec(header)?.[1] : undefined;
  return found !== undefined && found !== none ? found : randomUUID().replaceAll('-', '');
}
