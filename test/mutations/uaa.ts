import { noticedBy } from './mutation.ts';

const APP = 'uaa/http/app.ts';
const AUTHORITY = 'uaa/clients/authority.ts';
const CLIENTS = 'uaa/clients/operations.ts';
const CODES = 'uaa/oauth/authorization-code-grant.ts';
const FILTER = 'uaa/scim/filter.ts';
const GATE = 'uaa/http/gate.ts';
const GUARD = 'uaa/users/login-guard.ts';
const SCOPES = 'uaa/oauth/scopes.ts';
const TURNS = 'uaa/users/fair-queue.ts';
const VERIFIER = 'uaa/oauth/token-verifier.ts';

export const uaa = [
  ...noticedBy('test/unit/uaa/form.test.ts', [
    ['SECURITY 15: ', 'uaa/http/form.ts', "if (values.has(name)) refuse('A request", "if (false) refuse('A request"],
    ['SECURITY 15: ', 'uaa/http/form.ts', '/[[\\]]/.test(name)', 'false'],
    ['SECURITY 25: a form of more', 'uaa/http/form.ts', 'if (fieldsIn(text) > MAX_FIELDS)', 'if (false)'],
  ]),
  ...noticedBy('test/unit/uaa/scim-filter.test.ts', [
    ['SECURITY 20: ', FILTER, 'const MAX_LENGTH = 32_768;', 'const MAX_LENGTH = 3_276_800;'],
    ['SECURITY 20: ', FILTER, 'const MAX_TERMS = 1_000;', 'const MAX_TERMS = 100_000;'],
    ['SECURITY 20: ', FILTER, 'const MAX_DEPTH = 32;', 'const MAX_DEPTH = 900;'],
  ]),
  ...noticedBy('test/integration/uaa/attacks.test.ts', [
    [
      'SECURITY 14: logging out',
      VERIFIER,
      "if (await this.#revocations.has(token.jti)) return refuse('the token is revoked');",
      '',
    ],
    [
      'SECURITY 14: who was made inactive',
      'uaa/migrations.ts',
      'IF OLD.active AND NOT NEW.active THEN NEW.token_salt := gen_random_uuid()::text; END IF;',
      '',
    ],
    [
      'SECURITY 14: a user cannot revoke',
      GATE,
      "if (parameter(request, 'tokenId') === token.jti) return;",
      'if (token.jti) return;',
    ],
    [
      'SECURITY 14: of a deleted user',
      VERIFIER,
      "if (token.userId !== null && !user) return refuse('the user is gone');",
      'if (token.userId !== null && !user) return { client, user };',
    ],
    [
      'SECURITY 14: after a new password',
      VERIFIER,
      '!revocationSignatures(client, user).includes(token.signature)',
      'false',
    ],
    [
      'SECURITY 14: after a new password',
      VERIFIER,
      "if (user && !user.active) return refuse('the user is not active');",
      '',
    ],
    ['SECURITY 15: ', SCOPES, 'if (!allowed.includes(scope)) {', 'if (false) {'],
    ['SECURITY 15: ', SCOPES, 'userGroups.has(scope) && (requested', '(requested'],
    ['SECURITY 16: who makes a client', AUTHORITY, 'if (isAdmin(caller)) return;', 'return;'],
    ['SECURITY 16: who makes a client', AUTHORITY, 'if (powers.auto_approve.length > 0) {', 'if (false) {'],
    [
      'SECURITY 16: who makes a client',
      CLIENTS,
      'refuseBeyondCaller(callers.of(request), current);\n      refuseBeyondCaller(callers.of(request), values);',
      'refuseBeyondCaller(callers.of(request), values);',
    ],
    ['SECURITY 16: who makes a client', CLIENTS, 'caller.client.client_id !== clientId)) {', 'false)) {'],
    [
      'SECURITY 16: scim.write',
      'uaa/permissions.ts',
      "'POST /Groups/:id/members': scopes('scim.write', 'uaa.admin')",
      "'POST /Groups/:id/members': scopes('uaa.admin')",
    ],
    [
      'SECURITY 20: filters',
      'uaa/scim/sql.ts',
      'attributes.get(name) ?? refuse()',
      "attributes.get(name) ?? { column: sql.ref(name), type: 'text' }",
    ],
    ['SECURITY 20: filters', 'uaa/scim/sql.ts', 'starts_with(${left}, ${right})', "${left} LIKE ${right} || '%'"],
    [
      'SECURITY 20: fuzzed',
      FILTER,
      "return token?.kind === 'word' ? token.text : refuse();",
      'return (token as { text: string }).text;',
    ],
    [
      'SECURITY 23: ',
      GATE,
      "token.user !== null && token.user.id === parameter(request, 'id')",
      "token.claims.sub === parameter(request, 'id')",
    ],
    [
      'SECURITY 23: ',
      'uaa/clients/store.ts',
      "if (exists) throw new UaaError('invalid_client_definition'",
      "if (false) throw new UaaError('invalid_client_definition'",
    ],
    [
      'SECURITY 28: ',
      'uaa/oauth/password-grant.ts',
      '{ user: user?.id ?? null, origin',
      '{ user: user?.id ?? userName, origin',
    ],
  ]),
  ...noticedBy('test/integration/uaa/lockout.test.ts', [
    ['SECURITY 19: five', GUARD, 'userName.toLowerCase()]', 'userName]'],
    ['SECURITY 19: five', GUARD, 'if (row) locked();', ''],
    ['SECURITY 19: after a lock', GUARD, 'END >= ${most}', 'END = ${most}'],
    ['SECURITY 19: guesses at the same time', GUARD, 'if (rows.length === 0) locked();', ''],
    ['SECURITY 19: a right password', GUARD, 'if (rows.length === 0) locked();', ''],
    [
      'SECURITY 19: a right password',
      GUARD,
      'succeeded: async () => {\n        await this.#refuseLocked(counter);',
      'succeeded: async () => {',
    ],
    ['SECURITY 19: strangers', GUARD, 'known ? placeHash(login) : nameHash(login)', 'nameHash(login)'],
    ['SECURITY 19: strangers', GUARD, 'known ? placeHash(login) : nameHash(login)', 'placeHash(login)'],
    ['SECURITY 19: strangers', GUARD, 'hashOf([origin, userName.toLowerCase(), address])', 'hashOf([address])'],
    ['SECURITY 19: an address is known', GUARD, '.limit(MOST_KNOWN)', '.limit(1_000)'],
    ['SECURITY 19: an address is known', GUARD, ".where('last_login_at', '>', this.#ago(KNOWN_DAYS * 86_400))", ''],
    ['SECURITY 19: the old password', 'uaa/users/password-operation.ts', 'await attempt.failed();', ''],
    [
      'SECURITY 19: an unknown name',
      'uaa/users/passwords.ts',
      'const against = stored ?? (await this.#decoy);',
      'if (stored === null) return false;\n    const against = stored;',
    ],
    [
      'SECURITY 19: an unknown name',
      'uaa/oauth/password-grant.ts',
      'const right = await',
      'const right = user?.active && await',
    ],
    ['SECURITY 19: an unknown client', 'uaa/clients/secrets.ts', 'if (!client) await', 'if (false) await'],
  ]),
  ...noticedBy('test/unit/uaa/fair-queue.test.ts', [
    [
      'SECURITY 19: who sends much',
      TURNS,
      'this.#queues.delete(caller);\n    if (queue.length > 0) this.#queues.set(caller, queue);',
      'if (queue.length === 0) this.#queues.delete(caller);',
    ],
    ['SECURITY 19: what waits', TURNS, 'if (queue.length >= mostWaiting) throw tooMany();', ''],
    [
      'SECURITY 19: what waits',
      TURNS,
      'if (this.#waiting >= this.#limits.waiting) this.#makePlace(queue.length + 1);',
      '',
    ],
    ['SECURITY 19: who goes away', TURNS, 'if (options.gone?.aborted) throw nobodyWaits();', ''],
    ['SECURITY 19: who goes away', TURNS, "gone?.addEventListener('abort', leave, { once: true });", ''],
    ['SECURITY 19: a few callers', TURNS, 'longest.length > own ? longest.pop() : undefined', 'undefined'],
  ]),
  ...noticedBy('test/integration/uaa/overload.test.ts', [
    ['SECURITY 19: of a burst of logins', 'uaa/users/passwords.ts', 'waitingPerCaller: 20', 'waitingPerCaller: 200'],
    [
      'SECURITY 19: logins whose clients have gone',
      'kit/request-end.ts',
      "response?.once('close', () => controller.abort());",
      '',
    ],
  ]),
  ...noticedBy('test/integration/uaa/door.test.ts', [
    ['SECURITY 25: every operation', APP, 'await gate(requirement, request);', ''],
    ['SECURITY 25: a body past', APP, 'const JSON_BYTES = 262_144;', 'const JSON_BYTES = 262_144_000;'],
    ['SECURITY 25: a body past', APP, 'const FORM_BYTES = 32_768;', 'const FORM_BYTES = 262_144;'],
    [
      'SECURITY 25: what is nowhere',
      APP,
      'if (path === undefined) throw noSuchOperation(request, reply);',
      'if (path === undefined) return void responses.set(request, reply.raw);',
    ],
    ['SECURITY 25: what is nowhere', 'kit/http.ts', "if (request.url.includes('%00')) {", 'if (false) {'],
    ['SECURITY 25: a body of another type', APP, 'type !== FORM && type !== JSON_TYPE', 'false'],
    [
      'SECURITY 25: a compressed body',
      'kit/http.ts',
      "(request.headers['content-encoding'] ?? 'identity').trim().toLowerCase() !== 'identity'",
      'false',
    ],
    [
      'SECURITY 25: a body without end',
      'kit/http.ts',
      "boundUnread(request.raw, reply.raw);\n    reply.header('X-Vcap-Request-Id', request.id);\n    withRequestId",
      "reply.header('X-Vcap-Request-Id', request.id);\n    withRequestId",
    ],
  ]),
  ...noticedBy('test/integration/uaa/tokens.test.ts', [
    ['SECURITY 28: what belongs', APP, 'if (query.names().some(', 'if (false && query.names().some('],
  ]),
  ...noticedBy('test/integration/uaa/authorization-code.test.ts', [
    ['SECURITY 17: a code is good once', 'uaa/oauth/authorization-codes.ts', '|| row.expires_at <= this.#clock()', ''],
    ['SECURITY 17: a code is good once', CODES, 'if (grant.clientId !== client.client_id)', 'if (false)'],
    [
      'SECURITY 17: the address',
      CODES,
      '!client.redirect_uris.includes(chosen)',
      '!client.redirect_uris.some((one) => chosen.startsWith(one))',
    ],
    [
      'SECURITY 17: the address',
      CODES,
      "grant.redirectUri !== null && grant.redirectUri !== form.get('redirect_uri')",
      'false',
    ],
    ['SECURITY 17: a code with a challenge', CODES, 'if (!sameSecret(challenge, grant.codeChallenge))', 'if (false)'],
    ['SECURITY 17: a code with a challenge', CODES, "query.get('code_challenge_method') !== 'S256' ||", ''],
  ]),
];
