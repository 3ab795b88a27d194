import { createHash, randomUUID, X509Certificate } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, readlink, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { certificatesIn } from '../../kit/pki.ts';
import { run } from '../../kit/process.ts';
import type { Garden } from '../garden/garden.ts';

export const CERTIFICATE_STORE_DESTINATION = '/etc/ssl/certs';
const BUNDLE = 'ca-certificates.crt';
const OWN = 'cupola-root';
/** The stack's own bundle, beside the directory that is mounted into containers. */
const BASE = '.base';

/**
 * Makes apps trust the instance identity roots (IID-08) and the router's: a directory for /etc/cf-system-certificates, and
 * for each stack a copy of its certificate store with the roots added. Both are mounted read-only, so it costs a container nothing.
 * When the roots change, the files change inside of the mounted directories, so that containers that run see it too.
 */
export class SystemTrust {
  readonly #garden: Garden;
  readonly #directory: string;
  #roots: string[];
  readonly #stores = new Map<string, Promise<string>>();
  #certificates: Promise<string> | null = null;

  /** `roots` in PEM, each one or more; the instance identity's come first. */
  constructor(garden: Garden, directory: string, roots: readonly string[]) {
    this.#garden = garden;
    this.#directory = directory;
    this.#roots = certificatesIn(roots.join('\n'));
  }

  /** The directory with each root as a file of its own, under the names Cloud Foundry gives them. */
  systemCertificates(): Promise<string> {
    this.#certificates ??= (async () => {
      const path = join(this.#directory, 'system');
      await mkdir(path, { recursive: true, mode: 0o755 });
      await this.#writeSystem(path);
      return path;
    })();
    this.#certificates.catch(() => {
      this.#certificates = null;
    });
    return this.#certificates;
  }

  /** The stack's certificate store with the roots in it; read from the stack once in the life of the cell process. */
  store(stack: string): Promise<string> {
    const known = this.#stores.get(stack);
    if (known) return known;
    const made = this.#makeStore(stack);
    this.#stores.set(stack, made);
    made.catch(() => this.#stores.delete(stack));
    return made;
  }

  /** Resolves when nothing is being written any more: the next cell process writes to the same places. */
  async settled(): Promise<void> {
    await Promise.allSettled([...this.#stores.values(), this.#certificates]);
  }

  /** From now on these roots are trusted, also in the containers that run. */
  async replaceRoots(roots: readonly string[]): Promise<void> {
    this.#roots = certificatesIn(roots.join('\n'));
    await this.#certificates?.catch(() => {});
    await Promise.allSettled(this.#stores.values());
    const names: string[] = await readdir(this.#directory).catch(() => []);
    if (names.includes('system')) await this.#writeSystem(join(this.#directory, 'system'));
    for (const name of names.filter((entry) => entry.startsWith('store-') && !entry.endsWith(BASE))) {
      await this.#writeStore(join(this.#directory, name));
    }
  }

  async #writeSystem(path: string): Promise<void> {
    for (const [index, root] of this.#roots.entries()) await replaceFile(path, `trusted-ca-${index + 1}.crt`, root);
    for (const name of await readdir(path)) {
      const number = Number(/^trusted-ca-(\d+)\.crt$/.exec(name)?.[1] ?? 0);
      if (number > this.#roots.length) await rm(join(path, name), { force: true });
    }
  }

  async #makeStore(stack: string): Promise<string> {
    const temporary = join(this.#directory, `.store-${randomUUID()}`);
    await mkdir(temporary, { recursive: true, mode: 0o755 });
    try {
      await this.#copyStore(stack, temporary);
      const bundle = await readFile(join(temporary, BUNDLE), 'utf8').catch(() => '');
      const path = join(this.#directory, `store-${digest(`${stack}\n${bundle}`)}`);
      await writeFile(`${path}${BASE}`, bundle, { mode: 0o644 });
      if (!(await stat(path).catch(() => null))) {
        await rm(join(temporary, BUNDLE), { force: true }); // a link out, on some stacks
        await chmod(temporary, 0o755);
        await rename(temporary, path);
      }
      await this.#writeStore(path);
      return path;
    } finally {
      await rm(temporary, { recursive: true, force: true });
    }
  }

  /** Bundle first, then each root as a file that OpenSSL finds by its hash; then what is trusted no more goes. */
  async #writeStore(path: string): Promise<void> {
    const base = await readFile(`${path}${BASE}`, 'utf8');
    await replaceFile(path, BUNDLE, `${base}${this.#roots.join('')}`);
    const keep = new Set<string>();
    for (const [index, root] of this.#roots.entries()) {
      const name = `${OWN}-${digest(new X509Certificate(root).fingerprint256)}.pem`;
      await replaceFile(path, name, root);
      const hash = await run('openssl', ['x509', '-noout', '-subject_hash'], { input: root });
      const link = `${hash.trim()}.${index}`;
      await rm(join(path, `.${link}`), { force: true });
      await symlink(name, join(path, `.${link}`));
      await rename(join(path, `.${link}`), join(path, link));
      keep.add(name).add(link);
    }
    for (const name of await readdir(path)) {
      const target = await readlink(join(path, name)).catch(() => name);
      if (target.startsWith(OWN) && !keep.has(name)) await rm(join(path, name), { force: true });
    }
  }

  /** The stack is the operator's: its files are unpacked on the host as they are. */
  async #copyStore(stack: string, target: string): Promise<void> {
    const handle = `trust-${randomUUID()}`;
    const container = await this.#garden.create({
      handle,
      stack,
      layers: [],
      limits: { memoryBytes: 64 << 20, diskBytes: 64 << 20, pids: 64, cpuShares: 64 },
      binds: [],
      egressRules: [],
      properties: { 'cupola.kind': 'trust' },
    });
    try {
      const tar = await buffer(await container.streamOut(CERTIFICATE_STORE_DESTINATION));
      await run('tar', ['-x', '--no-same-owner', '--strip-components=1', '-C', target], { input: tar });
    } finally {
      await this.#garden.destroy(handle);
    }
  }
}

/** Whole or not at all: who reads it meanwhile sees the old or the new. */
async function replaceFile(directory: string, name: string, text: string): Promise<void> {
  await writeFile(join(directory, `.${name}.new`), text, { mode: 0o644 });
  await rename(join(directory, `.${name}.new`), join(directory, name));
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}
