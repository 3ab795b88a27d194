import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { getCACertificates } from 'node:tls';
import { CupolaError } from '../../kit/errors.ts';
import { lookupPublic, refuseInternalLiteral } from './addresses.ts';

/** Which registries the operator lets be what others may not. Entries are "host" (every port) or "host:port". */
export interface RegistrySettings {
  /** May be at internal addresses. */
  allowed: readonly string[];
  /** May be at internal addresses, and are spoken to over plain HTTP. */
  insecure: readonly string[];
}

const MOST_REDIRECTS = 5;
const IDLE_MS = 60_000;

/** The only way out of the image room: every connection, those of redirects and token services too, is judged here (SECURITY 28). */
export class RegistryAccess {
  readonly #settings: RegistrySettings;
  readonly #trusted = [...new Set([...getCACertificates('default'), ...getCACertificates('system')])];

  constructor(settings: RegistrySettings) {
    this.#settings = settings;
  }

  /** Where a registry's API is: Docker Hub's is on a host of its own. */
  base(registry: string): URL {
    const host = registry === 'docker.io' ? 'registry-1.docker.io' : registry;
    return new URL(`${this.#isListed(this.#settings.insecure, hostAndPort(host)) ? 'http' : 'https'}://${host}/`);
  }

  /**
   * GET with redirects followed. An `authorization` header goes to no other origin. Throws `registry_forbidden`,
   * `registry_unreachable`. No address and no header stands in an error: URLs of blobs are secrets of their own.
   */
  async get(url: URL, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<IncomingMessage> {
    let target = url;
    let sent = headers;
    for (let hop = 0; hop <= MOST_REDIRECTS; hop += 1) {
      const response = await this.#open(target, sent, signal);
      const location = isRedirect(response.statusCode) ? response.headers.location : undefined;
      if (location === undefined) return response;
      response.destroy();
      const next = URL.parse(location, target);
      if (!next) break;
      if (next.origin !== target.origin) sent = withoutAuthorization(sent);
      target = next;
    }
    throw new CupolaError('registry_failed', 'the registry redirects without end');
  }

  #open(url: URL, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<IncomingMessage> {
    const plain = url.protocol === 'http:';
    const host = hostAndPort(url.host, plain ? '80' : '443');
    const insecure = this.#isListed(this.#settings.insecure, host);
    if (url.username !== '' || url.password !== '' || !(url.protocol === 'https:' || (plain && insecure))) {
      throw new CupolaError('registry_forbidden', `the registry ${url.hostname} is not spoken to without TLS`);
    }
    const internal = insecure || this.#isListed(this.#settings.allowed, host);
    if (!internal) refuseInternalLiteral(url.hostname);
    const options: RequestOptions = {
      headers: { 'user-agent': 'cupola', ...headers },
      signal,
      timeout: IDLE_MS,
      agent: false,
      ...(internal ? {} : { lookup: lookupPublic }),
      ...(plain ? {} : { ca: this.#trusted, minVersion: 'TLSv1.2' }),
    };
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const request = (plain ? httpRequest : httpsRequest)(url, options, resolve);
    request.on('timeout', () => request.destroy(new CupolaError('registry_unreachable', 'the registry went quiet')));
    request.on('error', (cause) => reject(signal.aborted ? signal.reason : failure(cause)));
    request.end();
    return promise;
  }

  #isListed(list: readonly string[], host: string): boolean {
    const name = host.replace(/:\d+$/, '');
    return list.some((entry) => entry.toLowerCase() === host || entry.toLowerCase() === name);
  }
}

/** "Example.org" → "example.org:443". */
function hostAndPort(host: string, port = '443'): string {
  return (/:\d+$/.test(host) ? host : `${host}:${port}`).toLowerCase();
}

function isRedirect(status: number | undefined): boolean {
  return status !== undefined && [301, 302, 303, 307, 308].includes(status);
}

function withoutAuthorization(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name.toLowerCase() !== 'authorization'));
}

function failure(cause: Error & { code?: string }): CupolaError {
  if (cause instanceof CupolaError) return cause;
  const tls = cause.code?.startsWith('ERR_TLS') || cause.code?.includes('CERT') || cause.code?.includes('SIGNATURE');
  const why = tls
    ? 'its certificate is not trusted'
    : cause.code === 'ENOTFOUND' || cause.code === 'EAI_AGAIN'
      ? 'its name is not known'
      : cause.code === 'ECONNREFUSED'
        ? 'it refuses connections'
        : 'the connection failed';
  return new CupolaError('registry_unreachable', `the registry could not be reached: ${why}`, { cause });
}
