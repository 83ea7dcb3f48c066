// The live sockets by session: a session that ends closes its socket, and a device that connects anew replaces its old one.
import type { Connection } from './edge/greeted.ts';

export class SessionsWatch {
  readonly #sockets = new Map<bigint, Connection>();
  #count: () => number = () => 0;

  /** How many sockets are open, greeted or not. */
  sockets = (): number => this.#count();

  countWith(count: () => number): void {
    this.#count = count;
  }

  greeted(session: bigint, socket: Connection): void {
    const before = this.#sockets.get(session);
    this.#sockets.set(session, socket);
    if (before && before !== socket) before.close('replaced');
  }

  left(session: bigint, socket: Connection): void {
    if (this.#sockets.get(session) === socket) this.#sockets.delete(session);
  }

  end(sessions: readonly bigint[]): void {
    for (const session of sessions) this.#sockets.get(session)?.close('sessionEnded');
  }
}
