import { createServer, type Server, type Socket } from 'node:net';
import ssh2 from 'ssh2';
import { Admission, PROGRESS, type Visitor } from './admission.ts';
import { ClientConnection } from './connection.ts';
import { readProxyHeader } from './proxy-protocol.ts';
import { ALGORITHMS, LIMITS, type Limits, type SshProxyOptions } from './settings.ts';

export { fingerprintOf, generateHostKey } from './host-key.ts';
export type { CellLink, Limits, SshProxyOptions } from './settings.ts';

/** The room of `cf ssh`. */
export interface SshProxy {
  start(): Promise<void>;
  /** Ends every connection. */
  close(): Promise<void>;
}

const KEEPALIVE_MS = 30_000;
const KEEPALIVES_MISSED = 3;

/** Takes SSH clients in, and carries their sessions to the instances they may reach (CC-04, APM-02). */
export function createSshProxy(options: SshProxyOptions): SshProxy {
  const limits: Limits = { ...LIMITS, ...options.limits };
  const { log } = options;
  const admission = new Admission(limits);
  const sockets = new Set<Socket>();
  const visitors = new Map<string, { visitor: Visitor; socket: Socket }>();
  let users = 0;

  const ssh = new ssh2.Server({
    hostKeys: [options.hostKey],
    ident: 'Cupola',
    algorithms: {
      kex: [...ALGORITHMS.kex],
      serverHostKey: [...ALGORITHMS.serverHostKey],
      cipher: [...ALGORITHMS.cipher],
      hmac: [...ALGORITHMS.hmac],
      compress: [...ALGORITHMS.compress],
    },
    keepaliveInterval: KEEPALIVE_MS,
    keepaliveCountMax: KEEPALIVES_MISSED,
  });
  ssh.on('connection', (client, info) => {
    const found = visitors.get(`${info.ip} ${info.port}`);
    if (!found) return void client.end();
    const { visitor, socket } = found;
    visitor.progress = PROGRESS.greeted;
    client.once('handshake', () => {
      visitor.progress = PROGRESS.keysExchanged;
    });
    client.once('ready', () => {
      admission.leave(visitor);
      users += 1;
      client.once('close', () => {
        users -= 1;
      });
    });
    const { address } = visitor;
    new ClientConnection({
      client,
      socket,
      address,
      proxy: options,
      limits,
      admit: () => users < limits.connections,
      log,
    });
  });

  const take = (socket: Socket, address: string): void => {
    if (socket.destroyed) return;
    const visitor = admission.enter(socket, address);
    const key = `${socket.remoteAddress} ${socket.remotePort}`;
    visitors.set(key, { visitor, socket });
    socket.once('close', () => {
      admission.leave(visitor);
      visitors.delete(key);
    });
    socket.setNoDelay(true);
    ssh.injectSocket(socket);
  };
  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.on('error', () => {}); // its close tells
    socket.once('close', () => sockets.delete(socket));
  };
  const listeners: { server: Server; host: string; port: number }[] = [];
  if (options.public) {
    const server = createServer((socket) => {
      keep(socket);
      take(socket, socket.remoteAddress ?? 'unknown');
    });
    listeners.push({ server, ...options.public });
  }
  if (options.behindRouter) {
    const server = createServer((socket) => {
      keep(socket);
      readProxyHeader(socket).then(
        (address) => (address === null ? socket.destroy() : take(socket, address)),
        () => socket.destroy(),
      );
    });
    listeners.push({ server, ...options.behindRouter });
  }

  return {
    async start() {
      await Promise.all(listeners.map(listen));
      log.info('the SSH proxy listens', { on: listeners.map(({ host, port }) => `${host}:${port}`) });
    },
    async close() {
      const closed = listeners.map(({ server }) => new Promise((resolve) => server.close(resolve)));
      for (const socket of sockets) socket.destroy();
      await Promise.all(closed);
    },
  };
}

async function listen({ server, host, port }: { server: Server; host: string; port: number }): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(port, host, resolve);
  await promise;
}
