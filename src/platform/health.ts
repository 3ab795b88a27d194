import { request } from 'node:https';
import { Bbs } from '../contracts/gen/diego_pb.js';
import { client, remoteTransport } from '../kit/rpc.ts';
import type { ComponentCertificates } from './certificates.ts';
import type { Layout } from './settings.ts';

const LIMIT_MS = 3_000;

/** How the platform looks from outside of its processes. */
export class Health {
  readonly #layout: Layout;
  readonly #certificates: ComponentCertificates;

  constructor(layout: Layout, certificates: ComponentCertificates) {
    this.#layout = layout;
    this.#certificates = certificates;
  }

  /** Whether the API answers through the router, as a client comes. */
  apiAnswers(): Promise<boolean> {
    const { settings } = this.#layout;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const host = `api.${settings.domain}`;
    const call = request(
      {
        host: settings.bindAddress === '0.0.0.0' ? '127.0.0.1' : settings.bindAddress,
        port: settings.httpsPort,
        path: '/v3/info',
        servername: host,
        headers: { host },
        ca: this.#certificates.roots('router'),
        timeout: LIMIT_MS,
        agent: false,
      },
      (response) => {
        response.resume();
        resolve(response.statusCode === 200);
      },
    );
    call.on('timeout', () => call.destroy());
    call.on('error', () => resolve(false));
    call.end();
    return promise;
  }

  /** When the registry heard of each cell last (ISO 8601); nothing while it does not answer. */
  async cellsSeen(): Promise<Map<string, string>> {
    try {
      const { cells } = await (await this.#registry()).cells({});
      return new Map(cells.map((cell) => [cell.cellId, new Date(Number(cell.lastSeenNs / 1_000_000n)).toISOString()]));
    } catch {
      return new Map();
    }
  }

  #made: { roots: string; until: number; bbs: ReturnType<typeof client<typeof Bbs>> } | null = null;

  /** With a certificate of its own, made anew when the roots change and once a day. */
  async #registry() {
    const roots = this.#certificates.roots('platform');
    if (this.#made?.roots === roots && Date.now() < this.#made.until) return this.#made.bbs;
    const identity = await this.#certificates.component('supervisor');
    const url = `https://127.0.0.1:${this.#layout.settings.ports.rpc}`;
    const bbs = client(Bbs, remoteTransport(url, identity, 'control', LIMIT_MS));
    this.#made = { roots, until: Date.now() + 86_400_000, bbs };
    return bbs;
  }
}
