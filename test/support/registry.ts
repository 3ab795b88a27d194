import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomUUID, sign } from 'node:crypto';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { createRoot, type KeyAndCertificate } from '../../src/kit/pki.ts';
import { PLAIN_ENVIRONMENT } from '../../src/kit/process.ts';
import { type ArchiveEntry, tar } from './archives.ts';

const PROGRAM = '/usr/bin/docker-registry';
const BUSYBOX = '/bin/busybox';

/** Why tests of images cannot run here; false where they can. */
export const REGISTRY_SKIP = !existsSync(PROGRAM)
  ? 'needs docker-registry'
  : existsSync(BUSYBOX)
    ? false
    : 'needs busybox-static';

/** Who may pull where the registry asks. The hash is bcrypt's of the password. */
export const READER = {
  username: 'reader',
  password: 'jQ7-registry-pull-4d2e',
  hash: '$2y$05$abcdefghijklmnopqrstuuJCNzTq5f8vIxYb84B1zvy2uKSJaNBVG',
};

export interface TestRegistry {
  /** "127.0.0.1:22200" */
  host: string;
  /** Of the service that gives its tokens, where it has one. */
  tokenHosts: string[];
  /** Paths that were asked for, in order. */
  asked(): string[];
  push(repository: string, tag: string, image: TestImage): Promise<PushedImage>;
  stop(): Promise<void>;
}

export interface TestImage {
  /** Tars, lowest first. */
  layers: readonly Buffer[];
  config?: Readonly<Record<string, unknown>>;
  /** How layers travel; gzip by default. */
  encode?: (layer: Buffer) => Buffer;
  /** Instead of what is true. */
  diffIds?: readonly string[];
  kind?: 'docker' | 'oci';
}

export interface PushedImage {
  /** "127.0.0.1:22200/team/app:1" */
  reference: string;
  digest: string;
  layers: { digest: string; size: number }[];
}

/** Debian's docker-registry on a port of loopback, its blobs in a directory of its own. */
export async function startRegistry(port: number, auth: 'none' | 'basic' | 'token' = 'none'): Promise<TestRegistry> {
  const host = `127.0.0.1:${port}`;
  if (await fetch(`http://${host}/`).catch(() => null)) throw new Error(`something answers at ${host} already`);
  const directory = mkdtempSync('/tmp/cupola-registry-');
  const log = join(directory, 'log');
  const tokens = auth === 'token' ? await startTokenService(directory) : null;
  writeFileSync(join(directory, 'htpasswd'), `${READER.username}:${READER.hash}\n`);
  const authentication = {
    none: '',
    basic: `auth:\n  htpasswd:\n    realm: images\n    path: ${directory}/htpasswd\n`,
    token: `auth:\n  token:\n    realm: ${tokens?.url}\n    service: images\n    issuer: tests\n    rootcertbundle: ${directory}/tokens.pem\n`,
  }[auth];
  const storage = `storage:\n  filesystem:\n    rootdirectory: ${directory}/blobs\n`;
  writeFileSync(
    join(directory, 'config.yml'),
    `version: 0.1\nlog:\n  accesslog:\n    disabled: false\n${storage}http:\n  addr: ${host}\n${authentication}`,
  );
  const out = openSync(log, 'w');
  const child = spawn(PROGRAM, ['serve', join(directory, 'config.yml')], {
    env: PLAIN_ENVIRONMENT,
    stdio: ['ignore', out, out],
  });
  closeSync(out);
  const headers =
    auth === 'none'
      ? () => ({})
      : auth === 'basic'
        ? () => ({ authorization: `Basic ${Buffer.from(`${READER.username}:${READER.password}`).toString('base64')}` })
        : (repository: string) => ({ authorization: `Bearer ${tokens!.issue(repository, ['pull', 'push'])}` });
  await untilUp(`http://${host}/v2/`, child);
  return {
    host,
    tokenHosts: tokens ? [new URL(tokens.url).host] : [],
    asked: () => [...readFileSync(log, 'utf8').matchAll(/"(?:GET|HEAD) (\/v2\/\S*)/g)].map(([, path]) => path!),
    push: (repository, tag, image) => push({ host, repository, tag, headers: headers(repository) }, image),
    async stop() {
      const ended = child.exitCode === null ? new Promise((resolve) => child.once('exit', resolve)) : null;
      child.kill('SIGTERM');
      await ended;
      await tokens?.stop();
      rmSync(directory, { recursive: true });
    },
  };
}

type Answer = Buffer | { status: number; headers: Record<string, string | undefined> } | null;

/** A registry that answers as the test wants: null is 404. */
export async function hostileRegistry(
  answer: (path: string, headers: IncomingHttpHeaders) => Answer,
): Promise<{ host: string; connections(): Promise<number>; stop(): Promise<unknown> }> {
  const server = createServer((request, response) => {
    const said = answer(request.url ?? '', request.headers);
    if (Buffer.isBuffer(said)) return void response.writeHead(200).end(said);
    response.writeHead(said?.status ?? 404, { ...said?.headers }).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections: promisify(server.getConnections.bind(server)),
    stop: () => new Promise((resolve) => server.close(resolve)),
  };
}

async function untilUp(url: string, child: ChildProcess): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    if (child.exitCode !== null) throw new Error(`docker-registry ended with ${child.exitCode}`);
    if (await fetch(url).catch(() => null)) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error('docker-registry did not come up');
}

/** Gives tokens to the reader, and to anybody for repositories below "public/". */
async function startTokenService(directory: string) {
  const root = await createRoot('tests', new Date(Date.now() - 60_000), new Date(Date.now() + 3_600_000));
  writeFileSync(join(directory, 'tokens.pem'), root.cert);
  const issue = (repository: string, actions: string[]) => jwt(root, repository, actions);
  const known = `Basic ${Buffer.from(`${READER.username}:${READER.password}`).toString('base64')}`;
  const server: Server = createServer((request, response) => {
    const scope = new URL(request.url ?? '', 'http://x').searchParams.get('scope') ?? '';
    const [, repository = ''] = /^repository:(.+):pull$/.exec(scope) ?? [];
    const may = request.headers.authorization === known || repository.startsWith('public/');
    response.writeHead(may ? 200 : 401, { 'content-type': 'application/json' });
    response.end(JSON.stringify(may ? { token: issue(repository, ['pull']) } : { details: 'no' }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/token`,
    issue,
    stop: () => new Promise((resolve) => server.close(resolve)),
  };
}

/** The distribution project's "Token Authentication Implementation". */
function jwt(root: KeyAndCertificate, repository: string, actions: string[]): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const certificate = root.cert.replace(/-----[^-]+-----|\s/g, '');
  const now = Math.floor(Date.now() / 1000);
  const times = { exp: now + 300, nbf: now - 10, iat: now, jti: randomUUID() };
  const claims = { iss: 'tests', sub: 'reader', aud: 'images', ...times };
  const access = [{ type: 'repository', name: repository, actions }];
  const text = `${part({ typ: 'JWT', alg: 'ES256', x5c: [certificate] })}.${part({ ...claims, access })}`;
  return `${text}.${sign('sha256', Buffer.from(text), { key: root.key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

interface Target {
  host: string;
  repository: string;
  tag: string;
  headers: Record<string, string>;
}

/** The distribution specification, "Pushing". */
async function push(target: Target, image: TestImage): Promise<PushedImage> {
  const encode = image.encode ?? ((layer: Buffer) => gzipSync(layer, { level: 1 }));
  const blobs = image.layers.map(encode);
  const oci = image.kind === 'oci';
  const diffIds = image.diffIds ?? image.layers.map(digestOf);
  const config = Buffer.from(
    JSON.stringify({
      architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
      os: 'linux',
      config: image.config ?? {},
      rootfs: { type: 'layers', diff_ids: diffIds },
    }),
  );
  for (const blob of [...blobs, config]) await pushBlob(target, blob);
  const vendor = oci ? 'application/vnd.oci.image' : 'application/vnd.docker';
  const layers = blobs.map((blob) => ({
    mediaType: oci ? `${vendor}.layer.v1.tar+gzip` : `${vendor}.image.rootfs.diff.tar.gzip`,
    digest: digestOf(blob),
    size: blob.length,
  }));
  const mediaType = oci ? `${vendor}.manifest.v1+json` : `${vendor}.distribution.manifest.v2+json`;
  const manifest = {
    schemaVersion: 2,
    mediaType,
    config: {
      mediaType: oci ? `${vendor}.config.v1+json` : `${vendor}.container.image.v1+json`,
      digest: digestOf(config),
      size: config.length,
    },
    layers,
  };
  const digest = await pushManifest(target, target.tag, mediaType, Buffer.from(JSON.stringify(manifest)));
  return { reference: `${target.host}/${target.repository}:${target.tag}`, digest, layers };
}

async function pushManifest(target: Target, name: string, mediaType: string, body: Buffer): Promise<string> {
  const { host, repository, headers } = target;
  const response = await fetch(`http://${host}/v2/${repository}/manifests/${name}`, {
    method: 'PUT',
    headers: { ...headers, 'content-type': mediaType },
    body: new Uint8Array(body),
  });
  if (response.status !== 201) throw new Error(`manifest: ${response.status} ${await response.text()}`);
  return digestOf(body);
}

async function pushBlob({ host, repository, headers }: Target, blob: Buffer): Promise<void> {
  const begun = await fetch(`http://${host}/v2/${repository}/blobs/uploads/`, { method: 'POST', headers });
  const location = new URL(begun.headers.get('location') ?? '', `http://${host}`);
  location.searchParams.set('digest', digestOf(blob));
  const response = await fetch(location, {
    method: 'PUT',
    headers: { ...headers, 'content-type': 'application/octet-stream' },
    body: new Uint8Array(blob),
  });
  if (response.status !== 201) throw new Error(`blob: ${response.status} ${await response.text()}`);
}

export function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** Of an image of these layers, as tars. */
export function configOf(layers: readonly Buffer[]): Buffer {
  return Buffer.from(JSON.stringify({ config: {}, rootfs: { type: 'layers', diff_ids: layers.map(digestOf) } }));
}

/** Of an image of these layers, as they travel. */
export function manifestOf(config: Buffer, layers: readonly { digest: string; size: number }[]): Buffer {
  const described = { mediaType: 'x', digest: digestOf(config), size: config.length };
  return Buffer.from(JSON.stringify({ schemaVersion: 2, config: described, layers }));
}

/** A small system: busybox with its commands as links, users, a world-writable /tmp. */
export function busyboxLayer(more: readonly ArchiveEntry[] = []): Buffer {
  const commands = [
    ...[
      'sh',
      'cat',
      'echo',
      'env',
      'find',
      'grep',
      'head',
      'httpd',
      'id',
      'ls',
      'mkdir',
      'mount',
      'nc',
      'pwd',
      'sleep',
    ],
    ...['stat', 'su', 'test', 'touch', 'wget', 'chown', 'unshare', 'hostname', 'rm', 'chmod'],
  ];
  return tar([
    { name: 'bin/', type: 'directory' },
    { name: 'bin/busybox', content: readFileSync(BUSYBOX), mode: 0o755 },
    ...commands.map((name): ArchiveEntry => ({ name: `bin/${name}`, type: 'link', link: 'bin/busybox' })),
    { name: 'etc/', type: 'directory' },
    {
      name: 'etc/passwd',
      content: 'root:x:0:0:root:/root:/bin/sh\nweb:x:1234:1235:web:/srv:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n',
    },
    { name: 'etc/group', content: 'root:x:0:\nweb:x:1235:\nlog:x:77:web\nnogroup:x:65534:\n' },
    { name: 'tmp/', type: 'directory', mode: 0o1777 },
    { name: 'root/', type: 'directory', mode: 0o700 },
    ...more,
  ]);
}
