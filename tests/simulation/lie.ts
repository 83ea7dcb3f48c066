// A cell says what it may not say: in another's name, about a log it does not own, for an owner it is not.
import { kinds } from '@weft/cells/delivery/entry.ts';
import { ownedUpTo } from '@weft/cells/delivery/epochs.ts';
import { ownerOf } from '@weft/cells/delivery/log-state.ts';
import type { IntakeRow } from '@weft/cells/delivery/ports.ts';
import { encodeRuns, runsOf } from '@weft/cells/wire/frames.ts';
import { Envelope, EnvelopesFrame, IntakeFrame } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { makeId } from '@weft/proto/ids.ts';
import type { Breakable } from './breakable.ts';
import type { Fault } from './fault.ts';
import { sharedLogs } from './judge.ts';
import type { SimulatedNode } from './simulated-node.ts';

type Say = (dst: number, cls: 'e' | 'i' | 'v', bytes: Uint8Array) => void;

export function lie(world: Breakable, fault: Fault): void {
  const logs = sharedLogs(world.cells).filter(({ copies }) => copies.length > 0);
  const log = logs[Math.floor(fault.strength * logs.length)];
  if (!log) return;
  const owner = ownerOf(log.owner.state);
  const liar = 1 + ((owner + fault.other) % world.cells.length);
  const node = world.nodes.get(`${liar}.${fault.node}`);
  if (!node?.alive || liar === owner) return;
  world.trace.add(`lie of ${liar} about ${log.owner.row.log}`);
  const say = sayAs(world, node);
  lieAboutIntake(world, { log, liar, owner }, say);
  lieAboutEntries(log, liar, say);
}

function sayAs({ time }: Breakable, node: SimulatedNode): Say {
  const id = makeId(1_767_225_600_000 + 5_000_000_000 + Math.floor(time.nowMs), node.options.cell.number, 31, 0);
  let said = 0;
  return (dst, cls, bytes) => {
    said += 1;
    node.link.publish({ dst, class: cls, lane: 0, id: id + BigInt(said), attempt: 1, bytes }).catch(() => undefined);
  };
}

type Shared = ReturnType<typeof sharedLogs>[number];

function lieAboutIntake(world: Breakable, of: { log: Shared; liar: number; owner: number }, say: Say): void {
  const { row, state } = of.log.owner;
  const honest = [...state.members].find(([, { home }]) => home !== of.liar);
  if (!honest) return;
  const [author, { home }] = honest;
  const stream = state.kind === 'direct' ? { log: 0n, low: state.low, high: state.high } : { log: row.log, low: 0n, high: 0n };
  const forged = { ...stream, n: 1_000n, lowestOpen: 1_000n, author, clientEntryId: 1_000_000n, kind: kinds.text, peerHome: 0, epoch: 0n };
  say(of.owner, 'i', IntakeFrame.encode({ intakes: [{ ...forged, body: Buffer.from('lie') }] }).finish());
  const waiting = [...(world.cells[home - 1]?.intake.values() ?? [])].find((each) => each.dst !== of.liar);
  if (!waiting) return;
  world.forgeries.refused(waiting, of.liar);
  say(home, 'v', refusalOf(waiting));
}

function lieAboutEntries({ copies, owner }: Shared, liar: number, say: Say): void {
  // Of what it gave itself, at a cell that lacks it still, it is the owner: who lies there forks the log, and it is frozen (R16).
  if (ownedUpTo(owner.state.epochs, liar) !== undefined) return;
  for (const { cell, stored } of copies) {
    if (cell.number === liar || !stored) continue;
    const place = { ...stored.row, seq: stored.row.head + 1, ord: stored.row.ord + 1 };
    const entry = { ...place, author: owner.state.creator, clientEntryId: 7n, kind: kinds.text, flags: 0, body: Buffer.from('lie') };
    say(cell.number, 'e', encodeRuns(runsOf([entry])));
  }
}

function refusalOf(waiting: IntakeRow): Uint8Array {
  const isPair = waiting.stream.b !== 0n;
  const value = {
    log: waiting.log,
    low: isPair ? waiting.stream.a : 0n,
    high: isPair ? waiting.stream.b : 0n,
    n: BigInt(waiting.n),
    author: waiting.author,
    clientEntryId: waiting.clientEntryId,
    code: 'not_allowed',
    text: 'a lie',
  };
  return EnvelopesFrame.encode({ envelopes: [Envelope.fromPartial({ notice: { $case: 'refused', value } })] }).finish();
}
