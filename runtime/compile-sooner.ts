// V8 compiles a function by how often it has run, and forgets what it saw of it until then. A process that is asked a hundred
// times a second stays in such code for minutes.
import { setFlagsFromString } from 'node:v8';

const flags = ['--always-sparkplug', '--no-lazy-feedback-allocation'] as const;

/** From the first call on functions are compiled, and what they meet is noted for the optimising compiler. Call it first: what has run stays as it is. */
export function compileSooner(): void {
  for (const flag of flags) setFlagsFromString(flag);
}
