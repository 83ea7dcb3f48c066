// People of all cells who talk while something is broken: groups and conversations across cells, and in each cell two
// probes whose answers are timed, because nothing outside their cell may hold them up.

import type { Conversation } from '@weft/client/conversation.ts';
import type { Session } from '@weft/client/session-store.ts';
import { birthCell } from '@weft/proto/ids.ts';
import { systemClock } from '@weft/runtime/clock.ts';
import type { History, HistoryEvent } from '../history.ts';
import { until } from '../until.ts';
import { limits } from './limits.ts';
import { type Answered, Person } from './people.ts';
import type { Stage } from './stage.ts';

/** Whoever is asked in the same rounds, elsewhere. */
export interface Control {
  probe(n: number, roundMs: number): void;
}

export interface Talk {
  readonly conversation: bigint;
  readonly members: readonly Person[];
}

/** One probe's answer. */
export interface Probe extends Answered {
  readonly cell: string;
}

const password = 'people who talk under faults';
const signUpsAtOnce = 4;
/** Every so many appends one person reads the end of a log. */
const lookEvery = 40;

export class Crowd implements AsyncDisposable {
  readonly people: Person[] = [];
  readonly talks: Talk[] = [];
  readonly probes: Probe[] = [];
  readonly counts = { said: 0, probes: 0 };
  readonly #stage: Stage;
  readonly #label: string;
  readonly #control: Control | undefined;
  readonly #events: HistoryEvent[] = [];
  readonly #probePairs: { readonly cell: string; readonly pair: readonly [Person, Person]; readonly talk: Talk }[] = [];
  #over = false;
  #signedUp = 0;
  #talking: Promise<void> | undefined;

  /** Signs everybody up and opens the conversations; resolves when all have them. `label`: unique in the stage. */
  static async gather(stage: Stage, label: string, control?: Control): Promise<Crowd> {
    const crowd = new Crowd(stage, label, control);
    try {
      await crowd.#gather();
      return crowd;
    } catch (error) {
      await crowd[Symbol.asyncDispose]();
      throw error;
    }
  }

  private constructor(stage: Stage, label: string, control: Control | undefined) {
    this.#stage = stage;
    this.#label = label;
    this.#control = control;
  }

  /** "p0", "p1", "probe0" … of a cell. */
  named(cell: string, name: string): Person {
    const found = this.people.find((person) => person.name === `${this.#label}-${cell}-${name}`);
    if (found === undefined) throw new Error(`there is no ${name} in ${cell}`);
    return found;
  }

  of(cell: string): Person[] {
    return this.people.filter((person) => person.cell === cell);
  }

  /** Everybody talks from now on until `hush`. */
  talk(perSecond: number = limits.perSecond): void {
    this.#over = false;
    this.#talking = this.#talkOn(perSecond);
  }

  async hush(): Promise<void> {
    this.#over = true;
    await this.#talking;
  }

  /** Everybody says one thing everywhere; resolves with the milliseconds until everybody was shown all of it. */
  async recovered(deadlineMs: number): Promise<number> {
    const startMs = performance.now();
    const marks = this.talks.flatMap((talk) => talk.members.map((person) => this.#mark(talk, person)));
    const isShown = ({ talk, seq }: { talk: Talk; seq: () => number | undefined }): boolean => {
      const at = seq();
      return at !== undefined && talk.members.every((member) => member.head(talk.conversation) >= at);
    };
    await until(
      'everybody is shown what everybody says',
      () => this.people.every(({ isLive }) => isLive) && marks.every(isShown),
      deadlineMs,
    );
    return performance.now() - startMs;
  }

  /** Resolves when every append is decided and every member of every log, in every cell, holds all of it. */
  async converge(deadlineMs: number): Promise<void> {
    let lacks = 'nothing was looked at';
    const whole = async (): Promise<boolean> => {
      lacks = await this.#lacks().catch((error: unknown) => `the cells cannot be asked: ${String(error)}`);
      return lacks === '';
    };
    await until('everything converges', whole, deadlineMs).catch((error: unknown) => {
      throw new Error(`${error instanceof Error ? error.message : String(error)}; ${lacks}`);
    });
  }

  /** The whole run, with every cell's copy of every log. */
  async history(): Promise<History> {
    const dumps = [];
    for (const { conversation: log, members } of this.talks) {
      for (const cell of new Set(members.map((member) => member.cell))) {
        const reader = members.find((member) => member.cell === cell) as Person;
        const plan = this.#stage.fabric.plan.cells.find(({ name }) => name === cell);
        dumps.push(await reader.dump(log, plan?.number === birthCell(log)));
      }
    }
    const devices = this.people.map(({ name, user, cell }) => ({ device: name, user, cell, settled: true }));
    return { devices, events: this.#events, dumps, repairMsMax: limits.repairMsMax };
  }

  /** What people of a cell were told is in its logs. */
  acceptedIn(cell: string): readonly { readonly log: bigint; readonly seq: number }[] {
    const own = new Set(this.of(cell).map(({ name }) => name));
    return this.#events.flatMap((event) =>
      event.what === 'accepted' && own.has(event.device) ? [{ log: event.log, seq: event.seq }] : [],
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.hush();
    await Promise.all(this.people.map((person) => person[Symbol.asyncDispose]()));
  }

  /** One more person, at a node of the cell; `from`: our address to speak from. */
  async person(name: string, cell: string, from?: string): Promise<Person> {
    const full = `${this.#label}-${name}`;
    const person = await Person.open({
      name: full,
      cell,
      session: await this.#signUp(full, cell),
      tell: (told) => this.#events.push({ ...told, at: performance.now(), device: full } as HistoryEvent),
      ...(from === undefined ? {} : { localAddress: from }),
    });
    this.people.push(person);
    await until(`${full} is live`, () => person.isLive, limits.gatherMsMax);
    return person;
  }

  /** A group owned by the first one's cell. */
  async group(members: readonly Person[]): Promise<Talk> {
    const [creator, ...others] = members as [Person, ...Person[]];
    const conversation = await creator.weft.createGroup(
      'a group',
      others.map(({ user }) => user),
    );
    return this.#joined(conversation, members);
  }

  async direct(a: Person, b: Person): Promise<Talk> {
    return this.#joined(await a.weft.openDirect(b.user), [a, b]);
  }

  async #joined(conversation: Conversation, members: readonly Person[]): Promise<Talk> {
    await until('the conversation is open', () => conversation.log !== undefined, limits.gatherMsMax);
    const talk = { conversation: conversation.log as bigint, members };
    await until('all members have it', () => members.every((member) => member.head(talk.conversation) >= 1), limits.gatherMsMax);
    this.talks.push(talk);
    return talk;
  }

  async #gather(): Promise<void> {
    const { cells } = this.#stage;
    const names = cells.flatMap((cell) =>
      ['probe0', 'probe1', ...Array.from({ length: limits.peoplePerCell }, (_, n) => `p${n}`)].map((name) => ({
        cell,
        name: `${cell}-${name}`,
      })),
    );
    for (let at = 0; at < names.length; at += signUpsAtOnce)
      await Promise.all(names.slice(at, at + signUpsAtOnce).map(({ name, cell }) => this.person(name, cell)));
    for (const cell of cells) {
      const pair = [this.named(cell, 'probe0'), this.named(cell, 'probe1')] as const;
      this.#probePairs.push({ cell, pair, talk: await this.direct(...pair) });
      for (const probe of pair) probe.onAnswered = (answered) => this.probes.push({ ...answered, cell });
    }
    const crowd = this.people.filter(({ name }) => !name.includes('probe'));
    // Owned in turn by each cell, so that whatever is hit owns something, and something of others is read there.
    for (const cell of cells) await this.group([...crowd.filter((one) => one.cell === cell), ...crowd.filter((one) => one.cell !== cell)]);
    for (const [i, cell] of cells.entries()) {
      const next = cells[(i + 1) % cells.length] as string;
      if (next !== cell) await this.direct(this.named(cell, 'p0'), this.named(next, 'p1'));
    }
  }

  async #signUp(handle: string, cell: string): Promise<Session> {
    const plan = this.#stage.fabric.plan.cells.find(({ name }) => name === cell);
    const region = this.#stage.fabric.plan.regions.find(({ name }) => name === plan?.region);
    const url = plan?.nodes[0]?.url ?? '';
    let body: Record<string, unknown> = {};
    await until(
      `the sign-up of ${handle} at ${cell}`,
      async () => {
        // A kept connection may be closed by the node in the moment it is used again.
        const answer = await post(`${url}/v1/accounts`, { handle, password, device: 'phone' }).catch(() => undefined);
        if (answer === undefined) return false;
        body = answer.body;
        if (answer.status >= 300 && body.retry !== 'later') throw new Error(`${handle} at ${cell}: ${JSON.stringify(body)}`);
        return answer.status < 300;
      },
      limits.gatherMsMax,
    );
    return {
      user: String(body.user),
      handle,
      cell,
      session: String(body.session),
      selfLog: String(body.self_log),
      device: 'phone',
      accessToken: String(body.access_token),
      accessEnds: Number(body.access_ends),
      refreshToken: String(body.refresh_token),
      urls: inTurn(plan?.nodes.map((node) => node.url) ?? [], this.#signedUp++),
      router: `http://${region?.routerHost}:${region?.routerPort}`,
    };
  }

  #mark(talk: Talk, person: Person): { talk: Talk; seq: () => number | undefined } {
    const sent = person.insist(person.weft.conversation(talk.conversation), 'is anybody there');
    return { talk, seq: () => sent.at?.seq };
  }

  async #talkOn(perSecond: number): Promise<void> {
    const turns = this.talks
      .filter((talk) => !this.#probePairs.some((pair) => pair.talk === talk))
      .flatMap((talk) => talk.members.map((person) => ({ person, talk })));
    const startMs = performance.now();
    const saidBefore = this.counts.said;
    for (let probes = 0; !this.#over; await systemClock.sleep(limits.talkEveryMs)) {
      const seconds = (performance.now() - startMs) / 1_000;
      for (let due = saidBefore + Math.floor(seconds * perSecond); this.counts.said < due; ) this.#turn(turns);
      for (const due = Math.floor(seconds * limits.probesPerSecond); probes < due; probes++) this.probe(probes, performance.now());
    }
  }

  #turn(turns: readonly { readonly person: Person; readonly talk: Talk }[]): void {
    const { person, talk } = turns[this.counts.said % turns.length] as (typeof turns)[number];
    this.counts.said += 1;
    const conversation = person.weft.conversation(talk.conversation);
    person.say(conversation, `${this.counts.said} of ${person.name}`);
    if (this.counts.said % lookEvery === 0) person.look(conversation).catch(() => undefined);
  }

  /** One round: a probe of each cell, and of the control cell, at the same moment. */
  probe(n: number, roundMs: number): void {
    this.#control?.probe(n, roundMs);
    for (const { pair, talk } of this.#probePairs) {
      const person = pair[n % 2] as Person;
      const sent = person.say(person.weft.conversation(talk.conversation), `probe ${n}`, roundMs);
      if (sent !== undefined) this.counts.probes += 1;
    }
  }

  /** What is still missing, in words; empty when nothing is. */
  async #lacks(): Promise<string> {
    const away = this.people.filter((person) => !person.isLive || person.waiting.size > 0);
    if (away.length > 0)
      return away.map(({ name, isLive, waiting }) => `${name} is ${isLive ? `waiting for ${waiting.size} answers` : 'away'}`).join(', ');
    const users = this.people.map(({ user }) => user);
    const logs = this.talks.map(({ conversation }) => conversation);
    const heads = new Map<string, number>();
    for (const cell of this.#stage.cells) {
      const [open] = await this.#stage.sql(cell, 'select count(*) as n from intake where author_id = any($1)', [users]);
      if (Number(open?.n) !== 0) return `${cell} has ${open?.n} open appends`;
      const rows = await this.#stage.sql(cell, 'select log_id, head from logs where log_id = any($1)', [logs]);
      for (const { log_id, head } of rows) heads.set(`${cell}/${log_id}`, Number(head));
    }
    for (const { conversation, members } of this.talks) {
      const cells = [...new Set(members.map(({ cell }) => cell))];
      const most = Math.max(...cells.map((cell) => heads.get(`${cell}/${conversation}`) ?? 0));
      const late = cells.find((cell) => heads.get(`${cell}/${conversation}`) !== most);
      if (late !== undefined) return `${late} has log ${conversation} up to ${heads.get(`${late}/${conversation}`)} of ${most}`;
      const lacking = members.find((member) => member.head(conversation) !== most);
      if (lacking) return `${lacking.name} was shown log ${conversation} up to ${lacking.head(conversation)} of ${most}`;
    }
    return '';
  }
}

/** The list, begun anew at this place: people are spread over the nodes. */
const inTurn = <T>(list: readonly T[], at: number): T[] => list.map((_, n) => list[(n + at) % list.length] as T);

async function post(url: string, body: unknown): Promise<{ readonly status: number; readonly body: Record<string, unknown> }> {
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(limits.gatherMsMax),
  });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
}
