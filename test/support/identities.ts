import { createRoot, issue, type KeyAndCertificate } from '../../src/kit/pki.ts';
import type { Identity } from '../../src/kit/tls.ts';

const HOUR_MS = 3_600_000;

export function testRoot(name = 'Test root', pathLength = 1): Promise<KeyAndCertificate> {
  return createRoot(name, new Date(Date.now() - HOUR_MS), new Date(Date.now() + HOUR_MS), pathLength);
}

/** A component's identity under `root`, which trusts `roots` (only `root` unless told). */
export async function identityUnder(
  root: KeyAndCertificate,
  commonName: string,
  roots: readonly KeyAndCertificate[] = [root],
): Promise<Identity> {
  const pair = await issue(root, {
    commonName,
    dnsNames: [commonName],
    ipAddresses: ['127.0.0.1'],
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + HOUR_MS),
  });
  return { ...pair, ca: roots.map(({ cert }) => cert.trim()).join('\n') };
}
