// `npm run chat -- --as ana --region eu`: a terminal client of a running fabric.

import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

import { WeftError } from '@weft/proto/faults.ts';
import { Command, InvalidArgumentError } from 'commander';

import { Chat } from './chat.ts';
import { openPaint } from './paint.ts';
import { PlainScreen, type Screen, TerminalScreen } from './screen.ts';
import { type SignIn, signIn } from './sign-in.ts';

interface Options {
  readonly as: string;
  readonly to?: string;
  readonly region: string;
  readonly router?: string;
  readonly data?: string;
  readonly portBase: number;
  readonly password?: string;
  readonly color: boolean;
}

/** As docs/protocol.md says: the router of the nth region listens at the base + 10 + 2n. */
const portBaseDefault = 21_000;
const regions = ['eu', 'us'];
const routerPort = (base: number, region: number): number => base + 10 + 2 * region;

function readOptions(): Options {
  return new Command('chat')
    .description('Chat on a running Weft fabric. The account is made on first use.')
    .requiredOption('--as <handle>', 'who you are')
    .option('--to <handle>', 'whom to write to at once')
    .option('--region <name>', 'where a new account should live', 'eu')
    .option('--router <url>', 'any router, when the fabric runs elsewhere')
    .option('--data <dir>', 'data folder of the fabric, as given to npm start')
    .option('--port-base <n>', 'port base of the fabric, as given to npm start', portFrom, portBaseDefault)
    .option('--password <text>', 'of the account; made up and kept on first use when absent')
    .option('--no-color', 'no colours')
    .parse()
    .opts<Options>();
}

function portFrom(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65_000) throw new InvalidArgumentError('a port number');
  return port;
}

function signInOf(options: Options): SignIn {
  const dataDir = options.data ?? process.env.WEFT_DATA;
  const stateHome = process.env.XDG_STATE_HOME ?? join(homedir(), '.local', 'state');
  const folder = dataDir === undefined ? join(stateHome, 'weft', String(options.portBase)) : join(dataDir, 'clients');
  return {
    handle: options.as,
    region: options.region,
    routers: options.router === undefined ? routersOf(options, dataDir) : [options.router],
    stateDir: join(folder, encodeURIComponent(options.as)),
    password: options.password,
  };
}

/** The wished region's router first; any other knows the way too. */
function routersOf(options: Options, dataDir: string | undefined): string[] {
  const planned = regions.map((name, index) => ({ name, router: `http://127.0.0.1:${routerPort(options.portBase, index)}` }));
  const file = dataDir === undefined ? undefined : join(dataDir, 'fabric.json');
  const running =
    file !== undefined && existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as { regions?: typeof planned }).regions : undefined;
  const all = running ?? planned;
  return all.toSorted((a, b) => Number(b.name === options.region) - Number(a.name === options.region)).map(({ router }) => router);
}

async function chat(options: Options): Promise<number> {
  const who = signInOf(options);
  const weft = await signIn(who);
  const { promise: over, resolve: quit } = Promise.withResolvers<void>();
  const inputOver = Promise.withResolvers<void>();
  // Lines can be typed before the conversation stands.
  let chatting: Chat | undefined;
  const events = { typed: (line: string) => chatting?.typed(line), ended: () => inputOver.resolve() };
  const isTerminal = process.stdin.isTTY === true && process.stdout.isTTY === true;
  const screen: Screen = isTerminal
    ? new TerminalScreen({ input: process.stdin, output: process.stdout, events })
    : new PlainScreen({ input: process.stdin, output: process.stdout, events });
  chatting = new Chat({ weft, screen, paint: openPaint(options.color && isTerminal), quit });
  if (options.to !== undefined) chatting.typed(`/open ${options.to}`);
  process.once('SIGTERM', quit);
  await Promise.race([over, inputOver.promise]);
  if (!isTerminal) await chatting.drained();
  chatting.close();
  screen.close();
  const { stop, reason } = weft.state;
  await weft.close();
  if (stop === undefined || stop === 'closed') return 0;
  console.error(`chat: ${reason}`);
  return 1;
}

function explain(error: unknown, options: Options): string {
  if (!(error instanceof WeftError)) return error instanceof Error ? (error.stack ?? error.message) : String(error);
  if (error.code === 'not_ready') {
    const where = signInOf(options).routers.join(' or ');
    return `no fabric answers at ${where}.\nStart one with \`npm start\` (with the same --data and --port-base), or name a router with --router.`;
  }
  if (error.code === 'login_failed')
    return `${options.as} is taken and the password is not the one kept here: use --password, or another name.`;
  return error.message;
}

const options = readOptions();
try {
  process.exitCode = await chat(options);
} catch (error) {
  console.error(`chat: ${explain(error, options)}`);
  process.exitCode = 1;
}
