import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export interface TestPackage {
  name: string;
  version: string;
  /** Content by path. */
  files?: Readonly<Record<string, string | Buffer>>;
  /** Modes of those files other than 755. */
  modes?: Readonly<Record<string, number>>;
}

/** A source of packages for apt, signed by a key of its own. */
export class PackageRepository {
  readonly directory = mkdtempSync('/tmp/cupola-packages-');
  /** Of the key that signs it. */
  readonly keyring = join(this.directory, 'key.gpg');
  readonly #keys = join(this.directory, 'keys');

  constructor() {
    chmodSync(this.directory, 0o755); // apt's own user reads it
    mkdirSync(this.#keys, { mode: 0o700 });
    this.#gpg('--passphrase', '', '--quick-generate-key', 'test', 'ed25519', 'sign', 'never');
    this.#gpg('--output', this.keyring, '--export', 'test');
  }

  /** A line of sources.list(5). */
  line(keyring = this.keyring): string {
    return `deb [signed-by=${keyring}] copy:${this.directory} ./`;
  }

  /** From here on it has these packages. */
  offer(packages: readonly TestPackage[], { signed = true } = {}): void {
    for (const name of readdirSync(this.directory)) {
      if (/\.deb$|Release$|Packages$/.test(name)) rmSync(join(this.directory, name));
    }
    const index = packages.map((one) => this.#make(one)).join('\n');
    writeFileSync(join(this.directory, 'Packages'), index);
    const release = [
      ...['Origin: Debian', 'Codename: trixie', `Date: ${new Date().toUTCString()}`, 'Architectures: amd64 arm64 all'],
      ...['SHA256:', ` ${sha256(index)} ${index.length} Packages`, ''],
    ].join('\n');
    writeFileSync(join(this.directory, 'Release'), release);
    if (signed) this.sign(join(this.directory, 'Release'), join(this.directory, 'InRelease'));
  }

  sign(file: string, target: string): void {
    mkdirSync(dirname(target), { recursive: true });
    this.#gpg('--output', target, '--clear-sign', file);
  }

  remove(): void {
    execFileSync('gpgconf', ['--homedir', this.#keys, '--kill', 'all']);
    rmSync(this.directory, { recursive: true });
  }

  /** Gives its stanza of the index. */
  #make({ name, version, files = {}, modes = {} }: TestPackage): string {
    const tree = join(this.directory, 'tree');
    const control = `Package: ${name}\nVersion: ${version}\nArchitecture: all\nMaintainer: test <test@example.org>\nDescription: test\n`;
    for (const [path, content] of Object.entries({ 'DEBIAN/control': control, ...files })) {
      const file = join(tree, path);
      mkdirSync(dirname(file), { recursive: true, mode: 0o755 });
      writeFileSync(file, content);
      chmodSync(file, modes[path] ?? 0o755);
    }
    const deb = `${name}_${version}.deb`;
    execFileSync('dpkg-deb', ['-Znone', '--root-owner-group', '--build', tree, join(this.directory, deb)], {
      stdio: 'pipe',
    });
    rmSync(tree, { recursive: true });
    const bytes = readFileSync(join(this.directory, deb));
    return `${control}Filename: ./${deb}\nSize: ${statSync(join(this.directory, deb)).size}\nSHA256: ${sha256(bytes)}\n`;
  }

  #gpg(...args: string[]): void {
    execFileSync('gpg', ['--homedir', this.#keys, '--batch', '--pinentry-mode', 'loopback', ...args], {
      stdio: 'pipe',
    });
  }
}

function sha256(content: string | Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}
