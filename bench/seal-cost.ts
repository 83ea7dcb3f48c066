// What sealing and opening cost a message: frames of entries of bodyBytes as they go between two cells, in this process.

import { EntriesFrame } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { systemClock } from '@weft/runtime/clock.ts';
import { type OwnSealKey, type PeerSealKey, Sealer } from '@weft/runtime/seal.ts';
import { makeSealKey } from '@weft/runtime/seal-keys.ts';
import { benchLimits } from './limits.ts';

export interface SealCost {
  readonly entriesPerFrame: number;
  readonly frameBytes: number;
  /** Microseconds of one core a message: sealed once and opened once. */
  readonly usPerMessage: number;
  readonly usPerFrame: number;
}

function sealers(): { readonly from: Sealer; readonly to: Sealer } {
  const make = (): { own: OwnSealKey; peer: PeerSealKey } => {
    const { privateKey, publicKey } = makeSealKey();
    return { own: { version: 1, privateKey, sealsFromMs: 0 }, peer: { version: 1, publicKey, generation: 1, ends: 0 } };
  };
  const [a, b] = [make(), make()];
  const sealer = (cell: string, own: OwnSealKey, peer: PeerSealKey): Sealer =>
    new Sealer({ cell, ownKeys: () => [own], peerKeys: () => [peer], generation: () => 1, clock: systemClock });
  return { from: sealer('eu-1', a.own, b.peer), to: sealer('eu-2', b.own, a.peer) };
}

function plainFrame(entries: number): Uint8Array {
  const one = (seq: number) => ({
    log: 2n ** 60n,
    epoch: 2n ** 33n,
    seq: BigInt(seq),
    ts: 1_800_000_000_000n,
    author: 2n ** 61n,
    clientEntryId: 2n ** 62n + BigInt(seq),
    ord: BigInt(seq),
    flags: 0,
    body: { $case: 'text' as const, value: 'x'.repeat(benchLimits.bodyBytes) },
  });
  return EntriesFrame.encode({ runs: [{ log: 2n ** 60n, entries: Array.from({ length: entries }, (_, at) => one(at + 1)) }] }).finish();
}

/** Seals and opens frames of so many entries for `ms` milliseconds after a warm-up. */
export function sealCost(entriesPerFrame: number, ms: number): SealCost {
  const { from, to } = sealers();
  const plain = plainFrame(entriesPerFrame);
  const round = (id: number): void => {
    const sealed = from.seal({ kind: 'frame', dst: 'eu-2' }, { id: BigInt(id), attempt: 1, cls: 'e', p: 0, what: '' }, plain);
    const opened = to.openAt({ kind: 'frame', src: 'eu-1', cls: 'e', p: 0 }, sealed);
    if (!opened.ok) throw new Error(`a sealed frame does not open: ${opened.why}`);
  };
  for (let id = 1; id <= 500; id++) round(id);
  const before = process.cpuUsage();
  const until = performance.now() + ms;
  let frames = 0;
  while (performance.now() < until) {
    for (let n = 0; n < 50; n++) round(1_000 + frames + n);
    frames += 50;
  }
  const { user, system } = process.cpuUsage(before);
  const usPerFrame = (user + system) / frames;
  return {
    entriesPerFrame,
    frameBytes: plain.length,
    usPerFrame: Math.round(usPerFrame * 10) / 10,
    usPerMessage: Math.round((usPerFrame / entriesPerFrame) * 100) / 100,
  };
}
