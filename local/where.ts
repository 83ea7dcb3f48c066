// `npm run where -- <entry>`: asks every cell of the running fabric where one message is, and tells it as a story.
import { cellNumberMax } from '@weft/proto/ids.ts';
import type { Passport } from '@weft/proto/passport.ts';
import { Command, InvalidArgumentError } from 'commander';
import { type FabricOptions, runningFabric, withFabricOptions } from './fabric-options.ts';
import { askNodes, operatorToken } from './operator.ts';
import { storyOf } from './where-story.ts';

interface WhereOptions extends FabricOptions {
  readonly json?: boolean;
}

/** The query of an entry id. */
function queryOf(text: string): string {
  const place = /^(\d{1,19}):(\d{1,16})$/.exec(text);
  if (place) return `where?log=${place[1]}&seq=${place[2]}`;
  const own = /^(\d{1,19})\+(\d{1,20})$/.exec(text);
  if (own) return `where?author=${own[1]}&id=${own[2]}`;
  throw new InvalidArgumentError('it is LOG:SEQ or AUTHOR+CLIENT_ENTRY_ID, all decimal numbers.');
}

function read(argv: readonly string[]): { query: string; text: string; options: WhereOptions } {
  const command = withFabricOptions(new Command('npm run where --'))
    .description('Tells where a message is: accepted, sent, stored, applied, pushed, seen, in every cell of the running fabric.')
    .argument('<entry>', 'LOG:SEQ, or AUTHOR+CLIENT_ENTRY_ID; /where in the chat shows it', queryOf)
    .option('--json', 'the answers of the nodes as they are')
    .parse(argv, { from: 'user' });
  return { query: command.processedArgs[0] as string, text: command.args[0] ?? '', options: command.opts<WhereOptions>() };
}

async function where(argv: readonly string[]): Promise<number> {
  const { query, text, options } = read(argv);
  const fabric = runningFabric(options);
  const startMs = performance.now();
  const answers = await askNodes<Passport>(fabric, operatorToken(fabric), query);
  const tookMs = Math.round(performance.now() - startMs);
  if (options.json) process.stdout.write(`${JSON.stringify({ asked: text, tookMs, answers }, null, 2)}\n`);
  else {
    const nameOf = (number: number): string => fabric.cells.find((cell) => cell.number === number)?.name ?? cellOf(number);
    for (const line of storyOf(text, answers, nameOf)) process.stdout.write(`${line}\n`);
    process.stdout.write(`\nasked ${answers.length} nodes, ${tookMs} ms\n`);
  }
  if (answers.every(({ answer }) => answer === undefined)) return 3;
  return answers.some(({ answer }) => answer?.entry ?? answer?.intake ?? answer?.refused) ? 0 : 2;
}

const cellOf = (number: number): string => (number >= 1 && number <= cellNumberMax ? `cell ${number}` : 'an unknown cell');

if (import.meta.main) {
  try {
    process.exit(await where(process.argv.slice(2)));
  } catch (error) {
    process.stderr.write(`weft: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  }
}
