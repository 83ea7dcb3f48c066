// Loaded into the nodes of a private fabric: on SIGUSR2 everything that is garbage is collected, and then a file says what
// is left. Otherwise the growth of a node's memory tells when V8 last felt like collecting.

import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const folder = new URL(import.meta.url).searchParams.get('folder') ?? '.';

process.on('SIGUSR2', () => {
  setFlagsFromString('--expose-gc');
  // "last-resort" also gives back what V8 keeps for the next allocation, and what weak references and finalizers held.
  (runInNewContext('gc') as NodeJS.GCFunction)({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  const file = join(folder, `${process.pid}.json`);
  writeFileSync(`${file}.new`, JSON.stringify(process.memoryUsage()));
  renameSync(`${file}.new`, file);
});
