// Access tokens that hide nothing: who, and until when. The REST door of a simulated cell, as far as a client needs it.
import type { Access } from '@weft/cells/edge/greeter.ts';
import { WeftError } from '@weft/proto/faults.ts';

export const makeToken = ({ user, session, device, endsMs }: Access): string => `${user} ${session} ${device} ${endsMs}`;

/** Throws WeftError token_invalid, token_expired. */
export function readToken(token: string, nowMs: number): Access {
  const [user, session, device, ends] = token.split(' ');
  if (!user || !session || !device || !ends) throw new WeftError('token_invalid');
  if (Number(ends) <= nowMs) throw new WeftError('token_expired');
  return { user: BigInt(user), session: BigInt(session), device, endsMs: Number(ends) };
}
