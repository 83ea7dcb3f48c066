// A router's process.
import { readOrExit, runMain } from '@weft/runtime/lifecycle.ts';
import { createLog } from '@weft/runtime/log.ts';
import { readRouterConfig } from './config.ts';
import { startRouter } from './router.ts';

const config = readOrExit(() => readRouterConfig(process.env));
const log = createLog({ service: 'router', level: config.logLevel });
await runMain(() => startRouter(config, { log }), log, config.drainMsMax);
