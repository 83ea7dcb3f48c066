import { delimiter, dirname, join } from 'node:path';

/** The root of the repository. */
export const root = dirname(import.meta.dirname);

const bin = join(root, 'node_modules', '.bin');

/** The environment in which the pinned Node and the tools of node_modules come first. */
export function toolEnvironment(): NodeJS.ProcessEnv {
  const path = process.env.PATH ?? '';
  return path.startsWith(bin + delimiter) ? process.env : { ...process.env, PATH: bin + delimiter + path };
}
