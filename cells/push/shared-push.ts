// One push for many sockets: the bytes of each encoding are made once, at first need.
import { ServerFrame } from '@weft/proto/gen/weft/client/v1/client.ts';
import type { Entry } from '../delivery/entry.ts';
import { encodePush } from '../wire/frames.ts';
import { textMessage, webSocketMessage } from '../wire/websocket-frame.ts';

export class SharedPush {
  readonly entries: readonly Entry[];
  #proto: Buffer | undefined;
  #json: Buffer | undefined;

  constructor(entries: readonly Entry[]) {
    this.entries = entries;
  }

  /** A whole WebSocket message, header included. */
  get proto(): Buffer {
    this.#proto ??= webSocketMessage(encodePush(this.entries));
    return this.#proto;
  }

  get json(): Buffer {
    this.#json ??= textMessage(JSON.stringify(ServerFrame.toJSON(ServerFrame.decode(encodePush(this.entries)))));
    return this.#json;
  }
}
