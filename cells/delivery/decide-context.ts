// What a decision knows of the cell and of the world around it, beside the facts.
import type { Chain } from '@weft/proto/chain.ts';
import type { Pair } from './log-state.ts';

export interface DecideContext {
  /** Number and generation of this cell. */
  readonly cell: number;
  readonly generation: number;
  readonly nowMs: number;
  /** Home cell number of a user: birth cell, its heir, or where the directory says. */
  homeOf(user: bigint): number;
  /** Owner-to-be of a direct conversation: the birth cell of its lower user, or that cell's heir. */
  birthplace(pair: Pair): number;
  /** What the directory signed for this log last: who took it over, in which epoch. */
  takeover(log: bigint): { readonly epoch: bigint; readonly owner: number } | undefined;
  /** The life that the store of that cell is in, as the directory knows it; 0 where it does not. */
  generationOf(cell: number): number;
  /** False while a restored store may lack logs which that cell knows (R25). */
  isBack(cell: number): boolean;
  /** It lacks nothing that any cell knows. */
  isWhole(): boolean;
  readonly chain: Chain;
  /** Whether more may wait here for that cell's decision, and more notices be kept for it (R28). */
  hasIntakeRoom(dst: number): boolean;
  hasOutboxRoom(dst: number): boolean;
  /** A new outbox id. */
  freshId(): bigint;
  readonly limits: { readonly openIntakePerUserMax: number; readonly frameEntriesMax: number; readonly frameBytesMax: number };
}
