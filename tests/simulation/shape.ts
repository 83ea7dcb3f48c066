// How large one simulated fabric is and how its people live. Drawn from the seed, so that runs differ in that too.
import { limits } from '@weft/proto/limits.ts';
import type { Random } from '@weft/runtime/random.ts';

export interface Shape {
  readonly cells: number;
  readonly nodes: number;
  readonly usersPerCell: number;
  /** Devices of one user: 1 to this. */
  readonly devicesMax: number;
  readonly chaosMs: number;
  readonly faultsMax: number;
  /** Mean pause of one device between two acts. */
  readonly actEveryMs: number;
  readonly textMax: number;
  /** Messages that a person writes at once, at most. */
  readonly burstMax: number;
  /** Members of a group that names no limit. */
  readonly groupMembersDefault: number;
  /** Shares of acts. */
  readonly groupShare: number;
  readonly changeShare: number;
  readonly jsonShare: number;
  /** Share of devices, and of cells, of a later version: what they send has fields nobody here knows. */
  readonly laterShare: number;
  readonly deliveredMarks: boolean;
  readonly tokenMs: number;
  readonly heartbeatMs: number;
  /** Between regions, one way. */
  readonly regionMs: number;
  readonly inboundBytesMax: number;
  /** What one byte of a socket's buffer counts for. */
  readonly socketWeight: number;
  /** Limits of the nodes small enough to be met. */
  readonly small: boolean;
}

/** A small world, a few seconds of it: for many seeds. */
export const drawShape = (random: Random): Shape =>
  withRoomForFrames({
    cells: 2 + random.int(3),
    nodes: 1 + random.int(2),
    usersPerCell: 1 + random.int(2),
    devicesMax: 1 + random.int(2),
    chaosMs: 4_000 + random.int(8_000),
    faultsMax: 12,
    actEveryMs: 200 + random.int(1_000),
    textMax: random.next() < 0.1 ? 3_000 : 60,
    burstMax: 1 + random.int(8),
    groupMembersDefault: random.next() < 0.5 ? 3 + random.int(3) : 1_000,
    groupShare: 0.04,
    changeShare: random.next() < 0.3 ? 0.4 : 0.12,
    jsonShare: random.next() < 0.3 ? 0.5 : 0,
    laterShare: random.next() < 0.3 ? 0.5 : 0,
    deliveredMarks: random.next() < 0.7,
    tokenMs: random.next() < 0.3 ? 45_000 : 600_000,
    heartbeatMs: 2_000 + random.int(3) * 2_000,
    regionMs: random.int(40),
    inboundBytesMax: random.next() < 0.1 ? 24_000 : 64 * 1024 * 1024,
    socketWeight: random.next() < 0.3 ? 200 : 1,
    small: random.next() < 0.8,
  });

/** A stream takes the largest frame, as every real one does: with the limits of the nodes, or with small ones. */
const withRoomForFrames = (shape: Shape): Shape =>
  shape.small ? shape : { ...shape, inboundBytesMax: Math.max(shape.inboundBytesMax, 2 * limits.fabricFrameBytesMax) };

/** The fabric by whose speed the simulator is measured: 4 cells of 2 nodes, 40 people, 2 messages a second in all. */
export const benchShape: Shape = {
  cells: 4,
  nodes: 2,
  usersPerCell: 10,
  devicesMax: 1,
  chaosMs: 600_000,
  faultsMax: 120,
  actEveryMs: 17_000,
  textMax: 100,
  burstMax: 1,
  groupMembersDefault: 1_000,
  groupShare: 0.005,
  changeShare: 0.005,
  jsonShare: 0,
  laterShare: 0,
  deliveredMarks: true,
  tokenMs: 600_000,
  heartbeatMs: 10_000,
  regionMs: 20,
  inboundBytesMax: 64 * 1024 * 1024,
  socketWeight: 1,
  small: false,
};
