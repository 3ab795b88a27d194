import { X509Certificate } from 'node:crypto';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makeDirectory, replaceFile } from '../../kit/owned-files.ts';
import type { KeyAndCertificate } from '../../kit/pki.ts';

/** Where an app finds its certificate and key (IID-01, IID-09). */
export const CREDENTIALS_DESTINATION = '/etc/cf-instance-credentials';
export const SYSTEM_CERTIFICATES_DESTINATION = '/etc/cf-system-certificates';

const CERTIFICATE = 'instance.crt';
const KEY = 'instance.key';

/** The directories with certificate and key of each container, mounted into it read-only. */
export class CredentialDirectories {
  readonly #root: string;

  /** `root` is best on a memory file system: keys need not survive the machine. */
  constructor(root: string) {
    this.#root = root;
  }

  pathOf(handle: string): string {
    return join(this.#root, handle);
  }

  /** An empty directory that nobody but root can enter until `write` gives it to the container's user. */
  async prepare(handle: string): Promise<string> {
    const path = this.pathOf(handle);
    await mkdir(path, { recursive: true, mode: 0o700 });
    return path;
  }

  /** Puts both files in place, each by rename: a reader sees an old or a new file, never half of one (IID-10). */
  async write(handle: string, identity: KeyAndCertificate, uid: number): Promise<void> {
    const path = this.pathOf(handle);
    const owner = { uid, gid: uid };
    replaceFile(join(path, KEY), identity.key, { mode: 0o400, owner });
    replaceFile(join(path, CERTIFICATE), identity.cert, { mode: 0o400, owner });
    makeDirectory(path, { mode: 0o500, owner });
  }

  /** What lies there and until when it is valid (milliseconds); null where nothing does. */
  async read(handle: string): Promise<(KeyAndCertificate & { expiresAt: number }) | null> {
    try {
      const path = this.pathOf(handle);
      const [cert, key] = await Promise.all([
        readFile(join(path, CERTIFICATE), 'utf8'),
        readFile(join(path, KEY), 'utf8'),
      ]);
      return { cert, key, expiresAt: new X509Certificate(cert).validToDate.getTime() };
    } catch {
      return null;
    }
  }

  async remove(handle: string): Promise<void> {
    await rm(this.pathOf(handle), { recursive: true, force: true });
  }
}
