// A fake cell, a clock a test moves, and people with the SDK in it.
import type { Entry } from './entry.ts';
import { FakeCell } from './fake-cell.ts';
import { ManualClock } from './manual-clock.ts';
import type { Ports } from './ports.ts';
import { Weft } from './weft.ts';

interface World {
  readonly clock: ManualClock;
  readonly cell: FakeCell;
  join(handle: string, more?: Partial<Ports>): Promise<Weft>;
}

export const router = 'http://router';

export function world(): World {
  const clock = new ManualClock();
  const cell = new FakeCell(clock);
  const ports = { clock, http: cell.http, socket: cell.socket, random: { next: () => 0.5 } };
  const join = async (handle: string, more: Partial<Ports> = {}): Promise<Weft> => {
    const weft = await Weft.signUp({ router, handle, password: 'correct horse', device: handle, ports: { ...ports, ...more } });
    await clock.advance(10);
    if (weft.state.name !== 'live') throw new Error(`${handle} is ${weft.state.name}`);
    return weft;
  };
  return { clock, cell, join };
}

/** Lets an operation of the SDK run while time goes on. */
export async function during<T>(clock: ManualClock, work: Promise<T>): Promise<T> {
  let over = false;
  const ended = (): void => {
    over = true;
  };
  work.then(ended, ended);
  for (let i = 0; i < 1_000 && !over; i++) await clock.advance(10);
  return work;
}

export const textsOf = (entries: readonly Entry[]): string[] => entries.filter(({ kind }) => kind === 'text').map(({ text }) => text);

/** Ana and bo, both live, and everything each of them is shown. */
export async function pair() {
  const { clock, cell, join } = world();
  const ana = await join('ana');
  const bo = await join('bo');
  const shown: Record<'ana' | 'bo', Entry[]> = { ana: [], bo: [] };
  ana.on('entry', (entry) => shown.ana.push(entry));
  bo.on('entry', (entry) => shown.bo.push(entry));
  const toBo = await during(clock, ana.openDirect('bo'));
  await clock.advance(500);
  const close = async (): Promise<void> => {
    await ana.close();
    await bo.close();
  };
  return { clock, cell, ana, bo, shown, toBo, log: toBo.log ?? 0n, close };
}
