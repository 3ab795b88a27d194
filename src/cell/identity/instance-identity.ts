import type { Owner } from '../../contracts/gen/diego_pb.js';
import { CLOCK_STEP_MS, issue, type KeyAndCertificate } from '../../kit/pki.ts';

/** What issues the certificates: an intermediate, under a root that serves nothing else (IID-07). PEM. */
export interface InstanceAuthority {
  intermediate: KeyAndCertificate;
  /** What apps trust: the root, and while one takes the place of another both. */
  rootCertificate: string;
}

export const VALIDITY_MS = 24 * 3_600_000;

/**
 * The certificate of one instance (IID-02 to IID-06): common name and DNS name are the instance GUID, the units name
 * organization, space and app, the address is the container's, good until 24 hours from `now`; chain leaf first.
 */
export function issueInstanceIdentity(
  authority: InstanceAuthority,
  instance: { guid: string; address: string; owner: Owner | undefined },
  now: number,
): Promise<KeyAndCertificate> {
  // Certificates count whole seconds.
  const issuedAt = Math.floor(now / 1000) * 1000;
  return issue(authority.intermediate, {
    commonName: instance.guid,
    organizationalUnits: [
      `organization:${instance.owner?.organizationGuid ?? ''}`,
      `space:${instance.owner?.spaceGuid ?? ''}`,
      `app:${instance.owner?.appGuid ?? ''}`,
    ],
    dnsNames: [instance.guid],
    ipAddresses: [instance.address],
    notBefore: new Date(issuedAt - CLOCK_STEP_MS),
    notAfter: new Date(issuedAt + VALIDITY_MS),
  });
}
