// The people of a replay as users of the fabric: signed up at the door of their cell, connected with the SDK.

import { randomBytes } from 'node:crypto';
import { isOfHistory, type ProofReport } from '@weft/client/judge.ts';
import { socketsFrom } from '@weft/client/ports.ts';
import type { Session as ClientSession } from '@weft/client/session-store.ts';
import { Weft } from '@weft/client/weft.ts';
import type { FabricFile } from '@weft/local/fabric-file.ts';
import { inParallel } from '@weft/local/in-parallel.ts';
import { WebSocket } from 'ws';
import type { Person } from './cast.ts';
import { Departures } from './departures.ts';
import { benchLimits } from './limits.ts';
import { post, type Session } from './rest.ts';
import { handleOf } from './users.ts';

export interface Actor {
  readonly person: Person;
  readonly user: bigint;
  readonly weft: Weft;
  readonly departures: Departures;
  /** What the SDK says is wrong in a history itself. */
  readonly reports: readonly ProofReport[];
}

/** The package `ws` rather than Node's own WebSocket: a third of the time for each message. */
const sockets = socketsFrom(WebSocket);
const device = 'replay';

export class Troupe implements AsyncDisposable {
  readonly actors: ReadonlyMap<string, Actor>;

  private constructor(actors: ReadonlyMap<string, Actor>) {
    this.actors = actors;
  }

  /** Signs up everybody anew (a second replay is other people with the same names) and waits until all are connected. */
  static async gather(people: readonly Person[], fabric: FabricFile, onReady: () => void): Promise<Troupe> {
    const run = randomBytes(8).toString('hex');
    const actors = await inParallel(people, benchLimits.signUpsInFlightMax, async (person) => {
      const actor = await enter(person, run, fabric);
      onReady();
      return actor;
    });
    const troupe = new Troupe(new Map(actors.map((actor) => [actor.person.name, actor])));
    await Promise.all(actors.map(({ weft }) => weft.live()));
    return troupe;
  }

  actor(person: Person): Actor {
    const actor = this.actors.get(person.name);
    if (actor === undefined) throw new Error(`${person.name} is not in the troupe`);
    return actor;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.actors.values()].map(({ weft }) => weft.close()));
  }
}

async function enter(person: Person, run: string, fabric: FabricFile): Promise<Actor> {
  const cell = fabric.cells.find(({ name }) => name === person.cell);
  const region = fabric.regions.find(({ name }) => name === cell?.region);
  const node = cell?.urls[0];
  if (cell === undefined || region === undefined || node === undefined) throw new Error(`the fabric has no cell ${person.cell}`);
  const account = { handle: handleOf('r', `${run} ${person.name}`), password: randomBytes(15).toString('base64url'), device };
  const made = await post<Session & { readonly session: string; readonly self_log: string }>(`${node}/v1/accounts`, account);
  const session: ClientSession = {
    user: made.user,
    handle: made.handle,
    cell: made.cell,
    session: made.session,
    selfLog: made.self_log,
    device,
    accessToken: made.access_token,
    accessEnds: made.access_ends,
    refreshToken: made.refresh_token,
    urls: made.urls,
    router: region.router,
  };
  const weft = await Weft.resume({ session, agent: 'weft-replay', ports: { socket: sockets } });
  const reports: ProofReport[] = [];
  weft.on('proof', (report) => {
    if (isOfHistory(report)) reports.push(report);
  });
  return { person, user: BigInt(made.user), weft, departures: new Departures(weft), reports };
}
