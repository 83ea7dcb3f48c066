// Static stability, looked at from outside: while the rest of the world is away, people of a cell connect and talk.
import { until } from '../until.ts';
import type { Scene } from './fault.ts';
import { limits } from './limits.ts';

/** Milliseconds in which a message inside the cell is accepted, and a cut device is connected again, whatever is away. */
const answerMsMax = 1_000;
const connectMsMax = 5_000;

/** Cuts a device, waits until it is back, and has it say something to its neighbour. Throws when any of it takes too long. */
export async function assertServes({ crowd, note }: Scene, cell: string): Promise<void> {
  const speaker = crowd.named(cell, 'p0');
  const listener = crowd.named(cell, 'p1');
  const before = speaker.counts.connects;
  const cutMs = performance.now();
  speaker.cut();
  await until('a new connection', () => speaker.counts.connects > before && speaker.isLive, connectMsMax);
  const connectedMs = performance.now() - cutMs;
  // A conversation that is opened while all that is away.
  const talk = await crowd.direct(speaker, listener);
  const saidMs = performance.now();
  const sent = speaker.insist(speaker.weft.conversation(talk.conversation), 'inside the cell');
  await until('an acceptance inside the cell', () => sent.at !== undefined, limits.errorAfterMs);
  await until('it is shown to the neighbour', () => listener.head(talk.conversation) >= (sent.at?.seq ?? 0), limits.errorAfterMs);
  const answeredMs = performance.now() - saidMs;
  note(`new connection in ${Math.round(connectedMs)} ms, message inside the cell in ${Math.round(answeredMs)} ms`);
  if (answeredMs > answerMsMax) throw new Error(`a message inside ${cell} took ${Math.round(answeredMs)} ms`);
}
