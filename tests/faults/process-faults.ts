// Processes killed, frozen and starved.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { systemClock } from '@weft/runtime/clock.ts';
import { WebSocket } from 'ws';
import { until } from '../until.ts';
import type { Fault, Heal, Scene } from './fault.ts';

/** The cell that is hit; it has two nodes. */
const hit = 'us-1';
const died = (what: string): boolean => what === 'died' || what === 'failing';

/** Killed at once; the supervisor starts them again. */
const killed =
  (...names: readonly string[]) =>
  async ({ stage }: Scene): Promise<undefined> => {
    await Promise.all(names.map((name) => stage.fabric.kill(name)));
  };

const frozen =
  (...names: readonly string[]) =>
  async ({ stage }: Scene): Promise<Heal> => {
    for (const name of names) stage.fabric.freeze(name);
    return () => {
      for (const name of names) stage.fabric.thaw(name);
    };
  };

/** Ends a node at a failpoint, in full traffic. */
const endedAt =
  (cell: string, node: string, failpoint: string) =>
  async ({ stage, crowd, note }: Scene): Promise<undefined> => {
    const { fabric } = stage;
    const name = `node-${cell}-${node}`;
    let deaths = 0;
    using _counting = fabric.listen((event) => {
      // Disarmed for its next start, however soon it dies.
      if (event.name === name && died(event.what) && ++deaths === 2) fabric.configure(name, {});
    });
    fabric.configure(name, { WEFT_FAILPOINTS: failpoint });
    await fabric.kill(name);
    await fabric.settle();
    // Its people are at another node by now; what is cut goes on to the next.
    const lure = setInterval(() => {
      for (const { weft, cut } of crowd.of(cell)) if (weft.state.name === 'live' && weft.state.node !== node) cut();
    }, lureEveryMs);
    try {
      await until(`${name} dies at ${failpoint}`, () => deaths >= 2, 30_000);
    } finally {
      clearInterval(lure);
      fabric.configure(name, {});
    }
    note(`${name} died at ${failpoint}`);
  };

const lureEveryMs = 1_500;

async function relayKilled({ stage, note }: Scene): Promise<undefined> {
  const [lease] = await stage.sql('eu-1', "select holder from leases where name = 'resend'");
  const node = `node-eu-1-${String(lease?.holder).split('-')[0]}`;
  note(`${node} held the duty`);
  await stage.fabric.kill(node);
}

/** Fewer descriptors than the sockets that come: those that do not fit are turned away, those that are in stay. */
async function descriptorsExhausted({ stage, note }: Scene): Promise<Heal> {
  const node = `node-${hit}-a`;
  const pid = String(stage.fabric.pid(node));
  const spare = 24;
  const open = readdirSync(`/proc/${pid}/fd`).length;
  const ordinary = /Max open files +(\d+|unlimited)/.exec(readFileSync(`/proc/${pid}/limits`, 'utf8'))?.[1];
  execFileSync('prlimit', ['--pid', pid, `--nofile=${open + spare}:`]);
  const url = `${stage.fabric.url(node).replace('http', 'ws')}/v1/socket`;
  const sockets = Array.from({ length: 4 * spare }, () => new WebSocket(url, 'weft.v1.proto', { handshakeTimeout: 5_000 }));
  for (const socket of sockets) socket.on('error', () => undefined);
  note(`${4 * spare} sockets for ${spare} descriptors`);
  return () => {
    for (const socket of sockets) socket.terminate();
    execFileSync('prlimit', ['--pid', pid, `--nofile=${ordinary}:`]);
  };
}

async function manyFrozenInTurn({ stage }: Scene): Promise<undefined> {
  for (const node of stage.nodes(hit)) {
    stage.fabric.freeze(node);
    await systemClock.sleep(5_000);
    stage.fabric.thaw(node);
  }
}

const plain = { needs: [], suffers: [hit], aims: ['I12', 'I15'] } as const;

export const processFaults: readonly Fault[] = [
  { ...plain, id: 'F1', variant: 'node', text: 'a node is killed', inject: killed(`node-${hit}-a`) },
  { ...plain, id: 'F1', variant: 'nodes', text: 'all nodes of a cell are killed', inject: killed(`node-${hit}-a`, `node-${hit}-b`) },
  {
    ...plain,
    id: 'F2',
    variant: 'untold',
    text: 'a node dies between commit and telling',
    inject: endedAt(hit, 'b', 'after-commit-before-tell:10'),
  },
  {
    ...plain,
    id: 'F3',
    variant: 'relay',
    text: 'the node that sends again for its cell is killed',
    suffers: ['eu-1'],
    inject: relayKilled,
  },
  {
    ...plain,
    id: 'F3',
    variant: 'published',
    text: 'a node dies after the broker has its frames, before they are acknowledged',
    suffers: ['eu-1'],
    inject: endedAt('eu-1', 'a', 'after-publish-before-acknowledgement:10'),
  },
  {
    ...plain,
    id: 'F4',
    variant: 'router',
    text: 'both routers are killed (they forward nothing)',
    suffers: [],
    inject: killed('router-eu', 'router-us'),
  },
  { ...plain, id: 'F5', variant: 'nats', text: 'the nats-server of a cell is killed', inject: killed(`nats-${hit}`) },
  { ...plain, id: 'F5', variant: 'hub', text: 'a hub is killed', suffers: [], inject: killed('hub-eu') },
  {
    ...plain,
    id: 'F6',
    variant: 'postgres',
    text: 'a PostgreSQL is killed and recovers',
    suffers: ['eu-1'],
    inject: killed('postgres-eu-1'),
  },
  {
    ...plain,
    id: 'F7',
    variant: 'node',
    text: 'a node is frozen for 5 s and wakes with stale leases',
    holdMs: 5_000,
    inject: frozen(`node-${hit}-a`),
  },
  {
    ...plain,
    id: 'F7',
    variant: 'nodes-in-turn',
    text: 'each node of a cell is frozen for 5 s in turn',
    holdMs: 0,
    inject: manyFrozenInTurn,
  },
  { ...plain, id: 'F7', variant: 'postgres', text: 'a PostgreSQL is frozen for 5 s', holdMs: 5_000, inject: frozen(`postgres-${hit}`) },
  { ...plain, id: 'F7', variant: 'nats', text: 'a nats-server is frozen for 10 s', holdMs: 10_000, inject: frozen(`nats-${hit}`) },
  { ...plain, id: 'F7', variant: 'hub', text: 'a hub is frozen for 30 s', suffers: [], holdMs: 30_000, inject: frozen('hub-us') },
  {
    ...plain,
    id: 'F8',
    variant: 'cell',
    text: 'a whole cell is frozen for 8 s and thaws (its users stay its own: homes do not move yet)',
    holdMs: 8_000,
    inject: frozen(`node-${hit}-a`, `node-${hit}-b`, `nats-${hit}`, `valkey-${hit}`, `postgres-${hit}`),
  },
  {
    ...plain,
    id: 'F32',
    variant: 'cell',
    text: 'one of three cells in a conversation is down',
    short: true,
    holdMs: 8_000,
    inject: async ({ stage }) => {
      const names = stage.processesOf(hit);
      await stage.stopAll(names);
      return () => stage.startAll(names);
    },
  },
  {
    ...plain,
    id: 'F42',
    variant: 'stall',
    text: 'the event loops of all nodes of a cell stand still for 5 s',
    holdMs: 5_000,
    inject: frozen(`node-${hit}-a`, `node-${hit}-b`),
  },
  { ...plain, id: 'F42', variant: 'descriptors', text: 'a node has no file descriptors left', inject: descriptorsExhausted },
];
