import { ok, operation } from '../operation.ts';
import { API_VERSION } from './version.ts';

/** Where clients start: every address they use, and versions. */
export const rootOperations = [
  operation({
    id: 'GET /',
    async run({ context: { links, settings } }) {
      const { uaa, login, logCache, ssh } = settings.urls;
      const stream = logCache.replace('log-cache', 'log-stream');
      return ok({
        links: {
          self: links.to(''),
          cloud_controller_v2: null,
          cloud_controller_v3: { ...links.to('/v3'), meta: { version: API_VERSION } },
          network_policy_v0: null,
          network_policy_v1: links.to('/networking/v1/external'),
          login: { href: login },
          uaa: { href: uaa },
          credhub: null,
          routing: links.to('/routing'),
          logging: null,
          log_cache: { href: logCache },
          log_stream: { href: stream },
          app_ssh:
            settings.sshHostKeyFingerprint === null
              ? null
              : {
                  href: ssh,
                  meta: { host_key_fingerprint: settings.sshHostKeyFingerprint, oauth_client: 'ssh-proxy' },
                },
        },
      });
    },
  }),

  operation({
    id: 'GET /v3',
    async run({ context: { links } }) {
      const collections = ['organizations', 'spaces', 'apps', 'processes', 'packages', 'builds', 'droplets', 'routes'];
      const more = ['domains', 'roles', 'users', 'stacks', 'buildpacks', 'security_groups', 'audit_events', 'tasks'];
      const entries = [...collections, ...more].map((name) => [name, links.to(`/v3/${name}`)]);
      return ok({ links: { self: links.to('/v3'), ...Object.fromEntries(entries) } });
    },
  }),

  operation({
    id: 'GET /v3/info',
    async run({ context: { links, settings } }) {
      return ok({
        build: settings.build,
        cli_version: { minimum: '8.0.0', recommended: '8.18.0' },
        custom: {},
        description: 'Cupola',
        name: 'Cupola',
        version: 0,
        osbapi_version: '2.15',
        rate_limits: { enabled: false, general_limit: 0, reset_interval_in_minutes: 0 },
        links: { self: links.to('/v3/info'), support: { href: '' } },
      });
    },
  }),

  operation({
    id: 'GET /v2/info',
    async run({ context: { settings } }) {
      // Tools older than v3 look here for the addresses; nothing else of v2 is served.
      return ok({
        name: 'Cupola',
        build: settings.build,
        version: 0,
        authorization_endpoint: settings.urls.login,
        token_endpoint: settings.urls.uaa,
        api_version: '2.999.0',
        osbapi_version: '2.15',
        app_ssh_endpoint: settings.urls.ssh,
        app_ssh_host_key_fingerprint: settings.sshHostKeyFingerprint ?? '',
        app_ssh_oauth_client: 'ssh-proxy',
        doppler_logging_endpoint: '',
      });
    },
  }),
];
