// The control plane's process.
import { readOrExit, runMain } from '@weft/runtime/lifecycle.ts';
import { createLog } from '@weft/runtime/log.ts';
import { readControlPlaneConfig } from './config.ts';
import { startControlPlane } from './control-plane.ts';

const config = readOrExit(() => readControlPlaneConfig(process.env));
const log = createLog({ service: 'control-plane', level: config.logLevel });
await runMain(() => startControlPlane(config, { log }), log, config.drainMsMax);
