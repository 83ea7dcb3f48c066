// `npm run generate`: TypeScript from the .proto files, into proto/gen; what a deleted file once gave goes.
import { runVisibly } from './run.ts';

const generateMsMax = 60_000;

process.exitCode = await runVisibly('buf', ['generate', '--clean'], generateMsMax);
