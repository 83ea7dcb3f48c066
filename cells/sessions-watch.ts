// The live sockets by session: a session that ends closes its socket, and a device that connects anew replaces its old one.
import type { Connection, Greeted } from './edge/greeted.ts';

/** A device with a socket here. */
export interface OnlineDevice {
  readonly user: bigint;
  readonly device: string;
  /** Unix ms at which it was greeted. */
  readonly sinceMs: number;
}

export class SessionsWatch {
  readonly #sockets = new Map<bigint, { readonly socket: Connection; readonly online: OnlineDevice }>();
  #count: () => number = () => 0;

  /** How many sockets are open, greeted or not. */
  sockets = (): number => this.#count();

  countWith(count: () => number): void {
    this.#count = count;
  }

  greeted({ session, user, device }: Pick<Greeted, 'session' | 'user' | 'device'>, socket: Connection, nowMs: number): void {
    const before = this.#sockets.get(session)?.socket;
    this.#sockets.set(session, { socket, online: { user, device, sinceMs: nowMs } });
    if (before && before !== socket) before.close('replaced');
  }

  left(session: bigint, socket: Connection): void {
    if (this.#sockets.get(session)?.socket === socket) this.#sockets.delete(session);
  }

  end(sessions: readonly bigint[]): void {
    for (const session of sessions) this.#sockets.get(session)?.socket.close('sessionEnded');
  }

  /** Devices of these users that are connected to this node. Looks through all of them: for people who ask, not for messages. */
  devicesOf(users: { has(user: bigint): boolean }): OnlineDevice[] {
    return [...this.#sockets.values()].map(({ online }) => online).filter(({ user }) => users.has(user));
  }
}
