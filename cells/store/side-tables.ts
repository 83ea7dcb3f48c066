// What a node keeps in SQL beside its write transactions: marks, the bound of the outbox, frames nobody understood.
import type { SignedHead } from '@weft/proto/gen/weft/client/v1/client.ts';
import type { MarkToTell } from '../delivery/marks.ts';
import type { Regained } from '../delivery/ownership.ts';
import { parkFrame } from './cell-tables.ts';
import type { Query } from './entries-table.ts';
import { freezeForked, type HeadHash, readHeadHashes } from './logs-table.ts';
import { type Mark, mergeMarks, readWaitingMarks, setMarks, toldMarks } from './marks-table.ts';
import { countOutbox, dropOldestFrames } from './outbox-table.ts';
import { readRegained, writeRegained } from './regained-table.ts';
import { forgetWitnessedHeads, readWitnessedHeads, upsertWitnessedHeads } from './witnessed-heads-table.ts';

export interface SideTables {
  /** Merges by maximum; resolves to the marks as they are now. */
  mergeMarks(marks: readonly Mark[]): Promise<Mark[]>;
  /** The same, at most one mark of each log and user, and from then on each waits for its cells. */
  setMarks(marks: readonly MarkToTell[]): Promise<Mark[]>;
  /** Marks that wait for this cell, in the order of log and user, but for those of users who are not in the log now. */
  readWaitingMarks(dst: number, limit: number): Promise<Mark[]>;
  /** A waiting mark goes when what was acknowledged equals it. */
  toldMarks(dst: number, marks: readonly Mark[]): Promise<unknown>;
  /** Frames that wait, by destination. */
  countOutbox(): Promise<Map<number, number>>;
  /** Drops the oldest frames of entries; resolves to how many. */
  dropOldestFrames(dst: number, rows: number): Promise<number>;
  /** Keeps a frame for people to look at (R27). */
  parkFrame(frame: { src: number; id: bigint; cls: string; bytes: Uint8Array }, why: string, nowMs: number): Promise<unknown>;
  /** Heads of these logs as they are kept here. */
  readHeadHashes(logs: readonly bigint[]): Promise<HeadHash[]>;
  /** Freezes the log if its head is at that place and has another hash; resolves to whether it was. */
  freezeForked(head: SignedHead): Promise<boolean>;
  /** The newest kept of each log, by log. */
  readWitnessedHeads(logs: readonly bigint[]): Promise<Map<bigint, SignedHead>>;
  upsertWitnessedHeads(heads: readonly SignedHead[]): Promise<unknown>;
  forgetWitnessedHeads(signedBeforeMs: number): Promise<unknown>;
  /** Which cells have given back what a restore lost, in this generation. */
  regained(generation: number): Regained;
}

export const sideTables = (query: Query): SideTables => ({
  mergeMarks: (marks) => mergeMarks(query, marks),
  setMarks: (marks) => setMarks(query, marks),
  readWaitingMarks: (dst, limit) => readWaitingMarks(query, dst, limit),
  toldMarks: (dst, marks) => toldMarks(query, dst, marks),
  countOutbox: () => countOutbox(query),
  dropOldestFrames: (dst, rows) => dropOldestFrames(query, dst, rows),
  parkFrame: (frame, why, nowMs) => parkFrame(query, frame, why, nowMs),
  readHeadHashes: (logs) => readHeadHashes(query, logs),
  freezeForked: (head) => freezeForked(query, head),
  readWitnessedHeads: (logs) => readWitnessedHeads(query, logs),
  upsertWitnessedHeads: (heads) => upsertWitnessedHeads(query, heads),
  forgetWitnessedHeads: (signedBeforeMs) => forgetWitnessedHeads(query, signedBeforeMs),
  regained: (generation) => ({
    read: () => readRegained(query, generation),
    regained: async (cell) => void (await writeRegained(query, { cell, generation, isLost: false })),
  }),
});
