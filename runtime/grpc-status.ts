// The one translation between faults and gRPC status. Code and delay travel in the trailing metadata, so that nothing is lost on the way.
import * as grpc from '@grpc/grpc-js';
import { type FaultCode, faults, WeftError } from '@weft/proto/faults.ts';

const codeKey = 'weft-code';
const afterKey = 'weft-after-ms';

/** What a handler threw, as the status its caller gets. What is not a WeftError becomes `internal` without its text. */
export function toStatus(error: unknown): grpc.ServiceError {
  const fault = error instanceof WeftError ? error : new WeftError('internal');
  const metadata = new grpc.Metadata();
  metadata.set(codeKey, fault.code);
  if (fault.afterMs > 0) metadata.set(afterKey, String(Math.ceil(fault.afterMs)));
  const status = statusOf(fault.code);
  return Object.assign(new Error(fault.message), { code: status, details: detailOf(fault), metadata });
}

/** What a call was answered with, as the fault it was. Without one of ours: `directory_away` if nobody answered in time, else `internal`. */
export function fromStatus(error: grpc.ServiceError): WeftError {
  const code = error.metadata?.get(codeKey)[0];
  if (typeof code === 'string' && Object.hasOwn(faults, code)) {
    const afterMs = Number(error.metadata.get(afterKey)[0] ?? 0);
    return new WeftError(code as FaultCode, error.details, Number.isFinite(afterMs) ? afterMs : 0);
  }
  const away = awayStatus.has(error.code);
  const fault = new WeftError(away ? 'directory_away' : 'internal', `${grpc.status[error.code] ?? error.code}`, away ? awayAgainMs : 0);
  fault.cause = error;
  return fault;
}

/** A control plane is started again within seconds. */
const awayAgainMs = 2_000;

const awayStatus: ReadonlySet<number> = new Set([grpc.status.UNAVAILABLE, grpc.status.DEADLINE_EXCEEDED, grpc.status.CANCELLED]);

const byHttp: Readonly<Record<number, grpc.status>> = {
  400: grpc.status.INVALID_ARGUMENT,
  401: grpc.status.UNAUTHENTICATED,
  403: grpc.status.PERMISSION_DENIED,
  404: grpc.status.NOT_FOUND,
  409: grpc.status.FAILED_PRECONDITION,
  413: grpc.status.INVALID_ARGUMENT,
  421: grpc.status.FAILED_PRECONDITION,
  429: grpc.status.RESOURCE_EXHAUSTED,
  500: grpc.status.INTERNAL,
  503: grpc.status.UNAVAILABLE,
};

function statusOf(code: FaultCode): grpc.status {
  if (code === 'handle_taken') return grpc.status.ALREADY_EXISTS;
  return byHttp[faults[code].http] ?? grpc.status.UNKNOWN;
}

// The catalogue's text is added again where the fault is made anew.
function detailOf(fault: WeftError): string {
  const text = faults[fault.code].text;
  return fault.message === text ? '' : fault.message.slice(text.length + 2);
}
