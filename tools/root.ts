import { delimiter, dirname, join } from 'node:path';

/** The root of the repository. */
export const root = dirname(import.meta.dirname);

const bin = join(root, 'node_modules', '.bin');
/** Where Node keeps what it compiled for the next process: up to half of what a short one takes. */
const compiled = join(root, 'node_modules', '.cache', 'compiled');

/** The environment in which the pinned Node and the tools of node_modules come first, and what they compiled is kept. */
export function toolEnvironment(): NodeJS.ProcessEnv {
  const path = process.env.PATH ?? '';
  return {
    NODE_COMPILE_CACHE: compiled,
    ...process.env,
    PATH: path.startsWith(bin + delimiter) ? path : bin + delimiter + path,
  };
}
