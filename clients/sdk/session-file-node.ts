import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

import type { Session, SessionStore } from './session-store.ts';

/** A session in a file of mode 0600, replaced as a whole; the folder is made when needed. */
export function fileSession(path: string): SessionStore {
  return {
    load: async () => {
      try {
        return JSON.parse(await readFile(path, 'utf8')) as Session;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw error;
      }
    },
    save: async (session) => {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      const fresh = `${path}.new`;
      const file = await open(fresh, 'w', 0o600);
      try {
        await file.writeFile(`${JSON.stringify(session)}\n`);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(fresh, path);
    },
    clear: () => rm(path, { force: true }),
  };
}
