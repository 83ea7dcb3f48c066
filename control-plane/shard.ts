// Which of the directory's logs a change is numbered in. Replicas read it from the change and need no rule.
import { directoryShards } from '@weft/proto/subjects.ts';

// Time and counter both: ids of one burst must spread too.
export const shardOfUser = (id: bigint): number => Number(((id >> 22n) ^ id) % BigInt(directoryShards));

export const shardOfCell = (number: number): number => number % directoryShards;
