// A connection once it has said Hello, as the services behind the door see it.
import type { CloseReason } from '@weft/proto/close-codes.ts';
import type { OnlineUser, Receiver } from '../push/hub.ts';

export interface Connection extends Receiver {
  close(reason: CloseReason): void;
}

/** Who the connection belongs to. */
export interface Greeted {
  readonly user: bigint;
  readonly session: bigint;
  readonly device: string;
  online: OnlineUser;
  /** Unix ms; moves on when the client renews its token. */
  tokenEndsMs: number;
}
