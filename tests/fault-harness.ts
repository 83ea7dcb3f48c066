// People who talk while something is broken, and the judgement of what they and their cells have in the end.
//
//   await using scene = await Scene.open(fabric, { label: 'kill', cells: ['eu-1', 'us-1'], peoplePerCell: 3 });
//   const group = await scene.group(scene.people);
//   await scene.during({ perSecond: 500, ms: 6_000 }, () => fabric.kill('node-eu-1-a'));
//   await scene.judge(t);
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { streams, subjects } from '@weft/proto/subjects.ts';
import { systemClock } from '@weft/runtime/clock.ts';
import { openPool } from '@weft/runtime/sql.ts';
import type { TestFabric } from './harness.ts';
import { checkHistory, describeViolations, type Judgement } from './history-checker.ts';
import { dumpByHistory, HistoryRecorder } from './history-recorder.ts';
import type { AppendTarget } from './raw-client.ts';
import { RecordedDevice } from './recorded-device.ts';
import { until } from './until.ts';

type Pool = ReturnType<typeof openPool>;

export interface SceneOptions {
  /** Unique in the fabric: people are called label-cell-n. */
  readonly label: string;
  readonly cells: readonly string[];
  readonly peoplePerCell: number;
}

export interface SceneLog {
  readonly log: bigint;
  readonly members: readonly RecordedDevice[];
}

export interface Traffic {
  /** Appends a second of all people together; fewer when the fabric takes fewer. */
  readonly perSecond: number;
  /** At least. */
  readonly ms: number;
}

/** Appends a person may have unanswered before it waits: what people type while a cell is away. */
const unansweredMax = 48;
const tickMs = 20;

export class Scene implements AsyncDisposable {
  readonly fabric: TestFabric;
  readonly people: RecordedDevice[] = [];
  readonly logs: SceneLog[] = [];
  readonly recorder = new HistoryRecorder();
  readonly #options: SceneOptions;
  readonly #pools = new Map<string, Pool>();
  /** What each person may talk to. */
  readonly #targets = new Map<RecordedDevice, AppendTarget[]>();
  readonly notes: string[] = [];
  #said = 0;

  /** Signs everybody up; resolves when all are connected. */
  static async open(fabric: TestFabric, options: SceneOptions): Promise<Scene> {
    const scene = new Scene(fabric, options);
    for (const cell of options.cells) scene.#pools.set(cell, openPool(fabric.fabric.databaseUrl(cell), 2));
    const names = options.cells.flatMap((cell) =>
      Array.from({ length: options.peoplePerCell }, (_, n) => ({ cell, name: `${options.label}-${cell}-${n}`, node: n })),
    );
    scene.people.push(...(await Promise.all(names.map(({ name, cell, node }) => scene.#person(name, cell, node)))));
    await until('everybody is connected', () => scene.people.every((person) => person.isLive), 20_000);
    return scene;
  }

  private constructor(fabric: TestFabric, options: SceneOptions) {
    this.fabric = fabric;
    this.#options = options;
  }

  /** One more device of a person. */
  async addDevice(person: RecordedDevice, device: string, firstNode = 0): Promise<RecordedDevice> {
    const made = await this.#person(person.options.name.replace(/ .*/, ''), person.options.cell, firstNode, device);
    this.people.push(made);
    await until('the device is connected', () => made.isLive);
    return made;
  }

  of(cell: string): RecordedDevice[] {
    return this.people.filter((person) => person.options.cell === cell);
  }

  /** One person of a cell. */
  one(cell: string, n = 0): RecordedDevice {
    return this.of(cell)[n] as RecordedDevice;
  }

  /** A group of these people, owned by the first one's cell; resolves when all of them have it. */
  async group(members: readonly RecordedDevice[]): Promise<SceneLog> {
    const creator = members[0] as RecordedDevice;
    const others = members.slice(1).map(({ user }) => user);
    const value = { clientEntryId: creator.freshEntryId(), title: 'a group', members: others, membersMax: 0 };
    const { log } = await creator.insist({ $case: 'createGroup', value }, 'opened');
    return this.#joined(log, members);
  }

  /** The direct conversation of two people. */
  async direct(a: RecordedDevice, b: RecordedDevice): Promise<SceneLog> {
    const value = { peer: b.user, clientEntryId: a.freshEntryId() };
    const { log } = await a.insist({ $case: 'openDirect', value }, 'opened');
    return this.#joined(log, [a, b]);
  }

  /** Everybody talks in all their logs for as long as the fault happens, and for the time given; resolves when both are over. */
  async during(traffic: Traffic, fault: () => Promise<unknown>): Promise<void> {
    const startMs = performance.now();
    const startedAt = this.#said;
    let isHappening = true;
    const happens = fault().finally(() => {
      isHappening = false;
    });
    const talks = this.#talk(traffic.perSecond, () => !isHappening && performance.now() >= startMs + traffic.ms);
    for (const ended of await Promise.allSettled([happens, talks])) {
      if (ended.status === 'rejected') throw ended.reason;
    }
    this.notes.push(`${Math.round(((this.#said - startedAt) * 1_000) / (performance.now() - startMs))} appends/s`);
  }

  /** Resolves when every append is decided and every member of every log, in every cell, holds all of it. */
  async converge(deadlineMs = 20_000): Promise<void> {
    const startMs = performance.now();
    let lacks = 'nothing was looked at';
    await until(
      'everything converges',
      async () => {
        lacks = await this.#lacks();
        return lacks === '';
      },
      deadlineMs,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}; ${lacks}`);
    });
    this.notes.push(`converged in ${Math.round(performance.now() - startMs)} ms`);
  }

  /** Waits for convergence, reads every cell's copies and lets the checker judge. */
  async judge(t: TestContext, limits: { readonly deadlineMs?: number; readonly repairMsMax?: number } = {}): Promise<Judgement> {
    await this.converge(limits.deadlineMs);
    for (const person of this.people) person.recorder.settled = true;
    const dumps = [];
    for (const { log, members } of this.logs) {
      for (const cell of new Set(members.map(({ options }) => options.cell))) {
        const reader = members.find(({ options }) => options.cell === cell) as RecordedDevice;
        const owner = await this.#owns(cell, log);
        dumps.push(await dumpByHistory((request) => reader.readHistory(request), { cell, log, owner }));
      }
    }
    const judgement = checkHistory(this.recorder.history(dumps, limits.repairMsMax));
    const { sent, accepted, pending, shown } = judgement.counts;
    t.diagnostic([...this.notes, `${sent} sent, ${accepted} accepted, ${pending} pending, ${shown} shown`].join('; '));
    assert.equal(describeViolations(judgement.violations), '');
    return judgement;
  }

  /** Rows of one statement in a cell's database. */
  async sql(cell: string, text: string, values: readonly unknown[] = []): Promise<Record<string, unknown>[]> {
    return (await (this.#pools.get(cell) as Pool).query(text, [...values])).rows as Record<string, unknown>[];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.people.map((person) => person[Symbol.asyncDispose]()));
    await Promise.all([...this.#pools.values()].map((pool) => pool.end()));
  }

  async #owns(cell: string, log: bigint): Promise<boolean> {
    const number = this.fabric.fabric.plan.cells.find(({ name }) => name === cell)?.number ?? 0;
    const rows = await this.sql(cell, 'select 1 from logs where log_id = $1 and ((epoch >> 20) & 4095) = $2', [log, number]);
    return rows.length > 0;
  }

  async #joined(log: bigint, members: readonly RecordedDevice[]): Promise<SceneLog> {
    const made = { log, members };
    this.logs.push(made);
    for (const member of members) this.#targets.set(member, [...(this.#targets.get(member) ?? []), { log }]);
    await until(`everybody has log ${log}`, () => members.every((member) => member.recorder.head(log) >= 1), 20_000);
    return made;
  }

  async #person(name: string, cell: string, firstNode: number, device = 'phone'): Promise<RecordedDevice> {
    const { user, token } = await this.fabric.device(name, cell, device);
    const nodes = this.fabric.fabric.plan.cells.find((each) => each.name === cell)?.nodes.map(({ url }) => url) ?? [];
    const label = device === 'phone' ? name : `${name} ${device}`;
    return new RecordedDevice({
      name: label,
      user,
      cell,
      device,
      token,
      nodes: [...nodes.slice(firstNode % nodes.length), ...nodes.slice(0, firstNode % nodes.length)],
      recorder: this.recorder.device({ device: label, user, cell }),
    });
  }

  /** Round robin over the people, each to their logs in turn. */
  async #talk(perSecond: number, isOver: () => boolean): Promise<void> {
    const talkers = [...this.#targets];
    const startMs = performance.now();
    let due = 0;
    while (!isOver()) {
      const wanted = ((performance.now() - startMs) * perSecond) / 1_000;
      for (; due < wanted; due++) {
        const [person, targets] = talkers[due % talkers.length] as [RecordedDevice, AppendTarget[]];
        if (person.waiting >= unansweredMax) continue;
        const target = targets[Math.floor(due / talkers.length) % targets.length] as AppendTarget;
        this.#said += 1;
        void person.append(target, `${this.#said} of ${person.options.name}`);
      }
      await systemClock.sleep(tickMs);
    }
  }

  /** What is still missing, in words; empty when nothing is. */
  async #lacks(): Promise<string> {
    const away = this.people.filter((person) => !person.isLive || person.waiting > 0);
    if (away.length > 0)
      return away
        .map((person) => `${person.options.name} is ${person.isLive ? `waiting for ${person.waiting} answers` : 'away'}`)
        .join(', ');
    const users = this.people.map(({ user }) => user);
    const heads = new Map<string, number>();
    for (const cell of this.#options.cells) {
      const [open] = await this.sql(cell, 'select count(*) as n from intake where author_id = any($1)', [users]);
      if (open?.n !== 0n && open?.n !== '0') return `${cell} has ${open?.n} open appends`;
      const rows = await this.sql(cell, 'select log_id, head, status from logs where log_id = any($1)', [this.logs.map(({ log }) => log)]);
      for (const { log_id, head } of rows) heads.set(`${cell}/${log_id}`, Number(head));
    }
    for (const { log, members } of this.logs) {
      const cells = [...new Set(members.map(({ options }) => options.cell))];
      const most = Math.max(...cells.map((cell) => heads.get(`${cell}/${log}`) ?? 0));
      for (const cell of cells)
        if (heads.get(`${cell}/${log}`) !== most) return `${cell} has log ${log} up to ${heads.get(`${cell}/${log}`)} of ${most}`;
      for (const { recorder, options } of members)
        if (recorder.head(log) !== most) return `${options.name} was shown log ${log} up to ${recorder.head(log)} of ${most}`;
    }
    return '';
  }
}

/** Frames that lie in a cell's inbound stream. */
export async function inboundFrames(fabric: TestFabric, cell: string): Promise<number> {
  return withInbound(fabric, cell, async (manager) => (await manager.streams.info(streams.inbound(cell))).state.messages);
}

/**
 * Somebody with the cell's own credentials takes what waits in its inbound stream and acknowledges it away, as a holder of
 * the apply duty that then dies. The cell's nodes must be down. Answers the subjects.
 */
export function stealInbound(fabric: TestFabric, cell: string, isEnough: (taken: readonly string[]) => boolean): Promise<string[]> {
  const taken: string[] = [];
  const takeAll = async (manager: JetStreamManager): Promise<void> => {
    for await (const { name } of manager.consumers.list(streams.inbound(cell))) {
      const consumer = await manager.jetstream().consumers.get(streams.inbound(cell), name);
      for await (const message of await consumer.fetch({ max_messages: 64, expires: 1_000 })) {
        message.ack();
        taken.push(message.subject);
      }
    }
  };
  return withInbound(fabric, cell, async (manager) => {
    for (const endsMs = performance.now() + 20_000; !isEnough(taken); ) {
      assert.ok(performance.now() < endsMs, `of the frames to be stolen only ${taken.join(', ')} came`);
      await takeAll(manager);
    }
    return taken;
  });
}

async function withInbound<T>(fabric: TestFabric, cell: string, use: (manager: JetStreamManager) => Promise<T>): Promise<T> {
  const plan = fabric.fabric.plan.cells.find(({ name }) => name === cell);
  const nc = await connect({
    servers: `127.0.0.1:${plan?.nats.client}`,
    user: 'fabric',
    pass: fabric.fabric.natsCredentials.cell(cell).fabric,
    inboxPrefix: subjects.inbox(cell, cell),
  });
  try {
    const result = await use(await jetstreamManager(nc, { domain: cell, checkAPI: false }));
    await nc.flush();
    return result;
  } finally {
    await nc.close();
  }
}
