// Everybody of a node is cut at the same moment and comes back at once. The people are made in the tables, because signing
// up thousands would take longer than the storm; their tokens are signed with the cell's own key.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { CellKeys } from '@weft/cells/accounts/cell-keys.ts';
import { AccessTokens } from '@weft/cells/accounts/tokens.ts';
import { ClientFrame, ServerFrame, type Welcome } from '@weft/proto/gen/weft/client/v1/client.ts';
import { makeId } from '@weft/proto/ids.ts';
import { systemClock } from '@weft/runtime/clock.ts';
import { silentLog } from '@weft/runtime/log.ts';
import { openPool } from '@weft/runtime/sql.ts';
import { WebSocket } from 'ws';
import type { Fault, Heal, Scene } from './fault.ts';

const hit = 'us-1';
const node = `node-${hit}-a`;
/** Of the kernel's counters, on every Linux (USER_HZ). */
const tickMs = 10;
const device = 'storm';
const crowdSize = 5_000;
/** Logs of each of them. */
const logsEach = 3;
const steadyCount = 500;
const steadyAtOnce = 4;
const gatherAtOnce = 64;
/** Resumes a second of the node's processor time, and reads of one in the storm against one on a quiet day. */
const ratePerSecondMin = 2_000;
const readsFactorMax = 1.2;
/** PostgreSQL tells its counters about once a second. */
const countersMs = 1_500;

class Comer {
  readonly #url: string;
  readonly #token: string;
  #socket: WebSocket | undefined;
  #welcome: Welcome | undefined;
  /** Times it was told to come later. */
  waits = 0;

  constructor(url: string, token: string) {
    this.#url = url;
    this.#token = token;
  }

  /** Comes (back) until it is welcome, at the times it is told. */
  async come(): Promise<void> {
    for (;;) {
      const afterMs = await this.#try();
      if (afterMs === 0) return;
      this.waits += 1;
      await systemClock.sleep(afterMs);
    }
  }

  cut(): void {
    this.#socket?.terminate();
  }

  /** 0 when welcome, else the milliseconds to wait. */
  #try(): Promise<number> {
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(this.#url, 'weft.v1.proto', { perMessageDeflate: false });
      this.#socket = socket;
      const resume = this.#welcome && { cursor: this.#welcome.cursor, digest: this.#welcome.digest };
      socket.on('error', () => undefined);
      socket.on('close', () => resolve(refusedMs));
      socket.on('open', () => {
        const hello = { token: this.#token, device, agent: 'weft-storm', resume };
        socket.send(ClientFrame.encode({ id: 1n, request: { $case: 'hello', value: hello } }).finish());
      });
      socket.on('message', (data: Buffer) => {
        const { event } = ServerFrame.decode(data);
        if (event?.$case === 'welcome') {
          this.#welcome = event.value;
          resolve(0);
        } else if (event?.$case === 'fault' && event.value.retry === 'RETRY_LATER') resolve(Math.max(1, event.value.afterMs));
        else if (event?.$case === 'fault' || event?.$case === 'redirect')
          reject(new Error(`instead of a welcome: ${JSON.stringify(event.value)}`));
      });
    });
  }
}

/** A connection that was not even taken is tried again after this. */
const refusedMs = 100;

async function storm(scene: Scene): Promise<Heal> {
  const { note, say } = scene;
  const comers = await makeComers(scene);
  say('its people are made');
  await inParallel(comers, gatherAtOnce, (comer) => comer.come());
  say('everybody is connected');
  const steady = await readsOf(scene, steadyCount, () =>
    inParallel(comers.slice(0, steadyCount), steadyAtOnce, async (comer) => {
      comer.cut();
      await comer.come();
    }),
  );
  say('the quiet day is over');
  let [backMs, busyMs] = [0, 0];
  const inStorm = await readsOf(scene, crowdSize, async () => {
    const [startMs, busyBefore] = [performance.now(), busyMsOf(scene)];
    for (const comer of comers) comer.cut();
    await Promise.all(comers.map((comer) => comer.come()));
    [backMs, busyMs] = [performance.now() - startMs, busyMsOf(scene) - busyBefore];
  });
  const [rate, ownRate] = [(crowdSize * 1_000) / backMs, (crowdSize * 1_000) / busyMs];
  const waits = comers.reduce((sum, comer) => sum + comer.waits, 0);
  note(`${crowdSize} sockets back in ${Math.round(backMs)} ms, ${Math.round(rate)} a second; ${waits} times told to come later`);
  note(`the node was busy for ${Math.round(busyMs)} ms of it: ${Math.round(ownRate)} a second of a processor of its own`);
  note(`rows read for one: ${steady.toFixed(1)} on a quiet day, ${inStorm.toFixed(1)} in the storm`);
  if (inStorm > steady * readsFactorMax)
    scene.violate('I14', `one resume read ${inStorm.toFixed(1)} rows in the storm, ${steady.toFixed(1)} otherwise`);
  if (ownRate < ratePerSecondMin) scene.violate('I15', `${Math.round(ownRate)} resumes a second of a processor`);
  return () => {
    for (const comer of comers) comer.cut();
  };
}

/** Milliseconds of processor time the node took so far: those who come are as many processes' work on the same machine. */
function busyMsOf({ stage }: Scene): number {
  const text = readFileSync(`/proc/${stage.fabric.pid(node)}/stat`, 'utf8');
  const [user, system] = text.slice(text.lastIndexOf(')')).split(' ').slice(12, 14).map(Number);
  return ((user ?? 0) + (system ?? 0)) * tickMs;
}

/** People of the cell with a session each, in logs that are there. */
async function makeComers({ stage, crowd }: Scene): Promise<Comer[]> {
  const plan = stage.fabric.plan.cells.find(({ name }) => name === hit);
  const secret = stage.fabric.credentials.cells[hit]?.keySecret;
  if (plan === undefined || secret === undefined) throw new Error(`there is no cell ${hit}`);
  const pool = openPool(stage.fabric.databaseUrl(hit), 1);
  const clock = systemClock;
  await using keys = await CellKeys.open({ pool, secret: Buffer.from(secret, 'base64url'), clock, cell: hit, log: silentLog() });
  const tokens = new AccessTokens({
    own: { name: hit, number: plan.number },
    keys,
    homes: { home: () => undefined } as never,
    clock,
  });
  const now = Date.now();
  const idOf = (node: number, n: number): bigint => makeId(now + (n >> 5), plan.number, node, n & 31);
  const ids = Array.from({ length: crowdSize }, (_, n) => ({ user: idOf(9, n), session: idOf(10, n) }));
  // Quiet ones: it is the coming back that is looked at, not the pushes.
  const logs = [];
  for (let n = 0; n < logsEach; n++) logs.push(await crowd.group([crowd.named(hit, 'p0'), crowd.named(hit, 'p1')]));
  const users = ids.map(({ user }) => user);
  for (const { conversation } of logs)
    await pool.query(
      'insert into user_logs (user_id, log_id, from_seq, until_seq) select id, $2, 1, 0 from unnest($1::bigint[]) as x (id)',
      [users, conversation],
    );
  await pool.query(
    `insert into sessions (session_id, user_id, device, created_ms, refreshed_ms, ends_ms, refresh_number, refresh_hash, refresh_salt)
     select s, u, $3, $4, $4, $5, 1, $6, $6 from unnest($1::bigint[], $2::bigint[]) as x (s, u)`,
    [ids.map(({ session }) => session), users, device, now, now + 86_400_000, randomBytes(32)],
  );
  const url = `${plan.nodes[0]?.url.replace('http', 'ws')}/v1/socket`;
  const made = await Promise.all(ids.map(async (id) => new Comer(url, (await tokens.issue({ ...id, device })).token)));
  await pool.end();
  return made;
}

/** Rows of people's logs that the cell's database read while this ran, for each of so many: nothing but greetings reads them. */
async function readsOf({ stage }: Scene, count: number, run: () => Promise<unknown>): Promise<number> {
  const read = async (): Promise<number> => {
    await systemClock.sleep(countersMs);
    const text = "select idx_tup_fetch + seq_tup_read as n from pg_stat_user_tables where relname = 'user_logs'";
    return Number((await stage.sql(hit, text))[0]?.n ?? 0);
  };
  const before = await read();
  await run();
  return ((await read()) - before) / count;
}

async function inParallel<T>(items: readonly T[], atOnce: number, run: (item: T) => Promise<void>): Promise<void> {
  const waiting = [...items];
  const work = async (): Promise<void> => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await run(item);
  };
  await Promise.all(Array.from({ length: atOnce }, work));
}

export const stormFaults: readonly Fault[] = [
  {
    ...{ id: 'F35', variant: 'storm-5000', text: '5,000 sockets of a node are cut at once and come back', needs: [], suffers: [hit] },
    ...{ long: true, holdMs: 0, aims: ['I12', 'I14', 'I15'] },
    inject: storm,
  },
];
