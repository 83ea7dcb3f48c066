// Log lines: JSON on standard output, one object a line, without bodies, tokens or addresses of people.
import pino from 'pino';

export type Log = pino.Logger;

export interface LogOptions {
  /** Name of the room. */
  readonly service: string;
  readonly cell?: string;
  readonly node?: string;
  readonly level: string;
}

const secretKeys = ['token', 'access_token', 'refresh_token', 'password', 'authorization', 'body', 'text', 'email', 'secret'];

/** Lines go to standard output, or to `out` (tests). The keys above are replaced down to the third level of what is logged. */
export function createLog(options: LogOptions, out?: pino.DestinationStream): Log {
  const settings: pino.LoggerOptions = {
    level: options.level,
    base: {
      service: options.service,
      ...(options.cell === undefined ? {} : { cell: options.cell }),
      ...(options.node === undefined ? {} : { node: options.node }),
    },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: { paths: secretKeys.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]), censor: '[redacted]' },
    serializers: { err: describeError, error: describeError, cause: describeError },
  };
  // Written at once: pino's default writes later, and the line that says why a process ended came before those that led there.
  return pino(settings, out ?? pino.destination({ dest: 1, sync: true }));
}

/** A log that writes nothing. */
export const silentLog = (): Log => pino({ level: 'silent' });

/** Name, code, message, stack and causes. Other fields are left out: a database's `detail` quotes the row. */
function describeError(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return String(error);
  const code = (error as { code?: unknown }).code;
  return {
    name: error.name,
    ...(code === undefined ? {} : { code: String(code) }),
    message: error.message,
    ...(error.stack === undefined ? {} : { stack: error.stack }),
    ...(error instanceof AggregateError && depth < 3
      ? { errors: error.errors.slice(0, 10).map((each) => describeError(each, depth + 1)) }
      : {}),
    ...(error.cause === undefined || depth >= 3 ? {} : { cause: describeError(error.cause, depth + 1) }),
  };
}
