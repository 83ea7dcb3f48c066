// A link is cut, and many messages wait for it. When it heals, the people of the receiving cell may not notice, and a
// conversation of two lines may not wait behind one of ten thousand.
import { systemClock } from '@weft/runtime/clock.ts';
import { until } from '../until.ts';
import type { Talk } from './crowd.ts';
import type { Fault, Heal, Scene } from './fault.ts';
import { type Answer, describeLatency, latencyOf, type Times } from './isolation.ts';
import { limits } from './limits.ts';
import type { Person } from './people.ts';

const writing = 'eu-1';
const reading = 'us-1';
const hubs = ['hub-eu', 'hub-us'];
/** Conversations with the backlog; the first has half of it. */
const bulkTalks = 10;
/** Undecided appends of one writer: enough to keep its cell busy, few enough to leave it to its other people. */
const undecidedMax = 48;
/** Milliseconds in which a new line is shown while the backlog drains. */
const freshMsMax = 5_000;
const drainMsMax = 300_000;

const cutWith =
  (messages: number, holdMs: number) =>
  async (scene: Scene): Promise<Heal> => {
    const { stage, crowd } = scene;
    // People of their own: what others have pending behind the cut is not to hold them up.
    const writers = [await crowd.person('writer0', writing), await crowd.person('writer1', writing)] as const;
    const reader = crowd.named(reading, 'p0');
    const bulk: Talk[] = [];
    for (let n = 0; n < bulkTalks; n++) bulk.push(await crowd.group([writers[n % 2] as Person, reader]));
    const small = await crowd.direct(crowd.named(writing, 'p1'), crowd.named(reading, 'p1'));
    const talkMs = performance.now() - limits.baselineMs;
    await stage.stopAll(hubs);
    const cutMs = performance.now();
    await write(bulk, messages, scene);
    scene.note(`${messages} messages written in ${Math.round((performance.now() - cutMs) / 1_000)} s of the cut`);
    for (const endsMs = cutMs + holdMs; performance.now() < endsMs && !scene.signal.aborted; ) await systemClock.sleep(limits.pollMs);
    return async () => {
      await stage.startAll(hubs);
      const healedMs = performance.now();
      const fresh = small.members[0]?.insist(small.members[0].weft.conversation(small.conversation), 'a fresh line');
      const isShown = (): boolean => fresh?.at !== undefined && (small.members[1]?.head(small.conversation) ?? 0) >= fresh.at.seq;
      await until('the fresh line is shown', isShown, drainMsMax);
      const freshMs = performance.now() - healedMs;
      const isWhole = (): boolean =>
        bulk.every(({ conversation, members }) => reader.head(conversation) === members[0]?.head(conversation));
      await until('the backlog is drained', isWhole, drainMsMax);
      const drainMs = performance.now() - healedMs;
      scene.note(
        `a fresh line shown ${Math.round(freshMs)} ms after the healing; drained in ${Math.round(drainMs)} ms, ${Math.round((messages * 1_000) / drainMs)} a second`,
      );
      // The directory of what waits is compared as soon as the link is heard, which a beat later may be.
      if (freshMs > Math.max(freshMsMax, drainMs / 2))
        scene.violate('I15', `a fresh line waited ${Math.round(freshMs)} ms behind the backlog`);
      judgeReaders(scene, { talkMs, faultMs: healedMs, recoveredMs: performance.now(), endMs: Number.NaN }, cutMs);
    };
  };

async function write(bulk: readonly Talk[], messages: number, { signal }: Scene): Promise<void> {
  for (let n = 0; n < messages && !signal.aborted; ) {
    const before = n;
    for (const [at, { conversation, members }] of bulk.entries()) {
      const [writer] = members as [Person];
      // Every second message goes to the first conversation.
      const turns = at === 0 ? bulkTalks - 1 : 1;
      for (let turn = 0; turn < turns && n < messages && writer.waiting.size < undecidedMax; turn++, n++)
        writer.insist(writer.weft.conversation(conversation), `${n} of a backlog`);
    }
    if (n === before) await systemClock.sleep(1);
    else await new Promise<void>((resolve) => void setImmediate(resolve));
  }
}

/** The reading cell's own people, while the backlog drains, against the time before the link was cut. */
function judgeReaders({ crowd, control, note, violate }: Scene, times: Times, cutMs: number): void {
  // What was asked between the cut and the healing belongs to neither side.
  const counts = ({ sentMs }: Answer): boolean => sentMs < cutMs - limits.guardMs || sentMs >= times.faultMs;
  const own = crowd.probes.filter((probe) => probe.cell === reading && counts(probe));
  const latency = latencyOf(own, control?.answersSince(times.talkMs).filter(counts) ?? [], times);
  note(`inside ${reading} while it drained: ${describeLatency(latency)}`);
  if (latency.unjudged === '' && latency.late > latency.lateMax)
    violate('I12', `inside ${reading} while it drained: ${describeLatency(latency)}`, reading);
}

/** Two of the writing cell's people write as fast as it takes: its others may notice that. */
const plain = { id: 'F19', needs: [], suffers: [writing], holdMs: 0, aims: ['I12', 'I13', 'I14', 'I15'] } as const;

export const backlogFaults: readonly Fault[] = [
  { ...plain, variant: 'backlog', text: 'a link is cut for 20 s, and 10,000 messages wait', inject: cutWith(10_000, 20_000) },
  {
    ...plain,
    variant: 'long-backlog',
    text: 'a link is cut for 10 minutes, and 100,000 messages wait',
    long: true,
    inject: cutWith(100_000, 600_000),
  },
];
