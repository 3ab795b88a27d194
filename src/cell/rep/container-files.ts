import type { Owner } from '../../contracts/gen/diego_pb.js';
import type { KeyAndCertificate } from '../../kit/pki.ts';
import type { BindMount, Container } from '../garden/garden.ts';
import { CREDENTIALS_DESTINATION, SYSTEM_CERTIFICATES_DESTINATION } from '../identity/credentials.ts';
import { issueInstanceIdentity } from '../identity/instance-identity.ts';
import { CERTIFICATE_STORE_DESTINATION } from '../identity/system-trust.ts';
import type { RepContext } from './collaborators.ts';

export const LIFECYCLE_DESTINATION = '/tmp/lifecycle';

/** The read-only directories of an app's or task's container: lifecycle, credentials, trusted roots. */
export async function containerBinds(context: RepContext, handle: string, stack: string): Promise<BindMount[]> {
  return [
    { source: context.lifecycleDirectory, destination: LIFECYCLE_DESTINATION },
    ...(await identityBinds(context, handle, stack)),
  ];
}

/** Those of an image's container: its own files, its certificate store too, stay as they are. */
export async function imageBinds(context: RepContext, handle: string): Promise<BindMount[]> {
  const [credentials, certificates] = await Promise.all([
    context.credentials.prepare(handle),
    context.trust.systemCertificates(),
  ]);
  return [
    { source: credentials, destination: CREDENTIALS_DESTINATION },
    { source: certificates, destination: SYSTEM_CERTIFICATES_DESTINATION },
  ];
}

/** Those of every container of a stack: credentials and trusted roots. */
export async function identityBinds(context: RepContext, handle: string, stack: string): Promise<BindMount[]> {
  const [credentials, certificates, store] = await Promise.all([
    context.credentials.prepare(handle),
    context.trust.systemCertificates(),
    context.trust.store(stack),
  ]);
  return [
    { source: credentials, destination: CREDENTIALS_DESTINATION },
    { source: certificates, destination: SYSTEM_CERTIFICATES_DESTINATION },
    { source: store, destination: CERTIFICATE_STORE_DESTINATION },
  ];
}

/** Issues a certificate for the container's address and puts it where the app finds it. */
export async function giveIdentity(
  context: RepContext,
  container: Container,
  owner: Owner | undefined,
): Promise<KeyAndCertificate> {
  const instance = { guid: container.handle, address: container.address, owner };
  const identity = await issueInstanceIdentity(context.authority, instance, context.now());
  await context.credentials.write(container.handle, identity, container.hostUid);
  return identity;
}

const MEBIBYTE = 1024 * 1024;

export function containerLimits(memoryMb: number, diskMb: number) {
  return {
    memoryBytes: memoryMb * MEBIBYTE,
    diskBytes: diskMb * MEBIBYTE,
    pids: 1024,
    cpuShares: Math.max(2, memoryMb),
  };
}
