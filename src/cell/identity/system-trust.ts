import { createHash, randomUUID } from 'node:crypto';
import { chmod, mkdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { run } from '../../kit/process.ts';
import type { Garden } from '../garden/garden.ts';

export const CERTIFICATE_STORE_DESTINATION = '/etc/ssl/certs';
const BUNDLE = 'ca-certificates.crt';

/**
 * Makes apps trust the instance identity root (IID-08) and the router's: a directory for /etc/cf-system-certificates, and
 * for each stack a copy of its certificate store with the roots added. Both are mounted read-only, so it costs a container nothing.
 */
export class SystemTrust {
  readonly #garden: Garden;
  readonly #directory: string;
  readonly #roots: readonly string[];
  /** All of them as one text. */
  readonly #bundle: string;
  readonly #stores = new Map<string, Promise<string>>();
  #certificates: Promise<string> | null = null;

  /** `roots` in PEM; the instance identity root comes first. */
  constructor(garden: Garden, directory: string, roots: readonly string[]) {
    this.#garden = garden;
    this.#directory = directory;
    this.#roots = roots.map((root) => `${root.trimEnd()}\n`);
    this.#bundle = this.#roots.join('');
  }

  /** The directory with each root as a file of its own, under the names Cloud Foundry gives them. */
  systemCertificates(): Promise<string> {
    this.#certificates ??= (async () => {
      const path = join(this.#directory, `system-${digest(this.#bundle)}`);
      await mkdir(path, { recursive: true, mode: 0o755 });
      for (const [position, root] of this.#roots.entries()) {
        await writeFile(join(path, `trusted-ca-${position + 1}.crt`), root, { mode: 0o644 });
      }
      return path;
    })();
    this.#certificates.catch(() => {
      this.#certificates = null;
    });
    return this.#certificates;
  }

  /** The stack's certificate store with the root in it; read from the stack once in the life of the cell process. */
  store(stack: string): Promise<string> {
    const known = this.#stores.get(stack);
    if (known) return known;
    const made = this.#makeStore(stack);
    this.#stores.set(stack, made);
    made.catch(() => this.#stores.delete(stack));
    return made;
  }

  async #makeStore(stack: string): Promise<string> {
    const temporary = join(this.#directory, `.store-${randomUUID()}`);
    await mkdir(temporary, { recursive: true, mode: 0o755 });
    try {
      await this.#copyStore(stack, temporary);
      const bundle = await readFile(join(temporary, BUNDLE), 'utf8').catch(() => '');
      await rm(join(temporary, BUNDLE), { force: true });
      await writeFile(join(temporary, BUNDLE), `${bundle}${this.#bundle}`, { mode: 0o644 });
      for (const [position, root] of this.#roots.entries()) {
        const name = `cupola-${position + 1}.pem`;
        await writeFile(join(temporary, name), root, { mode: 0o644 });
        const hash = await run('openssl', ['x509', '-noout', '-subject_hash'], { input: root });
        await symlink(name, join(temporary, `${hash.trim()}.0`));
      }
      await chmod(temporary, 0o755);
      const path = join(this.#directory, `store-${digest(`${stack}\n${bundle}${this.#bundle}`)}`);
      if (!(await stat(path).catch(() => null))) await rename(temporary, path);
      return path;
    } finally {
      await rm(temporary, { recursive: true, force: true });
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

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}
