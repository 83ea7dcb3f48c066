import { fileURLToPath, pathToFileURL } from 'node:url';

/** NODE_OPTIONS that make a node collect when it is asked to. */
export function collectingOption(folder: string): string {
  const module = pathToFileURL(fileURLToPath(new URL('collect-on-signal.ts', import.meta.url)));
  module.searchParams.set('folder', folder);
  return `--import=${module.href}`;
}
