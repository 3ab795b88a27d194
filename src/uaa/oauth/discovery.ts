import type { FastifyReply, FastifyRequest } from 'fastify';
import type { UaaApp } from '../http/app.ts';
import { entityTagOf, matchesEntityTag, type PublishedKey, publishedKeys } from '../keys/published-keys.ts';
import type { Services } from '../services.ts';
import { GRANT_TYPES } from '../settings.ts';

/** The version of UAA's API that this one answers like; the command-line tool compares it. */
const API_VERSION = '77.30.0';

/** What everybody may know: prompts, links, public keys, metadata. Of what UAA can say, only what is true here. */
export function registerDiscovery(app: UaaApp, services: Services): void {
  const { urls, issuer, keys, clock } = services;
  const about = {
    app: { version: API_VERSION, name: 'Cupola' },
    commit_id: 'UNKNOWN',
    timestamp: clock().toISOString(),
    // Without links to pages where users register or ask for a new password: there are none.
    links: { uaa: urls.uaa, login: urls.login },
    zone_name: 'uaa',
    entityID: new URL(urls.login).host,
    idpDefinitions: {},
    prompts: { username: ['text', 'Email'], password: ['password', 'Password'] },
  };

  app.get('/healthz', async (_request, reply) => reply.type('text/plain').send('ok\n'));
  app.get('/info', async () => about);
  app.get('/login', async () => about);

  app.get('/token_keys', async (request, reply) => {
    const published = publishedKeys(await keys.publicKeys());
    return unlessKnown(request, reply, published, { keys: published });
  });
  app.get('/token_key', async (request, reply) => {
    const { kid } = await keys.current();
    const signing = publishedKeys(await keys.publicKeys()).filter((key) => key.kid === kid);
    return unlessKnown(request, reply, signing, signing[0]);
  });

  const metadata = {
    issuer,
    authorization_endpoint: `${urls.login}/oauth/authorize`,
    token_endpoint: `${urls.uaa}/oauth/token`,
    token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
    userinfo_endpoint: `${urls.uaa}/userinfo`,
    jwks_uri: `${urls.uaa}/token_keys`,
    introspection_endpoint: `${urls.uaa}/introspect`,
    scopes_supported: ['openid'],
    response_types_supported: ['code'],
    grant_types_supported: GRANT_TYPES,
    subject_types_supported: ['public'],
    code_challenge_methods_supported: ['S256'],
    claim_types_supported: ['normal'],
    claims_parameter_supported: false,
    claims_supported: CLAIMS,
    service_documentation: 'https://docs.cloudfoundry.org/api/uaa/',
  };
  app.get('/.well-known/openid-configuration', async () => metadata);
  // OpenID Connect Discovery 1.0 section 4: at the issuer's own address.
  app.get('/oauth/token/.well-known/openid-configuration', async () => metadata);
}

/** Of an access token or of `/userinfo`. */
const CLAIMS = [
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
  'azp',
  'scope',
  'exp',
  'iat',
  'jti',
  'rev_sig',
  'cid',
  'email',
  'given_name',
  'family_name',
];

/** The keys, or 304 where the caller has them already. */
function unlessKnown(request: FastifyRequest, reply: FastifyReply, keys: readonly PublishedKey[], answer: unknown) {
  const tag = entityTagOf(keys);
  reply.header('cache-control', 'max-age=5').header('etag', tag);
  return matchesEntityTag(request.headers['if-none-match'], tag) ? reply.code(304).send() : reply.send(answer);
}
