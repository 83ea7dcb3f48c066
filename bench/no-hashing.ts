// Loaded into the nodes of a private fabric: SHA-256 of the chain gives the same 32 bytes for everything, at once. Entries still
// carry their 34 bytes and both sides still compare them, so what is missing is the hashing alone.

import { registerHooks } from 'node:module';

const stub = 'const hash = Buffer.alloc(32, 1); export const sha256 = () => hash;';

registerHooks({
  load: (url, context, next) =>
    url.endsWith('/runtime/sha256.ts') ? { format: 'module', source: stub, shortCircuit: true } : next(url, context),
});
