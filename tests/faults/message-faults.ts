// Messages said twice, out of order, or that are none; sockets that misbehave; people who shout.
import { randomBytes } from 'node:crypto';
import { connect as connectTcp } from 'node:net';
import { connect } from '@nats-io/transport-node';
import { streams, subjects } from '@weft/proto/subjects.ts';
import { systemClock } from '@weft/runtime/clock.ts';
import { WebSocket } from 'ws';
import type { Fault, Heal, Scene } from './fault.ts';

const hit = 'us-1';

/** A connection with the cell's own credentials to its own server, where what comes from other cells passes. */
async function listener({ stage }: Scene) {
  const plan = stage.fabric.plan.cells.find(({ name }) => name === hit);
  return connect({
    servers: `${plan?.host}:${plan?.nats.client}`,
    user: 'fabric',
    pass: stage.fabric.natsCredentials.cell(hit).fabric,
    inboxPrefix: subjects.inbox(hit, hit),
    // What it says again is not to be heard again.
    noEcho: true,
  });
}

const replayedMax = 2_000;

/** Every frame that comes is put into the stream twice more, half a second late and the last first, under no id the broker could know it by. */
async function replayed(scene: Scene): Promise<Heal> {
  const nc = await listener(scene);
  const frames: { readonly subject: string; readonly data: Uint8Array }[] = [];
  for (const { name } of scene.stage.fabric.plan.cells.filter(({ name }) => name !== hit)) {
    nc.subscribe(subjects.framesFrom(hit, name), {
      callback: (_error, { subject, data }) => {
        if (frames.length < replayedMax) frames.push({ subject, data });
      },
    });
  }
  await nc.flush();
  let again = 0;
  const repeating = setInterval(() => {
    for (const { subject, data } of frames.splice(0).reverse()) for (let n = 0; n < 2; n++, again++) nc.publish(subject, data);
  }, 500);
  return async () => {
    clearInterval(repeating);
    await nc.flush();
    await nc.close();
    scene.note(`${again} frames said again`);
  };
}

/** What nobody sealed, in every partition. */
async function poison(scene: Scene): Promise<Heal> {
  const nc = await listener(scene);
  const before = await scene.stage.metric(`node-${hit}-a`, 'cells_rejected_total');
  for (let n = 0; n < 1_000; n++)
    for (let p = 0; p < streams.partitions; p++) nc.publish(subjects.frame(hit, 'e', 'eu-1', p), randomBytes(200));
  await nc.flush();
  return async () => {
    await nc.close();
    const after = await scene.stage.metric(`node-${hit}-a`, 'cells_rejected_total');
    scene.note(`${after - before} frames counted as rejected by one node`);
  };
}

/** Sockets that send too much, nothing, single bytes or garbage. */
async function hostileSockets({ stage, note }: Scene): Promise<Heal> {
  const url = stage.fabric.url(`node-${hit}-a`);
  const { hostname, port } = new URL(url);
  const codes = new Map<number, number>();
  const open = (then: (socket: WebSocket) => void): WebSocket => {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/socket`, 'weft.v1.proto', { perMessageDeflate: false });
    socket.on('error', () => undefined);
    socket.on('open', () => then(socket));
    socket.on('close', (code) => codes.set(code, (codes.get(code) ?? 0) + 1));
    return socket;
  };
  const each = 40;
  const sockets = Array.from({ length: each }, () => [
    open((socket) => socket.send(randomBytes(1_000_000))),
    open((socket) => Array.from({ length: 50 }, () => socket.send(randomBytes(100)))),
    open((socket) => Array.from({ length: 500 }, () => socket.send(randomBytes(1)))),
    open((socket) => Array.from({ length: 500 }, (_, n) => socket.send(randomBytes(100), { fin: n === 499 }))),
    open((socket) => socket.send('text where bytes belong')),
  ]).flat();
  const lorises = Array.from({ length: each }, () => {
    const socket = connectTcp(Number(port), hostname);
    socket.on('error', () => undefined);
    return socket;
  });
  const dripping = setInterval(() => {
    for (const socket of lorises) if (socket.writable) socket.write('G');
  }, 500);
  return () => {
    clearInterval(dripping);
    for (const socket of sockets) socket.terminate();
    for (const socket of lorises) socket.destroy();
    note(`closed with ${[...codes].map(([code, times]) => `${code} × ${times}`).join(', ')}`);
  };
}

/** Everybody of a cell is cut at the same moment, three times. */
async function everybodyCut({ crowd, stage, note }: Scene): Promise<undefined> {
  const people = crowd.of(hit);
  for (let round = 0; round < 3; round++) {
    const startMs = performance.now();
    const before = people.map(({ counts }) => counts.connects);
    const areBack = (): boolean => people.every(({ isLive, counts }, at) => isLive && counts.connects > (before[at] ?? 0));
    for (const person of people) person.cut();
    while (!areBack() && performance.now() - startMs < 20_000) await systemClock.sleep(20);
    note(`back after ${Math.round(performance.now() - startMs)} ms`);
  }
  await stage.fabric.settle();
}

/** One person writes as fast as the outbox takes it. */
async function shouter({ crowd, note }: Scene): Promise<Heal> {
  const person = await crowd.person('shouter', hit);
  const talk = await crowd.group([person, ...crowd.people.filter((one) => one !== person)]);
  const conversation = person.weft.conversation(talk.conversation);
  let said = 0;
  const shouting = setInterval(() => {
    for (let n = 0; n < 40; n++) if (person.say(conversation, `${n} shouted`) !== undefined) said += 1;
  }, 20);
  return () => {
    clearInterval(shouting);
    note(`${said} appends of one person to everybody`);
  };
}

const plain = { needs: [], suffers: [], aims: ['I12', 'I14', 'I15'] } as const;

export const messageFaults: readonly Fault[] = [
  {
    ...plain,
    id: 'F30',
    variant: 'replayed',
    text: 'frames between cells are said three times and out of order',
    short: true,
    inject: replayed,
  },
  { ...plain, id: 'F33', variant: 'poison', text: '4,000 frames that do not open', inject: poison },
  {
    ...plain,
    id: 'F34',
    variant: 'sockets',
    text: '200 sockets send too much, single bytes, fragments, garbage; 40 drip',
    suffers: [hit],
    inject: hostileSockets,
  },
  {
    ...plain,
    id: 'F35',
    variant: 'storm',
    text: 'everybody of a cell is cut at once, three times',
    suffers: [hit],
    short: true,
    inject: everybodyCut,
  },
  { ...plain, id: 'F36', variant: 'shouter', text: 'one person writes as fast as possible to everybody', suffers: [hit], inject: shouter },
];
