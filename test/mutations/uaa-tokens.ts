import { type Change, noticedBy } from './mutation.ts';

const ACCESS = 'contracts/access-token.ts';
const CLIENTS = 'uaa/clients/operations.ts';
const CODES = 'uaa/oauth/authorization-code-grant.ts';
const MIGRATIONS = 'uaa/migrations.ts';
const TOKENS = 'uaa/oauth/tokens.ts';
const VERIFIER = 'uaa/oauth/token-verifier.ts';
/** A token without a signature is believed. */
const UNSIGNED =
  "token.endsWith('.') ? { payload: JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()) } : ";
/** A code is good whatever became of the token that it was asked for with. */
const UNASKED =
  "if (token.jti !== '') return { user: await services.users.byId(token.userId ?? '') };\n  return services.verifier.inForce(token, ";

/** Where a verifier has a token's key from, and the one algorithm that it takes. */
const verifying = (keys: string, algorithms = "\n        algorithms: ['RS256'],"): string =>
  `await jwtVerify(token, ${keys}, {${algorithms}`;
/** What takes their place: a public key is a secret as well, no id is asked for, keys come along, any algorithm of the key is taken. */
const MISTAKEN: [title: string, verifying: (keys: string, known: string) => string][] = [
  [
    'SECURITY 12: a token signed by HMAC',
    (keys, known) =>
      verifying(
        `(header, jws) => header.alg?.startsWith('HS') ? Buffer.from(JSON.stringify(${known}.keys[0])) : ${keys}(header, jws)`,
        '',
      ),
  ],
  ['SECURITY 12: an unknown key', (keys) => verifying(`(header, jws) => ${keys}({ ...header, kid: undefined }, jws)`)],
  [
    'SECURITY 12: an unknown key',
    (keys) =>
      verifying(
        `async (header, jws) => header.jwk ? (await import('jose')).EmbeddedJWK(header, jws) : ${keys}(header, jws)`,
      ),
  ],
  [
    'SECURITY 12: an unknown key',
    (_, known) => verifying(`createLocalJWKSet({ keys: ${known}.keys.map(({ alg: _, ...key }) => key) })`, ''),
  ],
];
const KEY_LOOKUPS = [
  { file: VERIFIER, keys: 'this.#imported.keys', known: 'from' },
  { file: ACCESS, keys: 'this.#importedOnce(keys)', known: 'keys' },
].flatMap(({ file, keys, known }) =>
  MISTAKEN.map(([title, instead]): Change => [title, file, verifying(keys), instead(keys, known)]),
);

/** Of its tokens: what is none, and what makes them end. */
export const uaaTokens = [
  ...noticedBy('test/integration/uaa/forged-tokens.test.ts', [
    ...KEY_LOOKUPS,
    ['SECURITY 12: an unsigned', VERIFIER, 'await jwtVerify(', `${UNSIGNED}await jwtVerify(`],
    ['SECURITY 12: an unsigned', ACCESS, 'await jwtVerify(', `${UNSIGNED}await jwtVerify(`],
    ['SECURITY 12: another issuer', VERIFIER, '        issuer: this.#issuer,\n', ''],
    ['SECURITY 12: another issuer', ACCESS, '        issuer: this.#issuer,\n', ''],
    ['SECURITY 12: another issuer', ACCESS, '        audience: this.#audience,\n', ''],
    ['SECURITY 13: ', VERIFIER, "live.kind === 'access' ? live", 'live.kind !== undefined ? live'],
    ['SECURITY 13: ', VERIFIER, "live.kind === 'refresh' ? live", 'live.kind !== undefined ? live'],
    ['SECURITY 13: ', VERIFIER, "if (claims['token_use'] !== undefined) return refuse('an ID token was shown');", ''],
    ['SECURITY 13: ', ACCESS, "!jti.endsWith('-r') && ", ''],
    ['SECURITY 13: ', ACCESS, " && payload['token_use'] !== 'id'", ''],
  ]),
  ...noticedBy('test/integration/uaa/token-lifetimes.test.ts', [
    ['SECURITY 14: that lives a year', ACCESS, 'if (fault !== null) throw new InvalidTokenError(fault);', ''],
    ['SECURITY 14: that lives a year', VERIFIER, 'if (fault !== null) return refuse(fault);', ''],
    ['SECURITY 14: a client chooses', TOKENS, 'Math.min(wanted, MAX_ACCESS_TOKEN_SECONDS)', 'wanted'],
    ['SECURITY 14: no refresh token', TOKENS, 'Math.min(wanted, MAX_REFRESH_TOKEN_SECONDS)', 'wanted'],
  ]),
  ...noticedBy('test/integration/uaa/changes-at-once.test.ts', [
    ...['a secret that is replaced', 'an update of a client'].map(
      (title) => [`SECURITY 14: ${title}`, 'uaa/clients/store.ts', '.forUpdate()', ''] as const,
    ),
    [
      'SECURITY 14: a client whose secret',
      CLIENTS,
      'if (proved !== null && !current.secret_hashes.includes(proved)) refuseOldSecret();',
      '',
    ],
    ['SECURITY 14: who proved the old password', 'uaa/users/store.ts', "$if(over === 'the same',", '$if(false,'],
  ]),
  ...noticedBy('test/integration/uaa/revocations.test.ts', [
    ['SECURITY 14: after their deletion', ACCESS, "if (revoked) throw new InvalidTokenError('it is revoked');", ''],
    ['SECURITY 14: who changes their password', ACCESS, "generationOf(payload, 'user_generation')", '0'],
    [
      'SECURITY 14: a client that is made anew',
      MIGRATIONS,
      "IF EXISTS (SELECT FROM token_revocations WHERE kind = 'CLIENT' AND subject = NEW.client_id) THEN",
      'IF false THEN',
    ],
    [
      'SECURITY 14: a client that is made anew',
      MIGRATIONS,
      "PERFORM revoke_tokens('CLIENT', OLD.client_id, nextval('token_generations'));",
      '',
    ],
    ['SECURITY 14: a code that was given before', CODES, 'return services.verifier.inForce(token, ', UNASKED],
    ['SECURITY 14: all tokens of a user', TOKENS, 'if (user?.token_salt) identity', 'if (false) identity'],
    ['SECURITY 14: all tokens of a user', TOKENS, 'if (client.token_salt) identity', 'if (false) identity'],
  ]),
  ...noticedBy('test/integration/uaa/revocation-list.test.ts', [
    [
      'SECURITY 14: a verifier that has just started',
      ACCESS,
      "if (revoked) throw new InvalidTokenError('it is revoked');",
      '',
    ],
    ...['with an error', 'never'].map(
      (how) =>
        [
          `SECURITY 14: while UAA answers ${how}`,
          'contracts/revocation-list.ts',
          'if (this.#age() > this.#times.maxAgeMs) await this.#freshen();',
          '',
        ] as const,
    ),
    [
      'SECURITY 14: a revocation that is committed',
      'uaa/oauth/revocations.ts',
      'pg_snapshot_xmin(pg_current_snapshot()) AS next',
      'pg_snapshot_xmax(pg_current_snapshot()) AS next',
    ],
  ]),
  ...noticedBy('test/unit/kit/shared-answers.test.ts', [
    [
      'SECURITY 14: an answer is never',
      'kit/shared-answers.ts',
      'const waiting = this.#next.get(key);',
      'if (running) return running;\n    const waiting = this.#next.get(key);',
    ],
  ]),
  ...noticedBy('test/integration/uaa/authorization-code.test.ts', [
    ['SECURITY 14: a code opens nothing once', CODES, 'return services.verifier.inForce(token, ', UNASKED],
  ]),
];
