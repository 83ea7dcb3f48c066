// The live sockets by session: a session that ends closes its socket, and a device that connects anew, at whichever node of
// the cell, replaces its old one.
import type { SessionOpened } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import type { Connection, Greeted } from './edge/greeted.ts';

/** A device with a socket here. */
export interface OnlineDevice {
  readonly user: bigint;
  readonly device: string;
  /** Unix ms by this node's clock. */
  readonly openedAt: number;
}

interface Live extends OnlineDevice {
  readonly socket: Connection;
  /** Of two sockets of one session the one with more is the newer one: unix ms by the device's clock, or the node's. */
  readonly order: number;
}

export class SessionsWatch {
  readonly #node: number;
  readonly #live = new Map<bigint, Live>();
  #count: () => number = () => 0;

  /** Of the node with this number. */
  constructor(node: number) {
    this.#node = node;
  }

  /** How many sockets are open, greeted or not. */
  sockets = (): number => this.#count();

  countWith(count: () => number): void {
    this.#count = count;
  }

  greeted(
    { session, user, device }: Pick<Greeted, 'session' | 'user' | 'device'>,
    socket: Connection,
    at: Pick<Live, 'openedAt' | 'order'>,
  ): void {
    const before = this.#live.get(session);
    this.#live.set(session, { socket, ...at, user, device });
    if (before && before.socket !== socket) before.socket.close('replaced');
  }

  left(session: bigint, socket: Connection): void {
    if (this.#live.get(session)?.socket === socket) this.#live.delete(session);
  }

  /** Devices of these users that are connected to this node. Looks through all of them: for people who ask, not for messages. */
  devicesOf(users: { has(user: bigint): boolean }): OnlineDevice[] {
    return [...this.#live.values()].filter(({ user }) => users.has(user));
  }

  end(sessions: readonly bigint[]): void {
    for (const session of sessions) this.#live.get(session)?.socket.close('sessionEnded');
  }

  /** The newer of two sockets stays; at the same moment that of the higher node, so that never both go. */
  openedElsewhere(sessions: readonly SessionOpened[], node: number): void {
    for (const { session, openedAt } of sessions) {
      const live = this.#live.get(session);
      const newer = Number(openedAt) - (live?.order ?? 0);
      if (live && (newer > 0 || (newer === 0 && node > this.#node))) live.socket.close('replaced');
    }
  }
}
