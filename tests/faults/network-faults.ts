// Links that are cut, half cut, slow, flapping or silently dead.
import { systemClock } from '@weft/runtime/clock.ts';
import type { Fault, Heal, Scene } from './fault.ts';

const hit = 'us-1';

/** The hub of a cell's region. */
const hubOf = (cell: string): string => `hub-${cell.slice(0, cell.indexOf('-'))}`;

async function cut({ stage: { network } }: Scene): Promise<Heal> {
  network.drop(hit, hubOf(hit));
  return () => network.pass(hit, hubOf(hit));
}

/** What the cell sends arrives; no answer comes back. */
async function cutAnswers({ stage: { network } }: Scene): Promise<Heal> {
  network.dropOneWay(hubOf(hit), hit);
  return () => network.pass(hit);
}

async function cutRegions({ stage: { network } }: Scene): Promise<Heal> {
  network.drop('hub-eu', 'hub-us');
  return () => network.pass('hub-eu', 'hub-us');
}

/** The nodes are reached by their people and reach no database. */
async function cutDatabase({ stage, note }: Scene): Promise<Heal> {
  const cell = stage.fabric.plan.cells.find(({ name }) => name === hit);
  stage.network.dropPort(hit, cell?.postgresPort ?? 0);
  const sinceMs = performance.now();
  const gone = systemClock.sleep(0).then(async () => {
    for (; performance.now() - sinceMs < 20_000; await systemClock.sleep(100)) {
      const ready = await fetch(`http://${cell?.host}:${cell?.nodes[0]?.metricsPort}/ready`).catch(() => undefined);
      if (ready?.status === 503) return note(`not ready after ${Math.round(performance.now() - sinceMs)} ms`);
    }
    note('stayed ready');
  });
  return async () => {
    await gone;
    stage.network.pass(hit);
  };
}

async function slowLink({ stage: { network }, seed }: Scene): Promise<Heal> {
  const pump = await network.slow(hit, hubOf(hit), { delayMs: 300, jitterMs: 50, loss: 0.01, duplicate: 0.01, seed });
  return () => pump[Symbol.asyncDispose]();
}

/** One second up, two seconds down, with our hands on the switch. */
async function flap({ stage: { network }, signal }: Scene): Promise<Heal> {
  let flapping = true;
  const over = (async () => {
    while (flapping && !signal.aborted) {
      network.drop(hit, hubOf(hit));
      await systemClock.sleep(2_000);
      network.pass(hit, hubOf(hit));
      await systemClock.sleep(1_000);
    }
  })();
  return async () => {
    flapping = false;
    await over;
  };
}

const silentAddress = 201;
const slowAddress = 202;

/** A device whose connection is dead without a word; its cell and the device find out by the heartbeat. */
async function halfOpen({ stage: { network }, crowd, note }: Scene): Promise<Heal> {
  const address = network.addClientAddress(silentAddress);
  const person = await crowd.person('half-open', hit, address);
  await crowd.direct(person, crowd.named('eu-1', 'p0'));
  const cuts = person.counts.cuts;
  network.dropAddress(hit, address);
  return () => {
    note(person.counts.cuts > cuts ? 'the device noticed before it healed' : 'the device had not noticed when it healed');
    network.pass(hit);
  };
}

/** A device behind a thin line in a busy group: bounded buffers in its node, and everything in the end. */
async function thinLine({ stage: { network }, crowd }: Scene): Promise<Heal> {
  const address = network.addClientAddress(slowAddress);
  const person = await crowd.person('thin-line', hit, address);
  network.limitAddress(hit, address, 16);
  const busy = await crowd.group([crowd.named(hit, 'p0'), crowd.named(hit, 'p1'), person]);
  const [speaker] = busy.members;
  const text = 'a long line '.repeat(300);
  for (let n = 0; n < 100; n++) speaker?.insist(speaker.weft.conversation(busy.conversation), `${n} ${text}`);
  return () => network.pass(hit);
}

const placed = { needs: ['namespaces', 'packet-filter'], suffers: [], aims: ['I12', 'I13', 'I15'] } as const;

export const networkFaults: readonly Fault[] = [
  { ...placed, id: 'F16', variant: 'cut', text: 'a cell and its hub are cut from each other', holdMs: 10_000, inject: cut },
  {
    ...placed,
    id: 'F17',
    variant: 'one-way',
    text: 'what a cell sends arrives, nothing comes back',
    holdMs: 10_000,
    inject: cutAnswers,
  },
  {
    ...placed,
    id: 'F18',
    variant: 'database',
    text: 'the nodes of a cell do not reach their database, people reach the nodes',
    suffers: [hit],
    holdMs: 12_000,
    inject: cutDatabase,
  },
  { ...placed, id: 'F19', variant: 'regions', text: 'two regions are cut from each other', holdMs: 20_000, inject: cutRegions },
  {
    ...placed,
    id: 'F20',
    variant: 'slow',
    text: 'a link of 300 ms ± 50 with 1 % loss and 1 % duplicates, reordered',
    needs: ['namespaces', 'pump'],
    holdMs: 15_000,
    inject: slowLink,
  },
  {
    ...placed,
    id: 'F21',
    variant: 'thin-line',
    text: 'a device behind 128 kbit/s in a group that says 350 KB',
    holdMs: 10_000,
    inject: thinLine,
  },
  { ...placed, id: 'F22', variant: 'flap', text: 'a link that is up for 1 s and down for 2 s', holdMs: 30_000, inject: flap },
  {
    ...placed,
    id: 'F23',
    variant: 'half-open',
    text: 'a connection that is dead without a word',
    holdMs: 30_000,
    inject: halfOpen,
  },
];
