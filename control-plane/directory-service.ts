// The gRPC service, one file per call. Here: who calls, what a dead database means to the caller, and telling the publisher.
import { WeftError } from '@weft/proto/faults.ts';
import { DirectoryServiceService } from '@weft/proto/gen/weft/directory/v1/directory_service.ts';
import { type GrpcService, grpcService } from '@weft/runtime/grpc.ts';
import { isRetryable } from '@weft/runtime/sql.ts';
import { findUser } from './find-user.ts';
import type { Metrics } from './metrics.ts';
import { type ReadChangesParts, readChanges } from './read-changes.ts';
import { registerCell } from './register-cell.ts';
import { reserve } from './reserve.ts';
import { takeOver } from './take-over.ts';

export interface DirectoryServiceParts extends ReadChangesParts {
  /** Called after each commit that may have changed something. */
  readonly changed: () => void;
  readonly metrics: Metrics;
}

export function directoryService(parts: DirectoryServiceParts): GrpcService {
  return grpcService(DirectoryServiceService, {
    async reserve(request, caller) {
      const answer = await orAway(reserve(parts, request, caller.name));
      parts.metrics.reservations.inc({ result: answer.result?.$case ?? 'taken' });
      parts.changed();
      return answer;
    },
    readChanges: (request) => orAway(readChanges(parts, request)),
    async registerCell(request, caller) {
      const answer = await orAway(registerCell(parts, request, caller.name));
      parts.changed();
      return answer;
    },
    async takeOver(request, caller) {
      const answer = await orAway(takeOver(parts.pool, request, caller.name));
      parts.changed();
      return answer;
    },
    findUser: (request) => orAway(findUser(parts.pool, request)),
  });
}

/** A database that is away, or still busy after all attempts, is the directory being away: the caller may try again. */
async function orAway<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (!isRetryable(error)) throw error;
    const fault = new WeftError('directory_away', 'its database does not answer');
    fault.cause = error;
    throw fault;
  }
}
