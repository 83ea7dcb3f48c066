// Single servers for tests: each in a new folder on a free port, gone after stop() or with the test's process.
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isRoot } from './defaults.ts';
import { fetchServers, type ServerName } from './fetch-servers.ts';
import { limits } from './limits.ts';
import { freePort } from './ports.ts';
import { type ProcessPlan, type RunningProcess, startProcess } from './processes.ts';
import { natsPlan, postgresPlan, type ServerPlace, valkeyPlan } from './servers.ts';

export interface TestServer extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly process: RunningProcess;
  /** Stops the server and removes its files. */
  stop(): Promise<void>;
}

export interface TestPostgresOptions {
  /** fsync and synchronous_commit off. */
  readonly fast?: boolean;
  readonly settings?: Readonly<Record<string, string>>;
}

/** An empty PostgreSQL cluster; fsync and synchronous_commit are on unless `fast`. */
export function startTestPostgres(options: TestPostgresOptions = {}): Promise<TestServer> {
  return startTestServer(
    'postgres',
    (place) => postgresPlan(place, options),
    (port) => `postgres://postgres@127.0.0.1:${port}/postgres`,
  );
}

export function startTestRedis(): Promise<TestServer> {
  return startTestServer(
    'valkey-server',
    async (place) => valkeyPlan(place),
    (port) => `redis://127.0.0.1:${port}`,
  );
}

/** A single nats-server without accounts or permissions. */
export function startTestNats(options: { readonly jetstream?: boolean } = {}): Promise<TestServer> {
  return startTestServer(
    'nats-server',
    async (place) => {
      const jetstream = options.jetstream ? 'jetstream { store_dir: "$DIR", max_mem: 64M, max_file: 1G }\n' : '';
      return natsPlan(place, { text: `server_name: test\nlisten: "127.0.0.1:${place.port}"\nmax_payload: 1MB\n${jetstream}` });
    },
    (port) => `nats://127.0.0.1:${port}`,
  );
}

/** A new folder for one test, on the machine's temporary disk and reachable for PostgreSQL's user. */
export function testFolder(): string {
  const dir = mkdtempSync(join(isRoot() ? '/var/tmp' : tmpdir(), 'weft-test-'));
  chmodSync(dir, 0o755);
  return dir;
}

async function startTestServer(
  name: ServerName,
  planAt: (place: ServerPlace) => Promise<ProcessPlan>,
  urlAt: (port: number) => string,
): Promise<TestServer> {
  const servers = await fetchServers([name], (line) => process.stderr.write(`${line}\n`));
  for (let tries = 1; ; tries++) {
    const dataDir = testFolder();
    const port = await freePort();
    try {
      const running = await startProcess(await planAt({ servers, dataDir, name, port }));
      const stop = async (): Promise<void> => {
        await running.stop();
        rmSync(dataDir, { recursive: true, force: true });
      };
      return { url: urlAt(port), port, process: running, stop, [Symbol.asyncDispose]: stop };
    } catch (error) {
      rmSync(dataDir, { recursive: true, force: true });
      if (tries >= limits.testStartsMax) throw error;
    }
  }
}
