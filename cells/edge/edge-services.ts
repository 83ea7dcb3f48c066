// What a connection may ask of the node behind it.

import type { ClientFrame, Hello, Redirect } from '@weft/proto/gen/weft/client/v1/client.ts';
import type { Clock } from '@weft/runtime/clock.ts';
import type { Log } from '@weft/runtime/log.ts';
import type { Random } from '@weft/runtime/random.ts';
import type { Counter } from 'prom-client';
import type { AppendOperation, Outcome } from '../delivery/operations.ts';
import type { Receiver } from '../push/hub.ts';
import type { Answer, ServerEvent } from './codec.ts';
import type { Connection, Greeted } from './greeted.ts';

export interface AppendSubmission {
  readonly operation: AppendOperation;
  /** The socket that is told Accepted where others get the push. */
  readonly origin?: Receiver;
  readonly mayRun?: () => boolean;
  readonly settle: (outcome: Outcome) => void;
}

export type ClientRequest = NonNullable<ClientFrame['request']>;

export interface EdgeServices {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: { readonly lags: Pick<Counter, 'inc'>; readonly socketsRefused: Pick<Counter<'status'>, 'inc'> };
  /** Checks the token, joins the hub, reads the heads. Throws WeftError. */
  greet(hello: Hello, socket: Connection): Promise<{ readonly greeted: Greeted; readonly welcome: ServerEvent }>;
  /** Where to go instead, if the error says so. */
  redirectOf(error: unknown): Redirect | undefined;
  left(greeted: Greeted, socket: Connection): void;
  /** 0, or the milliseconds after which the user may append again. */
  takeAppend(user: bigint): number;
  /** Whether this node knows the user by itself. */
  knowsUser(user: bigint): boolean;
  /** Whether there is such a user; asks the directory. Throws directory_away. */
  userExists(user: bigint): Promise<boolean>;
  /** False when the lane is full. */
  append(submission: AppendSubmission): boolean;
  /** Every request but hello and append. Throws WeftError. */
  handle(request: ClientRequest, from: { readonly greeted: Greeted; readonly socket: Connection }): Promise<Answer>;
  /** The resume cursor of this moment. */
  cursor(nowMs: number): Uint8Array;
}
