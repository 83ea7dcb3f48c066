// A link is cut, and many messages wait for it. When it heals, the people of the receiving cell may not notice, and a
// conversation of two lines may not wait behind one of ten thousand.
import { systemClock } from '@weft/runtime/clock.ts';
import { until } from '../until.ts';
import type { Talk } from './crowd.ts';
import type { Fault, Heal, Scene } from './fault.ts';
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
    const writers = [crowd.named(writing, 'p0'), crowd.named(writing, 'p1')] as const;
    const reader = crowd.named(reading, 'p0');
    const bulk: Talk[] = [];
    for (let n = 0; n < bulkTalks; n++) bulk.push(await crowd.group([writers[n % 2] as Person, reader]));
    const small = await crowd.direct(crowd.named(writing, 'p1'), crowd.named(reading, 'p1'));
    const undisturbedMs = p99Of(scene, crowd.probes.length === 0 ? 0 : performance.now() - limits.baselineMs);
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
      const drainingMs = p99Of(scene, healedMs);
      scene.note(
        `a fresh line shown ${Math.round(freshMs)} ms after the healing; drained in ${Math.round(drainMs)} ms, ${Math.round((messages * 1_000) / drainMs)} a second`,
      );
      scene.note(`p99 inside ${reading}: ${Math.round(undisturbedMs)} ms before, ${Math.round(drainingMs)} ms while it drained`);
      // The directory of what waits is compared as soon as the link is heard, which a beat later may be.
      if (freshMs > Math.max(freshMsMax, drainMs / 2))
        scene.violate('I15', `a fresh line waited ${Math.round(freshMs)} ms behind the backlog`);
      const allowedMs = Math.max(undisturbedMs * limits.latencyFactorMax, undisturbedMs + limits.latencyMoreMsMax);
      if (scene.judgesLatency && drainingMs > allowedMs)
        scene.violate(
          'I12',
          `inside ${reading} p99 was ${Math.round(drainingMs)} ms while the backlog drained, ${Math.round(undisturbedMs)} ms before`,
        );
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

/** p99 of what the reading cell's own people waited since then. */
function p99Of({ crowd }: Scene, sinceMs: number): number {
  const waits = crowd.probes.filter(({ cell, sentMs }) => cell === reading && sentMs >= sinceMs).map(({ sentMs, atMs }) => atMs - sentMs);
  return waits.sort((a, b) => a - b)[Math.min(waits.length - 1, Math.floor(waits.length * 0.99))] ?? Number.NaN;
}

const plain = { id: 'F19', needs: [], suffers: [], holdMs: 0, aims: ['I12', 'I13', 'I14', 'I15'] } as const;

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
