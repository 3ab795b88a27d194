import { type Static, Type } from 'typebox';
import type { Settings } from '../context.ts';
import { REQUEST_LIMITS } from '../limits.ts';
import { PERMISSIONS } from '../permissions.ts';
import { Link, type Links } from '../view.ts';
import { API_VERSION } from './version.ts';

const Text = Type.String();
const TextOrNone = Type.Union([Text, Type.Null()]);
const CLI_VERSION = { minimum: '8.0.0', recommended: '8.18.0' };

export const RootView = Type.Object(
  {
    links: Type.Object({
      self: Link,
      cloud_controller_v2: Type.Null(),
      cloud_controller_v3: Type.Object({ href: Text, meta: Type.Object({ version: Text }) }),
      network_policy_v0: Type.Null(),
      network_policy_v1: Type.Null(),
      login: Link,
      uaa: Link,
      credhub: Type.Null(),
      routing: Type.Null(),
      logging: Type.Null(),
      log_cache: Link,
      log_stream: Type.Null(),
      app_ssh: Type.Union([
        Type.Object({ href: Text, meta: Type.Object({ host_key_fingerprint: Text, oauth_client: Text }) }),
        Type.Null(),
      ]),
    }),
  },
  { title: 'Root' },
);

export function rootView(links: Links, settings: Settings): Static<typeof RootView> {
  const { uaa, login, logCache } = settings.urls;
  return {
    links: {
      self: links.to(''),
      cloud_controller_v2: null,
      cloud_controller_v3: { ...links.to('/v3'), meta: { version: API_VERSION } },
      network_policy_v0: null,
      // Clients choose by these links: what is not served is null, and they say so by themselves.
      network_policy_v1: null,
      login: { href: login },
      uaa: { href: uaa },
      credhub: null,
      routing: null,
      logging: null,
      log_cache: { href: logCache },
      log_stream: null,
      app_ssh: appSsh(settings),
    },
  };
}

/** Where SSH clients come in; null where there is no SSH. */
function appSsh({ urls, sshHostKeyFingerprint }: Settings) {
  if (sshHostKeyFingerprint === null) return null;
  return { href: urls.ssh, meta: { host_key_fingerprint: sshHostKeyFingerprint, oauth_client: 'ssh-proxy' } };
}

export const CollectionsView = Type.Object({ links: Type.Record(Type.String(), Link) }, { title: 'Collections' });

/** Linked as elsewhere, though there is nothing but its two groups. */
const ALSO_LINKED = ['environment_variable_groups'];

/** Every collection that has an operation of its own, by the permission table. */
export function collectionsView(links: Links): Static<typeof CollectionsView> {
  const named = Object.keys(PERMISSIONS).flatMap((id) => /^\w+ \/v3\/(\w+)$/.exec(id)?.[1] ?? []);
  const names = [...new Set([...named, ...ALSO_LINKED])].sort();
  const entries = names.map((name) => [name, links.to(`/v3/${name}`)]);
  return { links: { self: links.to('/v3'), ...Object.fromEntries(entries) } };
}

export const InfoView = Type.Object(
  {
    build: Text,
    cli_version: Type.Object({ minimum: Text, recommended: Text }),
    custom: Type.Object({}),
    description: Text,
    name: Text,
    version: Type.Integer(),
    osbapi_version: Text,
    rate_limits: Type.Object({
      enabled: Type.Boolean(),
      general_limit: Type.Integer(),
      reset_interval_in_minutes: Type.Integer(),
    }),
    links: Type.Object({ self: Link, support: Link }),
  },
  { title: 'Info' },
);

export function infoView(links: Links, settings: Settings): Static<typeof InfoView> {
  return {
    build: settings.build,
    cli_version: CLI_VERSION,
    custom: {},
    description: 'Cupola',
    name: 'Cupola',
    version: 0,
    osbapi_version: '2.15',
    rate_limits: rateLimits(settings),
    links: { self: links.to('/v3/info'), support: { href: '' } },
  };
}

function rateLimits({ requestLimits }: Settings) {
  const { caller } = { ...REQUEST_LIMITS, ...requestLimits };
  if (caller === null) return { enabled: false, general_limit: 0, reset_interval_in_minutes: 0 };
  return {
    enabled: true,
    general_limit: caller.limit,
    reset_interval_in_minutes: Math.ceil(caller.intervalMs / 60_000),
  };
}

export const InfoOfV2View = Type.Object(
  {
    name: Text,
    build: Text,
    support: Text,
    version: Type.Integer(),
    description: Text,
    authorization_endpoint: Text,
    token_endpoint: Text,
    min_cli_version: Text,
    min_recommended_cli_version: Text,
    api_version: Text,
    osbapi_version: Text,
    app_ssh_endpoint: TextOrNone,
    app_ssh_host_key_fingerprint: TextOrNone,
    app_ssh_oauth_client: TextOrNone,
    doppler_logging_endpoint: Type.Null(),
  },
  { title: 'InfoOfV2' },
);

/** Tools older than v3 look here for the addresses. What the root document does not link is not named here either. */
export function infoOfV2View(settings: Settings): Static<typeof InfoOfV2View> {
  const ssh = appSsh(settings);
  return {
    name: 'Cupola',
    build: settings.build,
    support: 'CF API v2 is disabled',
    version: 0,
    description: 'Cupola',
    authorization_endpoint: settings.urls.login,
    token_endpoint: settings.urls.uaa,
    min_cli_version: CLI_VERSION.minimum,
    min_recommended_cli_version: CLI_VERSION.recommended,
    api_version: '',
    osbapi_version: '2.15',
    app_ssh_endpoint: ssh?.href ?? null,
    app_ssh_host_key_fingerprint: ssh?.meta.host_key_fingerprint ?? null,
    app_ssh_oauth_client: ssh?.meta.oauth_client ?? null,
    doppler_logging_endpoint: null,
  };
}
