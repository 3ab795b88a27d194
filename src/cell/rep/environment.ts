import type { EnvironmentVariable } from '../../contracts/gen/diego_pb.js';
import { CREDENTIALS_DESTINATION, SYSTEM_CERTIFICATES_DESTINATION } from '../identity/credentials.ts';

/** What a container's environment is made of. */
export interface EnvironmentFacts {
  /** The cell's. */
  hostAddress: string;
  /** The container's own, on the overlay. */
  address: string;
  instanceGuid: string;
  /** Of this process: beside sidecars less than the container's. */
  memoryMb: number;
  /** What the container's stack has (LANG); an image is asked for none. */
  locale?: string;
  /** For a container image: what it sets itself, and who runs. */
  image?: { config: { environment: Readonly<Record<string, string>> }; user: { name: string; home: string } };
  /** Only instances of an LRP have these. */
  lrp?: { index: number; ports: readonly number[]; tlsProxyPort: number };
}

/** Where a container finds its certificate, its key and the roots to trust (IID-08, IID-09). */
export const IDENTITY_ENVIRONMENT = {
  CF_INSTANCE_CERT: `${CREDENTIALS_DESTINATION}/instance.crt`,
  CF_INSTANCE_KEY: `${CREDENTIALS_DESTINATION}/instance.key`,
  CF_SYSTEM_CERT_PATH: SYSTEM_CERTIFICATES_DESTINATION,
} as const;

/** Where a container is. The host offers no port but the TLS proxy's, so CF_INSTANCE_PORT and CF_INSTANCE_ADDR are empty. */
export function networkEnvironment({ hostAddress, address }: Pick<EnvironmentFacts, 'hostAddress' | 'address'>) {
  return {
    CF_INSTANCE_IP: hostAddress,
    CF_INSTANCE_INTERNAL_IP: address,
    CF_INSTANCE_PORT: '',
    CF_INSTANCE_ADDR: '',
    CF_INSTANCE_PORTS: '[]',
  };
}

/** The environment a Cloud Foundry app sees: what the platform says about the instance, over what it was desired with. */
export function containerEnvironment(
  desired: readonly EnvironmentVariable[],
  facts: EnvironmentFacts,
): Record<string, string> {
  const given = Object.fromEntries(desired.map(({ name, value }) => [name, value]));
  const environment: Record<string, string> = {
    ...(facts.image ? imageEnvironment(facts.image, given) : stackEnvironment(given, facts.locale)),
    MEMORY_LIMIT: `${facts.memoryMb}m`,
    CF_INSTANCE_GUID: facts.instanceGuid,
    INSTANCE_GUID: facts.instanceGuid,
    ...networkEnvironment(facts),
    ...IDENTITY_ENVIRONMENT,
  };
  if (facts.lrp) addLrp(environment, facts, facts.lrp);
  return environment;
}

function stackEnvironment(given: Readonly<Record<string, string>>, locale: string | undefined): Record<string, string> {
  return {
    ...(locale === undefined ? {} : { LANG: locale }),
    PATH: '/usr/local/bin:/usr/bin:/bin',
    ...given,
    USER: 'vcap',
    HOME: '/home/vcap/app',
    TMPDIR: '/home/vcap/tmp',
  };
}

/** The image's own variables, and over them the app's. */
function imageEnvironment(
  image: NonNullable<EnvironmentFacts['image']>,
  given: Readonly<Record<string, string>>,
): Record<string, string> {
  return {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    USER: image.user.name,
    HOME: image.user.home,
    ...image.config.environment,
    ...given,
  };
}

function addLrp(
  environment: Record<string, string>,
  { instanceGuid, memoryMb }: EnvironmentFacts,
  lrp: NonNullable<EnvironmentFacts['lrp']>,
): void {
  const port = lrp.ports[0] ?? 8080;
  environment['CF_INSTANCE_INDEX'] = String(lrp.index);
  environment['INSTANCE_INDEX'] = String(lrp.index);
  environment['PORT'] = String(port);
  environment['VCAP_APP_HOST'] = '0.0.0.0';
  environment['VCAP_APP_PORT'] = String(port);
  environment['CF_INSTANCE_PORTS'] = JSON.stringify(
    lrp.ports.slice(0, 1).map((internal) => ({ internal, external_tls_proxy: lrp.tlsProxyPort })),
  );
  const application = environment['VCAP_APPLICATION'];
  if (application === undefined) return;
  try {
    const known: unknown = JSON.parse(application);
    if (known === null || typeof known !== 'object') return;
    const limits = 'limits' in known && typeof known.limits === 'object' ? known.limits : {};
    environment['VCAP_APPLICATION'] = JSON.stringify({
      ...known,
      limits: { ...limits, mem: memoryMb },
      instance_id: instanceGuid,
      instance_index: lrp.index,
      host: '0.0.0.0',
      port,
    });
  } catch {
    // Left as the Cloud Controller wrote it.
  }
}
