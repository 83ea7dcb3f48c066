// What a node remembers of sessions that ended lately: enough to refuse their access tokens for as long as these live.
import { accountLimits as limits } from './account-limits.ts';

export class EndedSessions {
  /** When each was noticed, oldest first. */
  readonly #noticed = new Map<bigint, number>();

  has(session: bigint): boolean {
    return this.#noticed.has(session);
  }

  /** Those of `sessions` that were not known as ended. */
  note(sessions: readonly bigint[], nowMs: number): bigint[] {
    this.#forget(nowMs);
    const fresh = [...new Set(sessions)].filter((session) => !this.#noticed.has(session));
    for (const session of fresh) this.#noticed.set(session, nowMs);
    return fresh;
  }

  /** Their access tokens are over by then; beyond the bound the database still knows. */
  #forget(nowMs: number): void {
    for (const [session, noticedMs] of this.#noticed) {
      const over = nowMs - noticedMs > limits.accessMsMax + limits.sessionPollBackMs;
      if (!over && this.#noticed.size <= limits.endedKept) return;
      this.#noticed.delete(session);
    }
  }
}
