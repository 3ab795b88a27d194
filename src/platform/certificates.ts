import { X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import Type from 'typebox';
import { readCheckedFile } from '../kit/checked.ts';
import { replaceFile } from '../kit/owned-files.ts';
import { CLOCK_STEP_MS, issue, type KeyAndCertificate } from '../kit/pki.ts';
import type { Identity } from '../kit/tls.ts';
import type { Expiry } from './admin-messages.ts';
import { type RootName, trustedRoots } from './authorities.ts';
import type { Secrets } from './secrets.ts';

const DAY_MS = 86_400_000;
const VALIDITY_MS = 90 * DAY_MS;
/** Components get new certificates when a third of their time is left. */
const COMPONENT_LEAD_MS = VALIDITY_MS / 3;
/** And roots a successor in their last year. */
const ROOT_LEAD_MS = 365 * DAY_MS;

/** PEM by component: what was issued to it last. */
const Issued = Type.Record(Type.String(), Type.String());

/**
 * Certificates the platform issues to its own components: at each start of a component, and again while it runs. What was issued
 * last is noted (certificates alone, no key), so that a supervisor that takes over knows what ends when.
 */
export class ComponentCertificates {
  readonly #secrets: () => Secrets;
  readonly #file: string;
  readonly #issued: Map<string, string>;

  constructor(secrets: () => Secrets, file: string) {
    this.#secrets = secrets;
    this.#file = file;
    const noted = existsSync(file) ? readCheckedFile(file, Issued) : {};
    this.#issued = new Map(Object.entries(noted));
  }

  /** A component under the platform root; `name` is its common name, which its peers check. */
  async component(name: string, dnsNames: readonly string[] = [name]): Promise<Identity> {
    const pair = await this.#issue(this.#secrets().platformRoot, name, dnsNames, ['127.0.0.1']);
    this.#note(dnsNames[0] ?? name, pair.cert);
    return { ...pair, ca: this.roots('platform') };
  }

  /** The wildcard certificate clients see, with what leads them from a former root. */
  async front(domain: string): Promise<KeyAndCertificate> {
    const { routerRoot, rotation } = this.#secrets();
    const pair = await this.#issue(routerRoot, `*.${domain}`, [`*.${domain}`, domain], []);
    this.#note('router-front', pair.cert);
    return { key: pair.key, cert: rotation?.phase === 'retiring' ? `${pair.cert}${rotation.routerCross}` : pair.cert };
  }

  /** PEM of all roots of a kind that are trusted at present. */
  roots(name: RootName): string {
    return trustedRoots(this.#secrets(), name);
  }

  /** Name and end of every certificate that was issued, and of the authorities. */
  expiries(): Expiry[] {
    return [...this.#authorities(), ...this.#issued].map(([name, cert]) => ({
      name,
      notAfter: new Date(endOf(cert)).toISOString(),
    }));
  }

  /** PEM of what was issued last, by name. */
  get issued(): ReadonlyMap<string, string> {
    return new Map(this.#issued);
  }

  /** What must be renewed by now. */
  due(now: number): { components: boolean; roots: boolean } {
    const { rotation } = this.#secrets();
    return {
      components: [...this.#issued.values()].some((cert) => endOf(cert) - now < COMPONENT_LEAD_MS),
      roots: rotation === null && this.#authorities().some(([, cert]) => endOf(cert) - now < ROOT_LEAD_MS),
    };
  }

  #authorities(): [string, string][] {
    const secrets = this.#secrets();
    const { rotation } = secrets;
    const other =
      rotation?.phase === 'retiring'
        ? Object.entries(rotation.former).map(([name, cert]): [string, string] => [`former-${name}-root`, cert])
        : [];
    return [
      ['platform-root', secrets.platformRoot.cert],
      ['instance-identity-root', secrets.identityRoot.cert],
      ['instance-identity-intermediate', secrets.identityIntermediate.cert],
      ['router-root', secrets.routerRoot.cert],
      ...other,
    ];
  }

  #note(name: string, cert: string): void {
    this.#issued.set(name, cert);
    replaceFile(this.#file, JSON.stringify(Object.fromEntries(this.#issued)), { mode: 0o600 });
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
      notAfter: new Date(now + VALIDITY_MS),
    });
  }
}

function endOf(cert: string): number {
  return new X509Certificate(cert).validToDate.getTime();
}
