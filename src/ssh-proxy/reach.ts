import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import type { Client } from '@connectrpc/connect';
import type { CellSsh } from '../contracts/gen/ssh_pb.js';
import type { Logger } from '../kit/log.ts';

/** What the channels of one connection share once its user is known. */
export interface Reach {
  instanceGuid: string;
  ssh: Client<typeof CellSsh>;
  socket: Socket;
  /** Aborts when the connection is gone. */
  gone: AbortSignal;
  log: Logger;
  /** Bounds what a client may send beyond the window it was granted. */
  watch(channel: Readable): void;
}
