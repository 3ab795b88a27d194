import type { UaaApp } from '../http/app.ts';
import type { Services } from '../services.ts';
import { GRANT_TYPES } from '../settings.ts';

/** The version of UAA's API that this one answers like; the command-line tool compares it. */
const API_VERSION = '77.30.0';

/** What everybody may know: prompts, links, public keys, metadata. */
export function registerDiscovery(app: UaaApp, services: Services): void {
  const { urls, issuer, keys } = services;
  const about = {
    app: { version: API_VERSION, name: 'Cupola' },
    links: { uaa: urls.uaa, login: urls.login, passwd: `${urls.login}/forgot_password` },
    zone_name: 'uaa',
    entityID: new URL(urls.login).host,
    prompts: { username: ['text', 'Email'], password: ['password', 'Password'] },
  };

  app.get('/healthz', async (_request, reply) => reply.type('text/plain').send('ok\n'));
  app.get('/info', async () => about);
  app.get('/login', async () => about);

  app.get('/token_keys', async (_request, reply) => {
    reply.header('cache-control', 'max-age=5');
    const { keys: published } = await keys.publicKeys();
    return { keys: published };
  });
  app.get('/token_key', async (_request, reply) => {
    reply.header('cache-control', 'max-age=5');
    const { kid } = await keys.current();
    const { keys: published } = await keys.publicKeys();
    return published.find((key) => key.kid === kid);
  });

  app.get('/.well-known/openid-configuration', async () => ({
    issuer,
    authorization_endpoint: `${urls.login}/oauth/authorize`,
    token_endpoint: `${urls.uaa}/oauth/token`,
    token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
    token_endpoint_auth_signing_alg_values_supported: ['RS256'],
    userinfo_endpoint: `${urls.uaa}/userinfo`,
    jwks_uri: `${urls.uaa}/token_keys`,
    introspection_endpoint: `${urls.uaa}/introspect`,
    scopes_supported: ['openid'],
    response_types_supported: ['code'],
    grant_types_supported: GRANT_TYPES,
    subject_types_supported: ['public'],
    code_challenge_methods_supported: ['S256'],
    claims_supported: [
      'sub',
      'user_name',
      'origin',
      'iss',
      'auth_time',
      'client_id',
      'aud',
      'zid',
      'grant_type',
      'user_id',
      'scope',
      'jti',
      'rev_sig',
      'cid',
    ],
  }));
}
