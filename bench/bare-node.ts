// A server that does nothing but the barest durable path: it reads a message from a socket, stores whatever waits by one
// insert, answers the writer and pushes to the reader. No log-in, locks, seqs, ids looked up, chain, other cell: what this
// takes is the machine's own. Started by bare-path.ts; the database is its argument.

import { openPipelined } from '@weft/runtime/sql.ts';
import { type WebSocket, WebSocketServer } from 'ws';
import { bareHeadBytes, bareTable } from './bare-frames.ts';
import { benchLimits } from './limits.ts';

interface Waiting {
  readonly writer: WebSocket;
  readonly reader: string;
  readonly frame: Buffer;
}

const insert = `
insert into ${bareTable} (log_id, seq, client_entry_id, body)
select log_id, seq, client_entry_id, body
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[]) as t (log_id, seq, client_entry_id, body)`;

const session = await openPipelined(process.argv[2] ?? '', { name: 'weft-bare', keepsPlans: true });
const readers = new Map<string, WebSocket>();
const waiting: Waiting[] = [];
let seq = 0;
let storing = false;

async function store(): Promise<void> {
  storing = true;
  while (waiting.length > 0) {
    const batch = waiting.splice(0, benchLimits.bareBatchMax);
    const seqs = batch.map(() => String(++seq));
    const logs = batch.map(({ reader }) => reader);
    await session.query({
      name: 'bare',
      text: insert,
      values: [logs, seqs, seqs, batch.map(({ frame }) => frame.subarray(bareHeadBytes))],
    });
    for (const { writer, reader, frame } of batch) {
      writer.send(frame.subarray(0, bareHeadBytes));
      readers.get(reader)?.send(frame);
    }
  }
  storing = false;
}

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false });
server.on('connection', (socket, { url = '' }) => {
  const [, side = '', pair = ''] = url.split('/');
  if (side === 'reader') readers.set(pair, socket);
  socket.on('message', (frame: Buffer) => {
    waiting.push({ writer: socket, reader: pair, frame });
    if (!storing) setImmediate(() => (storing ? undefined : store()));
  });
});
server.on('listening', () => process.send?.({ port: (server.address() as { port: number }).port }));
process.on('disconnect', () => process.exit());
