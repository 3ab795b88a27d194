import { X509Certificate } from 'node:crypto';
import { connect as connectTcp } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { CupolaError } from '../../kit/errors.ts';
import { type ProcessIdentity, signal } from '../../kit/process.ts';

const RELOAD_LIMIT_MS = 10_000;

/** nats-server's configuration: loopback, mutual TLS, no peer but these, by a DNS name of its certificate, files in `directory`. */
export function renderNatsConfig(port: number, directory: string, peers: readonly string[]): string {
  const files = ['cert', 'key', 'ca'].map((name) => `${name}_file: "${directory}/${name}.pem"`).join(', ');
  return `listen: "127.0.0.1:${port}"
max_payload: 65536
max_connections: 256
tls { ${files}, verify_and_map: true, timeout: 5 }
authorization { users: [ ${peers.map((name) => `{ user: "${name}" }`).join(', ')} ], timeout: 5 }
`;
}

/**
 * Has a running server read its files anew, and returns when it shows the certificate. Open connections stay.
 * Throws `nats_not_reloaded`.
 */
export async function reloadNats(server: ProcessIdentity, port: number, cert: string): Promise<void> {
  const wanted = new X509Certificate(cert).fingerprint256;
  signal(server, 'SIGHUP');
  const deadline = Date.now() + RELOAD_LIMIT_MS;
  while ((await shownBy(port)) !== wanted) {
    if (Date.now() > deadline) throw new CupolaError('nats_not_reloaded', 'NATS does not show its new certificate');
    await pause(100);
  }
}

/** The fingerprint of the certificate the server shows; null where none does. It speaks in the clear before TLS begins. */
function shownBy(port: number): Promise<string | null> {
  const { promise, resolve } = Promise.withResolvers<string | null>();
  const plain = connectTcp(port, '127.0.0.1');
  plain.setTimeout(2_000, () => plain.destroy());
  plain.once('error', () => resolve(null));
  plain.once('close', () => resolve(null));
  plain.once('data', () => {
    // Its certificate is looked at, not believed; without one of ours it ends the handshake afterwards.
    const secure = connectTls({ socket: plain, rejectUnauthorized: false }, () => {
      resolve(secure.getPeerX509Certificate()?.fingerprint256 ?? null);
      secure.destroy();
    });
    secure.once('error', () => resolve(null));
  });
  return promise;
}
