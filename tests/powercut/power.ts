// The power of one cell's servers is cut under load, again and again, and nothing that was accepted may be gone.
import { rmSync } from 'node:fs';
import { loadCredentials } from '@weft/local/credentials.ts';
import { credentialsPath } from '@weft/local/fabric-file.ts';
import { fetchServers } from '@weft/local/fetch-servers.ts';
import { Launcher } from '@weft/local/launcher.ts';
import { natsCredentials } from '@weft/local/nats-credentials.ts';
import { planFabric, plannedProcesses } from '@weft/local/plan.ts';
import { freePortBase } from '@weft/local/ports.ts';
import { fabricServers } from '@weft/local/server-pins.ts';
import { testFolder } from '@weft/local/test-servers.ts';
import { systemClock } from '@weft/runtime/clock.ts';
import { seededRandom } from '@weft/runtime/random.ts';
import { openPool } from '@weft/runtime/sql.ts';
import { audit } from '../faults/audit.ts';
import { Crowd } from '../faults/crowd.ts';
import { Stage } from '../faults/stage.ts';
import type { Violation } from '../history.ts';
import { checkHistory } from '../history-checker.ts';
import { until } from '../until.ts';
import { Guest } from './guest.ts';

export interface PowerOptions {
  readonly cuts: number;
  readonly seed: number;
  /** How often the broker flushes: Weft's own 10 s, or the broker's default of 2 min. */
  readonly brokerSync: '10s' | '2m';
  /** False: PostgreSQL answers before it has synced, which must be found out. */
  readonly syncs: boolean;
  readonly perSecond: number;
  readonly say: (line: string) => void;
}

export interface PowerResult {
  readonly violations: readonly Violation[];
  readonly accepted: number;
  /** Messages of the inbound stream, by its own count before each cut, that the broker no longer knew of. */
  readonly forgotten: readonly number[];
  /** Milliseconds from the moment the store took a question until people of the cell were answered, after each cut. */
  readonly servingMs: readonly number[];
  /** Milliseconds from each boot until everybody was shown what everybody says. */
  readonly recoveryMs: readonly number[];
  /** I15: what took longer than it may. */
  readonly late: readonly string[];
}

const cells = ['eu-1', 'us-1'] as const;
const hit = 'us-1';
const servers = [`postgres-${hit}`, `nats-${hit}`, `valkey-${hit}`];
/** Milliseconds of traffic before a cut: a constant and what the seed adds. */
const trafficMs = { least: 2_000, more: 2_000 };
const recoverMsMax = 60_000;
/** I15: from a store that takes questions again to a cell that answers its people. */
const servingMsMax = 10_000;
/** A cell that lost its tables never recovers: it is not waited for as long. */
const hastyRecoverMsMax = 15_000;

export async function cutPower(options: PowerOptions): Promise<PowerResult> {
  const dataDir = testFolder();
  await using owned = new AsyncDisposableStack();
  owned.defer(() => rmSync(dataDir, { recursive: true, force: true }));
  const guestDir = testFolder();
  owned.defer(() => rmSync(guestDir, { recursive: true, force: true }));
  const guest = owned.use(Guest.open(guestDir));
  const placeOf = (part: string) => ({
    host: part === `store-${hit}` ? guest.inside : part.startsWith('hub-') ? guest.outside : '127.0.0.1',
  });
  const portBase = await freePortBase();
  await furnish(guest, { options, placeOf, portBase, dataDir, guestDir });
  await guest.boot();
  options.say('the guest is up');
  const stage = owned.use(
    await Stage.open({ cells, nodes: { 'eu-1': 1, 'us-1': 2 }, placed: false, fabric: { dataDir, portBase, placeOf, outside: servers } }),
  );
  const crowd = owned.use(await Crowd.gather(stage, 'power'));
  if (!options.syncs) await hasten(stage);
  crowd.talk(options.perSecond);
  const random = seededRandom(options.seed);
  const waitMsMax = options.syncs ? recoverMsMax : hastyRecoverMsMax;
  const forgotten: number[] = [];
  const servingMs: number[] = [];
  const recoveryMs: number[] = [];
  const late: string[] = [];
  for (let n = 1; n <= options.cuts; n++) {
    await systemClock.sleep(trafficMs.least + random.int(trafficMs.more));
    const before = await lastSeq(stage);
    await guest.cut();
    const cutMs = performance.now();
    options.say(`cut ${n}: the power is gone`);
    await guest.boot();
    const bootedMs = performance.now();
    await storeAnswers(stage);
    const backMs = performance.now();
    servingMs.push(Math.round(await serves(crowd, backMs, waitMsMax)));
    forgotten.push(Math.max(0, before - (await lastSeq(stage))));
    await stage.fabric.settle();
    const settledMs = performance.now();
    // Who does not recover is judged with the rest.
    await crowd.recovered(waitMsMax).catch((error: unknown) => options.say(String(error)));
    recoveryMs.push(Math.round(performance.now() - bootedMs));
    const [booted, back, settled] = [bootedMs - cutMs, backMs - bootedMs, settledMs - bootedMs].map(Math.round);
    options.say(
      `cut ${n}: servers up after ${booted} ms, store open ${back} ms later, people answered ${servingMs.at(-1)} ms after that; all ready ${settled} and everything recovered ${recoveryMs.at(-1)} ms after the boot; the broker forgot ${forgotten.at(-1)} messages`,
    );
    options.say(`  seconds of PostgreSQL: ${guest.recovery()}`);
    if (options.syncs && !(Number(servingMs.at(-1)) <= servingMsMax))
      late.push(`cut ${n}: people were answered ${servingMs.at(-1)} ms after the store was back, ${servingMsMax} are allowed`);
  }
  await crowd.hush();
  const unsettled = await crowd.converge(waitMsMax).catch((error: unknown) => error);
  const open: Violation[] = unsettled === undefined ? [] : [{ invariant: 'I5', text: String(unsettled), entries: [] }];
  // A cell whose store lost commits begins another life (R25), in which everybody has to log in anew: its tables tell.
  const history = await crowd.history().catch((error: unknown) => String(error));
  if (typeof history === 'string') {
    const { lost, accepted } = await lostBy(stage, crowd);
    const text = `${hit} lacks ${lost} of ${accepted} entries it told its people of; ${history}`;
    return {
      violations: [...open, { invariant: lost > 0 ? 'I1' : 'I5', text, entries: [] }],
      accepted,
      forgotten,
      servingMs,
      recoveryMs,
      late,
    };
  }
  const { violations, counts } = checkHistory(history);
  const audited = options.syncs ? audit(crowd.people).map((found) => ({ ...found, entries: [] })) : [];
  return { violations: [...violations, ...open, ...audited], accepted: counts.accepted, forgotten, servingMs, recoveryMs, late };
}

interface Furniture {
  readonly options: PowerOptions;
  readonly placeOf: (part: string) => { readonly host: string };
  readonly portBase: number;
  readonly dataDir: string;
  readonly guestDir: string;
}

/** The servers' own folders, as the local fabric would make them, on the guest's disk. */
async function furnish(guest: Guest, { options, placeOf, portBase, dataDir, guestDir }: Furniture): Promise<void> {
  const plan = planFabric({ portBase, cells, nodesPerCell: { 'eu-1': 1, 'us-1': 2 }, placeOf });
  const wiring = {
    plan,
    credentials: loadCredentials(credentialsPath(dataDir), plan),
    nats: natsCredentials(dataDir, [...cells]),
    dataDir: guestDir,
  };
  const programs = await fetchServers(fabricServers, options.say);
  const launcher = new Launcher({ wiring, servers: programs, env: {}, fsync: true, brokerSync: options.brokerSync });
  const planned = plannedProcesses(plan).filter(({ name }) => servers.includes(name));
  const made = await Promise.all(planned.map((process) => launcher.plan(process)));
  // What the command line says cannot be changed later.
  const plans = options.syncs ? made : made.map((one) => ({ ...one, args: withoutFsync(one.args) }));
  guest.furnish(plans);
}

function withoutFsync(args: readonly string[]): readonly string[] {
  const at = args.indexOf('fsync=on');
  return at < 0 ? args : args.toSpliced(at - 1, 2);
}

/** PostgreSQL answers before it has synced, from now on: what was there before is on the disk, so that the cell comes back without the rest. */
async function hasten(stage: Stage): Promise<void> {
  await stage.sql(hit, 'checkpoint');
  await stage.sql(hit, 'alter system set fsync = off');
  await stage.sql(hit, 'select pg_reload_conf()');
  const isHasty = async (): Promise<boolean> => (await stage.sql(hit, "select current_setting('fsync') as is"))[0]?.is === 'off';
  await until('fsync is off', isHasty, recoverMsMax);
}

/** Entries of which the hit cell's people were told, and how many of them it has no more. */
async function lostBy(stage: Stage, crowd: Crowd): Promise<{ readonly lost: number; readonly accepted: number }> {
  const told = crowd.acceptedIn(hit);
  const text = `select count(*) as n from unnest($1::bigint[], $2::bigint[]) as x (l, s)
    where not exists (select 1 from entries where log_id = l and seq = s)`;
  const values = [told.map(({ log }) => log), told.map(({ seq }) => seq)];
  let lost = Number.NaN;
  // A connection of before the cut may still be tried first.
  const answers = async (): Promise<boolean> => {
    const [row] = await stage.sql(hit, text, values).catch(() => []);
    lost = Number(row?.n ?? Number.NaN);
    return !Number.isNaN(lost);
  };
  await until('the tables can be read', answers, recoverMsMax);
  return { lost, accepted: told.length };
}

/** Resolves when the hit cell's PostgreSQL takes a question on a new connection. */
async function storeAnswers(stage: Stage): Promise<void> {
  const asks = async (): Promise<boolean> => {
    const pool = openPool(stage.fabric.databaseUrl(hit), 1);
    const answer = await pool.query('select 1').catch(() => undefined);
    await pool.end().catch(() => undefined);
    return answer !== undefined;
  };
  await until('the store takes questions', asks, recoverMsMax);
}

/** Milliseconds from then until a probe of the hit cell, asked then or later, was answered; NaN when none was. */
async function serves(crowd: Crowd, sinceMs: number, waitMsMax: number): Promise<number> {
  const answered = () => crowd.probes.find(({ cell, atMs }) => cell === hit && atMs >= sinceMs);
  await until('people of the cell are answered', () => answered() !== undefined, waitMsMax).catch(() => undefined);
  return (answered()?.atMs ?? Number.NaN) - sinceMs;
}

/** The newest message the broker knows of in the cell's inbound stream. */
async function lastSeq(stage: Stage): Promise<number> {
  const plan = stage.fabric.plan.cells.find(({ name }) => name === hit);
  const url = `http://${plan?.storeHost}:${plan?.nats.monitor}/jsz?streams=true&accounts=true`;
  let text = '';
  // A connection of before the cut may still be tried first.
  const answers = async (): Promise<boolean> => {
    const answer = await fetch(url, { signal: AbortSignal.timeout(5_000) }).catch(() => undefined);
    text = (await answer?.text().catch(() => '')) ?? '';
    return text !== '';
  };
  await until('the broker tells its streams', answers, recoverMsMax);
  return Math.max(0, ...[...text.matchAll(/"last_seq": (\d+)/g)].map(([, seq]) => Number(seq)));
}
