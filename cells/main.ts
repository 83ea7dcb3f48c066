// The process of a cell's node.
import { readOrExit, runMain } from '@weft/runtime/lifecycle.ts';
import { createLog } from '@weft/runtime/log.ts';
import { startCellNode } from './cells.ts';
import { readCellConfig } from './config.ts';

const config = readOrExit(() => readCellConfig(process.env));
const log = createLog({ service: 'cells', cell: config.cell.name, node: config.node, level: config.logLevel });
await runMain((signal) => startCellNode(config, { log, signal }), log, config.drainMsMax);
