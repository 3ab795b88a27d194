import { X509Certificate } from 'node:crypto';
import { CLOCK_STEP_MS, issue, type KeyAndCertificate } from '../kit/pki.ts';
import type { Identity } from '../kit/tls.ts';
import type { Secrets } from './secrets.ts';

const YEAR_MS = 365 * 86_400_000;

/** Certificates the platform issues to its own components; a new one at each start of the component. */
export class ComponentCertificates {
  readonly #secrets: Secrets;
  readonly #issued = new Map<string, string>();

  constructor(secrets: Secrets) {
    this.#secrets = secrets;
  }

  /** A component under the platform root; `name` is its common name, which its peers check. */
  async component(name: string, dnsNames: readonly string[] = [name]): Promise<Identity> {
    const pair = await this.#issue(this.#secrets.platformRoot, name, dnsNames, ['127.0.0.1']);
    this.#issued.set(dnsNames[0] ?? name, pair.cert);
    return { ...pair, ca: this.#secrets.platformRoot.cert };
  }

  /** The wildcard certificate clients see. */
  async front(domain: string): Promise<KeyAndCertificate> {
    const pair = await this.#issue(this.#secrets.routerRoot, `*.${domain}`, [`*.${domain}`, domain], []);
    this.#issued.set('router-front', pair.cert);
    return pair;
  }

  /** Name and end of every certificate that was issued and of the roots. */
  expiries(): { name: string; notAfter: string }[] {
    const roots = [
      ['platform-root', this.#secrets.platformRoot.cert],
      ['instance-identity-root', this.#secrets.identityRoot.cert],
      ['instance-identity-intermediate', this.#secrets.identityIntermediate.cert],
      ['router-root', this.#secrets.routerRoot.cert],
    ] as const;
    return [...roots, ...this.#issued].map(([name, cert]) => ({
      name,
      notAfter: new Date(new X509Certificate(cert).validTo).toISOString(),
    }));
  }

  #issue(
    parent: KeyAndCertificate,
    commonName: string,
    dnsNames: readonly string[],
    ipAddresses: readonly string[],
  ): Promise<KeyAndCertificate> {
    const now = Date.now();
    return issue(parent, {
      commonName,
      dnsNames,
      ipAddresses,
      notBefore: new Date(now - CLOCK_STEP_MS),
      notAfter: new Date(now + YEAR_MS),
    });
  }
}
