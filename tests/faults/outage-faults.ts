// What a cell may lose and go on: control plane, routers, Valkey, hubs, other cells; one by one and all at once.

import type { Fault, Heal, Scene } from './fault.ts';
import { assertServes } from './serves.ts';

const own = 'us-1';

/** Stops processes for the time of the fault; meanwhile the cell takes a new connection and a message, in time. */
const without =
  (what: (scene: Scene) => readonly string[], then?: (scene: Scene) => Promise<unknown>) =>
  async (scene: Scene): Promise<Heal> => {
    const names = what(scene);
    await scene.stage.stopAll(names);
    await then?.(scene);
    await assertServes(scene, own);
    return () => scene.stage.startAll(names);
  };

const othersOf = ({ stage }: Scene, cell: string): string[] =>
  stage.cells.filter((one) => one !== cell).flatMap((one) => stage.processesOf(one));
const global = ['control-plane', 'postgres-directory'];
const routers = ['router-eu', 'router-us'];
const hubs = ['hub-eu', 'hub-us'];

/** A node that starts while the control plane is away serves from what it knew last. */
async function restartNode({ stage, note }: Scene): Promise<void> {
  const startMs = performance.now();
  await stage.fabric.stop(`node-${own}-b`);
  await stage.fabric.start(`node-${own}-b`);
  note(`a node started without the directory in ${Math.round(performance.now() - startMs)} ms`);
}

async function flush({ stage }: Scene): Promise<Heal> {
  await stage.fabric.kill(`valkey-${own}`);
  return () => stage.fabric.kill(`valkey-${own}`);
}

const plain = { needs: [], suffers: [], aims: ['I12', 'I13', 'I15'] } as const;
const others = ['eu-1', 'eu-2'];

export const outageFaults: readonly Fault[] = [
  { ...plain, id: 'F26', variant: 'valkey-killed', text: 'a Valkey is killed, twice, and comes back empty', inject: flush },
  { ...plain, id: 'F26', variant: 'valkey-away', text: 'a Valkey is away', inject: without(() => [`valkey-${own}`]) },
  {
    ...plain,
    id: 'F27',
    variant: 'control-plane',
    text: 'the control plane is away, and a node starts meanwhile',
    suffers: [own],
    inject: without(() => global, restartNode),
  },
  { ...plain, id: 'F28', variant: 'routers', text: 'all routers are away', inject: without(() => routers) },
  { ...plain, id: 'S1', variant: 'hubs', text: 'all hubs are away', inject: without(() => hubs) },
  { ...plain, id: 'S1', variant: 'own-broker', text: 'the cell’s own nats-server is away', inject: without(() => [`nats-${own}`]) },
  {
    ...plain,
    id: 'S1',
    variant: 'global',
    text: 'control plane, routers and Valkey are away',
    inject: without(() => [...global, ...routers, `valkey-${own}`]),
  },
  {
    ...plain,
    id: 'S1',
    variant: 'bus',
    text: 'hubs and the cell’s own nats-server are away',
    inject: without(() => [...hubs, `nats-${own}`]),
  },
  {
    ...plain,
    id: 'S1',
    variant: 'cells',
    text: 'every other cell is down',
    suffers: others,
    inject: without((scene) => othersOf(scene, own)),
  },
  {
    ...plain,
    id: 'S1',
    variant: 'everything',
    text: 'control plane, routers, hubs, Valkey and every other cell are down',
    suffers: others,
    short: true,
    holdMs: 6_000,
    inject: without((scene) => [...global, ...routers, ...hubs, `valkey-${own}`, ...othersOf(scene, own)]),
  },
];
