import { createServer, type ListenOptions, type Server, type Socket } from 'node:net';
import ssh2 from 'ssh2';
import { EnvelopeSender } from '../contracts/envelope-sender.ts';
import { Admission, PROGRESS, type Visitor } from './admission.ts';
import { ClientConnection } from './connection.ts';
import { Places } from './places.ts';
import { type Remote, readProxyHeader } from './proxy-protocol.ts';
import { ALGORITHMS, LIMITS, type Limits, type SshProxyOptions } from './settings.ts';
import { Unread } from './unread.ts';

export { generateHostKey } from './host-key.ts';

/** The room of `cf ssh`. */
export interface SshProxy {
  start(): Promise<void>;
  /** Ends every connection, and says so in the logs of their apps as far as that is soon done. */
  close(): Promise<void>;
}

const KEEPALIVE_MS = 30_000;
const KEEPALIVES_MISSED = 3;

/** Takes SSH clients in, and carries their sessions to the instances they may reach (CC-04, APM-02). */
export function createSshProxy(options: SshProxyOptions): SshProxy {
  const limits: Limits = { ...LIMITS, ...options.limits };
  const { log } = options;
  const admission = new Admission(limits);
  const envelopes = new EnvelopeSender(options.ingress, log);
  const sockets = new Set<Socket>();
  const visitors = new Map<string, { visitor: Visitor; socket: Socket; remote: Remote }>();
  const shared = {
    connections: new Places(limits.connections, 'SSH connections', log),
    sessions: new Places(limits.allSessions, 'SSH sessions', log),
    unread: new Unread(limits.unreadBytes),
  };

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
    const { visitor, socket, remote } = found;
    visitor.progress = PROGRESS.greeted;
    client.once('handshake', () => {
      visitor.progress = PROGRESS.keysExchanged;
    });
    new ClientConnection({
      client,
      socket,
      remote,
      proxy: options,
      envelopes,
      limits,
      shared,
      entered: () => admission.leave(visitor),
      log,
    });
  });

  let taken = 0;
  const take = (socket: Socket, remote: Remote): void => {
    if (socket.destroyed) return;
    // ssh2 tells of a connection by its address and port; a Unix socket has neither, and several clients may share theirs.
    taken += 1;
    Object.defineProperties(socket, { remoteAddress: { value: remote.address }, remotePort: { value: taken } });
    const visitor = admission.enter(socket, remote.address);
    const key = `${socket.remoteAddress} ${socket.remotePort}`;
    visitors.set(key, { visitor, socket, remote });
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
  const listeners: { server: Server; at: ListenOptions | { fd: number } }[] = [];
  if (options.public) {
    const server = createServer((socket) => {
      keep(socket);
      take(socket, { address: socket.remoteAddress ?? 'unknown', port: socket.remotePort ?? 0 });
    });
    listeners.push({ server, at: options.public });
  }
  if (options.behindRouter) {
    const server = createServer((socket) => {
      keep(socket);
      readProxyHeader(socket).then(
        (remote) => (remote === null ? socket.destroy() : take(socket, remote)),
        () => socket.destroy(),
      );
    });
    listeners.push({ server, at: { fd: options.behindRouter.descriptor } });
  }

  return {
    async start() {
      await Promise.all(listeners.map(listen));
      log.info('the SSH proxy listens', { public: options.public, behindRouter: options.behindRouter !== null });
    },
    async close() {
      const closed = listeners.map(({ server }) => new Promise((resolve) => server.close(resolve)));
      // A server is closed before its connections have said that they are.
      const ended = [...sockets].map((socket) => new Promise((resolve) => socket.once('close', resolve)));
      for (const socket of sockets) socket.destroy();
      await Promise.all([...closed, ...ended]);
      await envelopes.close();
    },
  };
}

async function listen({ server, at }: { server: Server; at: ListenOptions | { fd: number } }): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(at, resolve);
  await promise;
}
