// Everybody of a node is cut at the same moment and comes back at once. The people are made in the tables, because signing
// up thousands would take longer than the storm; their tokens are signed with the cell's own key.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { CellKeys } from '@weft/cells/accounts/cell-keys.ts';
import { AccessTokens } from '@weft/cells/accounts/tokens.ts';
import { makeId } from '@weft/proto/ids.ts';
import { systemClock } from '@weft/runtime/clock.ts';
import { silentLog } from '@weft/runtime/log.ts';
import { openPool } from '@weft/runtime/sql.ts';
import { type Came, Comers } from './comers.ts';
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

async function storm(scene: Scene): Promise<Heal> {
  const { note, say } = scene;
  const comers = await makeComers(scene);
  try {
    say('its people are made');
    await comers.come(crowdSize, gatherAtOnce);
    say('everybody is connected');
    const quiet = await readsOf(scene, () => comers.come(steadyCount, steadyAtOnce));
    say('the quiet day is over');
    const busyBefore = busyMsOf(scene);
    const stormy = await readsOf(scene, () => comers.come(crowdSize, crowdSize));
    const busyMs = busyMsOf(scene) - busyBefore;
    const { ms, waits } = stormy.came;
    const [rate, ownRate] = [(crowdSize * 1_000) / ms, (crowdSize * 1_000) / busyMs];
    const [steady, inStorm] = [quiet.rows / steadyCount, stormy.rows / crowdSize];
    note(`${crowdSize} sockets back in ${Math.round(ms)} ms, ${Math.round(rate)} a second; ${waits} times told to come later`);
    note(`the node was busy for ${Math.round(busyMs)} ms of it: ${Math.round(ownRate)} a second of a processor of its own`);
    note(`rows read for one: ${steady.toFixed(1)} on a quiet day, ${inStorm.toFixed(1)} in the storm`);
    if (inStorm > steady * readsFactorMax)
      scene.violate('I14', `one resume read ${inStorm.toFixed(1)} rows in the storm, ${steady.toFixed(1)} otherwise`);
    if (ownRate < ratePerSecondMin) scene.violate('I15', `${Math.round(ownRate)} resumes a second of a processor`);
  } catch (error) {
    await comers[Symbol.asyncDispose]();
    throw error;
  }
  return () => comers[Symbol.asyncDispose]();
}

/** Milliseconds of processor time the node took so far: those who come are as many processes' work on the same machine. */
function busyMsOf({ stage }: Scene): number {
  const text = readFileSync(`/proc/${stage.fabric.pid(node)}/stat`, 'utf8');
  const [user, system] = text.slice(text.lastIndexOf(')')).split(' ').slice(12, 14).map(Number);
  return ((user ?? 0) + (system ?? 0)) * tickMs;
}

/** People of the cell with a session each, in logs that are there. */
async function makeComers({ stage, crowd }: Scene): Promise<Comers> {
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
  const issued = await Promise.all(ids.map((id) => tokens.issue({ ...id, device })));
  await pool.end();
  return Comers.start({ url, device, tokens: issued.map(({ token }) => token) });
}

/** Rows of people's logs that the cell's database read while this ran: nothing but greetings reads them. */
async function readsOf({ stage }: Scene, run: () => Promise<Came>): Promise<{ readonly came: Came; readonly rows: number }> {
  const read = async (): Promise<number> => {
    await systemClock.sleep(countersMs);
    const text = "select idx_tup_fetch + seq_tup_read as n from pg_stat_user_tables where relname = 'user_logs'";
    return Number((await stage.sql(hit, text))[0]?.n ?? 0);
  };
  const before = await read();
  const came = await run();
  return { came, rows: (await read()) - before };
}

export const stormFaults: readonly Fault[] = [
  {
    ...{ id: 'F35', variant: 'storm-5000', text: '5,000 sockets of a node are cut at once and come back', needs: [], suffers: [hit] },
    // Little talk beside the probes: at the usual pace everybody's talk leaves the node a third of one of two processors.
    ...{ long: true, holdMs: 0, perSecond: 20, aims: ['I12', 'I14', 'I15'] },
    inject: storm,
  },
];
