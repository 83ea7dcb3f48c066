// grpc.health.v1.Health/Check (github.com/grpc/grpc, doc/health-checking.md) over our own readiness. Watch is not offered: callers fall back to Check.
import * as grpc from '@grpc/grpc-js';
import type { Health } from './observability.ts';

interface HealthCheckRequest {
  readonly service: string;
}

interface HealthCheckResponse {
  /** 1 serving, 2 not serving. */
  readonly status: number;
}

const serving = 1;
const notServing = 2;

export interface HealthGrpcService {
  readonly definition: grpc.ServiceDefinition;
  readonly implementation: grpc.UntypedServiceImplementation;
}

/** Answers for the server as a whole ('') and for each of `services`; NOT_FOUND for others. */
export function healthService(health: Health, services: readonly string[]): HealthGrpcService {
  const known = new Set(['', ...services]);
  const check: grpc.handleUnaryCall<HealthCheckRequest, HealthCheckResponse> = (call, callback) => {
    if (!known.has(call.request.service)) callback({ code: grpc.status.NOT_FOUND, details: 'there is no such service here' });
    else callback(null, { status: health.ready ? serving : notServing });
  };
  return { definition: { Check: healthCheck }, implementation: { Check: check } };
}

/**
 * The method, for probes and tests. HealthCheckRequest { string service = 1 } and HealthCheckResponse { enum status = 1 } are encoded by hand:
 * one field each is not worth generated code.
 */
export const healthCheck: grpc.MethodDefinition<HealthCheckRequest, HealthCheckResponse> & { requestStream: false; responseStream: false } =
  {
    path: '/grpc.health.v1.Health/Check',
    requestStream: false,
    responseStream: false,
    requestSerialize: ({ service }) =>
      service === '' ? Buffer.alloc(0) : Buffer.concat([Buffer.from([0x0a, Buffer.byteLength(service)]), Buffer.from(service)]),
    requestDeserialize: (bytes) => ({ service: bytes[0] === 0x0a ? bytes.subarray(2, 2 + (bytes[1] ?? 0)).toString('utf8') : '' }),
    responseSerialize: ({ status }) => Buffer.from([0x08, status]),
    responseDeserialize: (bytes) => ({ status: bytes[1] ?? 0 }),
  };
