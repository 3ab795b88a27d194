import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CupolaError } from '../../kit/errors.ts';
import { certificatesIn } from '../../kit/pki.ts';
import { run } from '../../kit/process.ts';
import type { PlatformSettings } from '../settings/schema.ts';
import { changing } from './changing.ts';

/** Where Debian and Ubuntu take authorities of the operator's from (update-ca-certificates(8)). */
const LOCAL_AUTHORITIES = '/usr/local/share/ca-certificates';

/** Has the machine trust the router's roots, so that cf and curl need no option. Throws `no_system_store`. */
export async function installSystemTrust(
  settings: PlatformSettings,
  roots: string,
  directory = LOCAL_AUTHORITIES,
): Promise<void> {
  const wanted = new Map(certificatesIn(roots).map((pem) => [fileName(settings, pem), pem]));
  const stale = trustedFiles(settings, directory).filter((name) => !wanted.has(name));
  changing(directory, () => {
    mkdirSync(directory, { recursive: true });
    for (const [name, pem] of wanted) writeFileSync(join(directory, name), pem, { mode: 0o644 });
    for (const name of stale) rmSync(join(directory, name));
  });
  await updateStore(stale.length > 0);
}

/** Takes them out again. False where they were not there. */
export async function removeSystemTrust(settings: PlatformSettings, directory = LOCAL_AUTHORITIES): Promise<boolean> {
  const files = trustedFiles(settings, directory);
  if (files.length === 0) return false;
  changing(directory, () => {
    for (const name of files) rmSync(join(directory, name));
  });
  await updateStore(true);
  return true;
}

/** Brings the store to the present roots where the operator asked for trust before; otherwise nothing. */
export async function refreshSystemTrust(settings: PlatformSettings, roots: string): Promise<void> {
  if (trustedFiles(settings, LOCAL_AUTHORITIES).length > 0) await installSystemTrust(settings, roots);
}

/** Our files there. One certificate each: update-ca-certificates takes no more. */
function trustedFiles({ id }: PlatformSettings, directory: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory).filter((name) => name.startsWith(`cupola-${id}-`) && name.endsWith('.crt'));
}

function fileName({ id }: PlatformSettings, pem: string): string {
  return `cupola-${id}-${createHash('sha256').update(pem).digest('hex').slice(0, 12)}.crt`;
}

async function updateStore(removed: boolean): Promise<void> {
  try {
    // --fresh takes away the links of what was removed.
    await run('update-ca-certificates', removed ? ['--fresh'] : [], { timeoutMs: 120_000, showWords: true });
  } catch (cause) {
    throw new CupolaError(
      'no_system_store',
      'update-ca-certificates failed or is not there (Debian, Ubuntu: package ca-certificates)',
      { cause },
    );
  }
}
