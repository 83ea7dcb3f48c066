// Serves one page with the SDK as ES modules: TypeScript with its types taken out, file by file, and an import map for the packages.
import { readFile } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { stripTypeScriptTypes } from 'node:module';
import type { AddressInfo } from 'node:net';
import { normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = new URL('../../', import.meta.url);
const imports = {
  '@weft/client/': '/clients/sdk/',
  '@weft/proto/': '/proto/',
  '@noble/hashes/': '/node_modules/@noble/hashes/',
  '@bufbuild/protobuf/wire': '/node_modules/@bufbuild/protobuf/dist/esm/wire/index.js',
};
const page = `<!doctype html><title>Weft</title><script type="importmap">${JSON.stringify({ imports })}</script>
<script type="module">
import { Weft } from '@weft/client/weft.ts';
import { idbOutbox } from '@weft/client/outbox-idb.ts';
Object.assign(globalThis, { Weft, idbOutbox, loaded: true });
</script>`;

export class PageServer implements AsyncDisposable {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<PageServer> {
    const server = createServer((request, response) => {
      serve(request.url ?? '/', response).catch((error: unknown) => response.writeHead(404).end(String(error)));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new PageServer(server);
  }

  /** Origin of the page. */
  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

async function serve(path: string, response: ServerResponse): Promise<void> {
  if (path === '/') {
    response.writeHead(200, { 'content-type': 'text/html' }).end(page);
    return;
  }
  const isOurs = ['/clients/sdk/', '/proto/', '/node_modules/@noble/', '/node_modules/@bufbuild/'].some((start) => path.startsWith(start));
  if (!isOurs || normalize(path) !== path) throw new Error(`there is no ${path}`);
  const text = await readFile(fileURLToPath(new URL(`.${path}`, root)), 'utf8');
  const script = path.endsWith('.ts') ? stripTypeScriptTypes(text) : text;
  response.writeHead(200, { 'content-type': 'text/javascript' }).end(script);
}
