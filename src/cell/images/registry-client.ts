import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { CupolaError } from '../../kit/errors.ts';
import { isRecord } from '../../kit/json.ts';
import { digesting } from '../staging/digest.ts';
import { type Descriptor, type Manifest, MEDIA_TYPES, readManifest } from './manifest.ts';
import { type ImageReference, manifestName } from './reference.ts';
import type { RegistryAccess } from './registry-access.ts';

export interface RegistryCredentials {
  username: string;
  password: string;
}

/** What the registry gave for a reference. */
export interface FetchedManifest {
  /** Of what the tag led to: an index of platforms where there is one. Pins the image. */
  digest: string;
  manifest: Manifest;
}

const MOST_JSON_BYTES = 4 * 1024 * 1024;

/** Reads one repository of a registry: the distribution specification 1.0, pull. */
export class RegistryClient {
  readonly #access: RegistryAccess;
  readonly #reference: ImageReference;
  readonly #credentials: RegistryCredentials | null;
  readonly #signal: AbortSignal;
  #authorization: string | null = null;

  constructor(
    access: RegistryAccess,
    reference: ImageReference,
    credentials: RegistryCredentials | null,
    signal: AbortSignal,
  ) {
    this.#access = access;
    this.#reference = reference;
    this.#credentials = credentials;
    this.#signal = signal;
  }

  /**
   * The manifest for this machine's platform. Throws `image_unauthorized`, `image_not_found`, `image_invalid`,
   * `image_unsupported`, `registry_failed`, `registry_unreachable`, `registry_forbidden`.
   */
  async manifest(): Promise<FetchedManifest> {
    const first = await this.#manifest(manifestName(this.#reference));
    const found = readManifest(first.json);
    if (!('descriptor' in found)) return { digest: first.digest, manifest: found };
    const chosen = readManifest((await this.#manifest(found.descriptor.digest)).json);
    if ('descriptor' in chosen) throw new CupolaError('image_unsupported', 'the image is an index of indexes');
    return { digest: first.digest, manifest: chosen };
  }

  /** A small blob as text, its digest checked. */
  async json({ digest, size }: Descriptor): Promise<string> {
    if (size > MOST_JSON_BYTES) throw new CupolaError('image_invalid', 'the configuration of the image is too large');
    const body = await this.#get(`blobs/${digest}`, {});
    return text(checked(body, digest, size));
  }

  /** A blob as it comes; the stream fails at its end where it is not what `descriptor` says, and past its size at once. */
  async blob({ digest, size }: Descriptor): Promise<Readable> {
    return checked(await this.#get(`blobs/${digest}`, {}), digest, size);
  }

  async #manifest(name: string): Promise<{ json: string; digest: string }> {
    const accept = [...MEDIA_TYPES.manifests, ...MEDIA_TYPES.indexes].join(', ');
    const body = await this.#get(`manifests/${name}`, { accept });
    const bounded = digesting({ maximum: MOST_JSON_BYTES });
    const json = await text(body.pipe(bounded.stream).on('error', () => body.destroy()));
    const digest = `sha256:${createHash('sha256').update(json).digest('hex')}`;
    if (name.startsWith('sha256:') && name !== digest) {
      throw new CupolaError('image_invalid', 'the registry gave another manifest than was asked for');
    }
    return { json, digest };
  }

  async #get(path: string, headers: Readonly<Record<string, string>>): Promise<IncomingMessage> {
    const { registry, repository } = this.#reference;
    const url = new URL(`v2/${repository}/${path}`, this.#access.base(registry));
    let response = await this.#ask(url, headers);
    if (response.statusCode === 401) {
      const challenge = response.headers['www-authenticate'] ?? '';
      response.destroy();
      this.#authorization = await this.#answer(challenge);
      response = await this.#ask(url, headers);
    }
    if (response.statusCode === 200) return response;
    response.destroy();
    throw refusal(response.statusCode ?? 0);
  }

  #ask(url: URL, headers: Readonly<Record<string, string>>): Promise<IncomingMessage> {
    const all: Record<string, string> = { ...headers };
    if (this.#authorization !== null) all['authorization'] = this.#authorization;
    return this.#access.get(url, all, this.#signal);
  }

  /** What to send for a WWW-Authenticate challenge (RFC 9110, 11.6.1; the distribution project's token authentication). */
  async #answer(challenge: string): Promise<string> {
    const [, scheme = ''] = /^\s*(\w+)/.exec(challenge) ?? [];
    if (scheme.toLowerCase() === 'basic' && this.#credentials) return basic(this.#credentials);
    if (scheme.toLowerCase() !== 'bearer') throw refusal(401);
    const parameters = new Map(
      [...challenge.matchAll(/(\w+)="([^"]*)"/g)].map(([, name = '', value = '']) => [name.toLowerCase(), value]),
    );
    const realm = URL.parse(parameters.get('realm') ?? '');
    if (!realm) throw refusal(401);
    const service = parameters.get('service');
    if (service !== undefined) realm.searchParams.set('service', service);
    realm.searchParams.set('scope', `repository:${this.#reference.repository}:pull`);
    const headers: Record<string, string> = {};
    if (this.#credentials) headers['authorization'] = basic(this.#credentials);
    const response = await this.#access.get(realm, headers, this.#signal);
    if (response.statusCode !== 200) {
      response.destroy();
      throw refusal(response.statusCode === 403 ? 401 : (response.statusCode ?? 0));
    }
    return `Bearer ${tokenOf(await text(response.pipe(digesting({ maximum: MOST_JSON_BYTES }).stream)))}`;
  }
}

function checked(body: IncomingMessage, digest: string, size: number): Readable {
  const { stream } = digesting({ expected: digest.slice('sha256:'.length), maximum: size });
  body.on('error', (error) => stream.destroy(error));
  body.on('aborted', () => stream.destroy(new CupolaError('registry_unreachable', 'the registry broke off')));
  stream.on('close', () => body.destroy());
  return body.pipe(stream);
}

function basic({ username, password }: RegistryCredentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

function tokenOf(json: string): string {
  try {
    const answer: unknown = JSON.parse(json);
    if (isRecord(answer)) {
      const { token, access_token: access } = answer;
      const found = token ?? access;
      if (typeof found === 'string' && /^[\x21-\x7e]+$/.test(found)) return found;
    }
  } catch {
    // said below
  }
  throw new CupolaError('registry_failed', 'the token service of the registry gave no token');
}

function refusal(status: number): CupolaError {
  if (status === 401 || status === 403) {
    return new CupolaError(
      'image_unauthorized',
      'the registry refuses access to the image: it does not exist, or user name and password are missing or wrong',
    );
  }
  if (status === 404) return new CupolaError('image_not_found', 'the registry has no such image');
  return new CupolaError('registry_failed', `the registry answered with status ${status}`);
}
