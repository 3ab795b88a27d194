import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { AuthContext, Connection } from 'ssh2';
import type { EnvelopeSender } from '../contracts/envelope-sender.ts';
import { messageOf } from '../kit/errors.ts';
import type { Logger } from '../kit/log.ts';
import { AccessLines } from './access-lines.ts';
import { serveForwarding } from './forwarding.ts';
import { type Grant, logIn } from './login.ts';
import type { Place, Places } from './places.ts';
import type { Remote } from './proxy-protocol.ts';
import type { Reach } from './reach.ts';
import { refuseConnection, refuseSession } from './refusal.ts';
import { serveSession } from './session.ts';
import type { CellLink, Limits, SshProxyOptions } from './settings.ts';
import type { Sender, Unread } from './unread.ts';

/** A window is 2 MiB; what lies unread beyond that was never granted. */
const UNREAD_BYTES = 4 * 1024 ** 2;
/** Between the end of an instance and the end of its connections, so that exit codes still get through. */
const GRACE_MS = 1000;
const ATTACH_MS = 10_000;

export interface ConnectionOptions {
  client: Connection;
  socket: Socket;
  remote: Remote;
  proxy: SshProxyOptions;
  /** To the logs of apps. */
  envelopes: Pick<EnvelopeSender, 'offer'>;
  limits: Limits;
  /** What all connections share. */
  shared: { connections: Places; sessions: Places; unread: Unread };
  /** Called when its user has a place. */
  entered: () => void;
  log: Logger;
}

/** One client from its greeting to its end. */
export class ClientConnection {
  readonly #options: ConnectionOptions;
  readonly #gone = new AbortController();
  readonly #unread = new Set<Readable>();
  readonly #places = new Set<Place>();
  #sender: Sender | null = null;
  #attempts = 0;
  #served = false;
  #sessions = 0;
  #channels = 0;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    const { client, socket } = options;
    socket.setMaxListeners(0); // each channel waits for the socket
    client.on('authentication', (context) => void this.#authenticate(context));
    client.on('error', () => socket.destroy()); // the client broke the protocol or went away
    client.once('close', () => {
      this.#gone.abort();
      if (this.#sender) options.shared.unread.leave(this.#sender);
      for (const place of this.#places) this.#leave(place);
    });
    socket.on('data', () => {
      if (!this.#served && socket.bytesRead > options.limits.loginBytes) socket.destroy();
      this.#checkUnread();
    });
  }

  async #authenticate(context: AuthContext): Promise<void> {
    const { client, limits, log, remote } = this.#options;
    const { address } = remote;
    // The first question of every client is which methods there are.
    if (context.method === 'none') return context.reject(['password']);
    this.#attempts += 1;
    if (this.#attempts > limits.attempts) return void client.end();
    if (context.method !== 'password') return context.reject(['password']);
    try {
      const grant = await logIn(this.#options.proxy, context.username, context.password, address);
      const place = grant && !this.#gone.signal.aborted ? this.#options.shared.connections.take(grant) : null;
      if (place && 'full' in place) {
        refuseConnection(client, place.full);
        return context.accept();
      }
      if (grant && place) {
        this.#places.add(place);
        if (await this.#open(grant)) {
          log.info('a user opened a connection to an instance', { ...whoAndWhere(grant), address });
          return context.accept();
        }
        this.#leave(place);
      }
      log.info('a login was refused', { user: context.username.slice(0, 100), address });
    } catch (error) {
      log.error('a login could not be decided', { error: messageOf(error), address });
    }
    context.reject(['password']);
  }

  /** Finds the instance on its cell; true when it is there and its connection may begin. */
  async #open(grant: Grant): Promise<boolean> {
    const { client, proxy, log } = this.#options;
    const link = proxy.cell(grant.cell);
    const attached = Promise.withResolvers<boolean>();
    const life = this.#attach(link, grant, () => attached.resolve(true));
    void life
      .catch((error: unknown) => {
        if (!this.#gone.signal.aborted) log.warn('an instance is not to be reached', { error: messageOf(error) });
      })
      .then(async () => {
        attached.resolve(false);
        if (!client.authenticated) return link.close();
        await delay(GRACE_MS);
        client.end();
        link.close();
      });
    const timeout = delay(ATTACH_MS, false, { ref: false });
    if (!(await Promise.race([attached.promise, timeout]))) return false;
    this.#serve(link, grant);
    return true;
  }

  async #attach(link: CellLink, { instanceGuid }: Grant, attached: () => void): Promise<void> {
    for await (const _ of link.ssh.attach({ instanceGuid }, { signal: this.#gone.signal })) attached();
  }

  #serve(link: CellLink, grant: Grant): void {
    const { client, socket, remote, limits, shared, log } = this.#options;
    this.#served = true;
    this.#sender = {
      userGuid: grant.userGuid,
      channels: this.#unread,
      end: () => {
        log.warn('a connection sent more than is taken, and ends', whoAndWhere(grant));
        socket.destroy();
      },
    };
    const lines = new AccessLines(this.#options.envelopes, grant, remote);
    client.once('ready', () => {
      this.#options.entered();
      lines.opened();
      client.once('close', () => lines.ended());
    });
    const reach: Reach = {
      instanceGuid: grant.instanceGuid,
      ssh: link.ssh,
      socket,
      gone: this.#gone.signal,
      log: log.child('session', whoAndWhere(grant)),
      watch: (channel) => {
        this.#unread.add(channel);
        channel.once('close', () => this.#unread.delete(channel));
        channel.on('data', () => this.#countUnread()); // less than before
      },
    };
    client.on('session', (accept, reject) => {
      if (this.#sessions >= limits.sessions || this.#channels >= limits.channels) return void reject();
      this.#sessions += 1;
      this.#channels += 1;
      const place = shared.sessions.take(grant);
      const ended = () => {
        this.#sessions -= 1;
        this.#channels -= 1;
        if ('leave' in place) this.#leave(place);
      };
      if ('full' in place) return refuseSession(accept(), place.full, ended);
      this.#places.add(place);
      serveSession(accept(), reach, ended);
    });
    client.on('tcpip', (accept, reject, info) => {
      if (this.#channels >= limits.channels) return void reject();
      this.#channels += 1;
      void serveForwarding(accept, reject, info, reach).finally(() => {
        this.#channels -= 1;
      });
    });
    // No listener for "request", X11 and agents: remote forwarding (-R, -X, -A) is refused.
  }

  #leave(place: Place): void {
    if (this.#places.delete(place)) place.leave();
  }

  #countUnread(): void {
    if (this.#sender && !this.#gone.signal.aborted) this.#options.shared.unread.count(this.#sender);
  }

  #checkUnread(): void {
    this.#countUnread();
    for (const channel of this.#unread) {
      if (channel.readableLength > UNREAD_BYTES) this.#options.socket.destroy();
    }
  }
}

function whoAndWhere({ userGuid, owner: { appGuid }, index }: Grant) {
  return { userGuid, appGuid, index };
}
