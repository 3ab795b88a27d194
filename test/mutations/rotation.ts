import { noticedBy } from './mutation.ts';

const AUTHORITIES = 'platform/authorities.ts';
const CERTIFICATES = 'platform/certificates.ts';
const HTTP = 'kit/http.ts';
const KEYS = 'uaa/keys/signing-keys.ts';
const RENEWAL = 'cell/identity/renewal.ts';
const ROTATION = 'platform/rotation.ts';
const TLS = 'kit/tls.ts';

// biome-ignore-start lint/suspicious/noTemplateCurlyInString: the code's own text
/** Of certificates, roots and keys, and of what takes their place while all runs. */
export const rotation = [
  ...noticedBy('test/unit/cell/identity.test.ts', [
    ['SECURITY 35: credentials', RENEWAL, 'options.failed(error);', ''],
    ['SECURITY 35: credentials', RENEWAL, '      planIn(RETRY_MS);\n', ''],
    ['SECURITY 35: credentials', RENEWAL, '      throw error;\n', ''],
    ['SECURITY 35: credentials', RENEWAL, 'await running?.catch(() => {});', ''],
  ]),
  ...noticedBy('test/unit/kit/serve-hosts.test.ts', [
    ['SECURITY 22, TLS-07', HTTP, '(served?.peers ?? [...known]).includes(name)', '[...known].includes(name)'],
    ['SECURITY 22, TLS-07', HTTP, '(served?.peers ?? [...known])', '(served?.peers ?? [name])'],
    ['SECURITY 35: a listener', HTTP, '  followIdentity(options.identity, server);\n', ''],
    ['SECURITY 35: a listener', TLS, 'ca: next.ca };', 'ca: `${this.#current.ca}\\n${next.ca}` };'],
    [
      'SECURITY 35: a listener',
      TLS,
      '{ cert: next.cert, key: next.key,',
      '{ cert: this.#current.cert, key: this.#current.key,',
    ],
  ]),
  ...noticedBy('test/unit/platform/rotation.test.ts', [
    [
      'SECURITY 35: new roots',
      ROTATION,
      'await this.#renewComponents();\n    await routerRootsChanged();\n    // A router',
      'await routerRootsChanged();\n    // A router',
    ],
    ['SECURITY 35: new roots', ROTATION, '    await settle();\n', ''],
    [
      'SECURITY 35: new roots',
      ROTATION,
      "rotation?.phase === 'retiring' && this.#now() >= Date.parse(rotation.until)) await",
      "rotation?.phase === 'retiring') await",
    ],
    ['SECURITY 35: new roots', ROTATION, 'if (overlapMs > 0)', 'if (false)'],
    [
      'SECURITY 35: new roots',
      ROTATION,
      'await this.#renewComponents();\n    await this.#renewInstances();\n    save(retire',
      'save(retire',
    ],
    ['SECURITY 35: new roots', AUTHORITIES, '? rotation.former[name]', '? undefined'],
    ['SECURITY 35: new roots', AUTHORITIES, '{ ...secrets, rotation: null }', 'secrets'],
    [
      'SECURITY 35: a rotation',
      ROTATION,
      "throw new CupolaError('not_renewed',",
      "void new CupolaError('not_renewed',",
    ],
    ['SECURITY 35: a rotation', ROTATION, "if (rotation?.phase === 'announced') await", 'if (false) await'],
    ['SECURITY 35: a component that did not hear', AUTHORITIES, "rotation: { phase: 'retired' } }", 'rotation: null }'],
    [
      'SECURITY 35: with --overlap 0',
      ROTATION,
      'if (this.#now() >= Date.parse(rotation.until)) return [...done, ...(await this.#retire())];',
      '',
    ],
    ['SECURITY 35: with --overlap 0', ROTATION, '      return this.#retire();\n', '      return this.#introduce();\n'],
    ['SECURITY 35: while router roots', CERTIFICATES, '`${pair.cert}${rotation.routerCross}`', 'pair.cert'],
  ]),
  ...noticedBy('test/integration/router/rotation.test.ts', [
    [
      'SECURITY 35: the router’s own',
      'kit/haproxy.ts',
      'await this.tell(`commit ssl ${kind} ${file}`, /Success!$/);',
      '',
    ],
  ]),
  ...noticedBy('test/integration/uaa/signing-keys.test.ts', [
    ['SECURITY 35: the signing key', KEYS, 'now - newest.signs_from.getTime() > maxAgeMs', 'true'],
    ['SECURITY 35: the signing key', KEYS, 'now - newest.signs_from.getTime() > maxAgeMs', 'false'],
    ['SECURITY 35: the signing key', KEYS, 'trx, new Date(now + PUBLISH_AHEAD_MS)', 'trx, new Date(now)'],
    ['SECURITY 35: the signing key', KEYS, 'now - successor.signs_from.getTime() > longestTokenMs', 'false'],
    ['SECURITY 35: the signing key', KEYS, 'now - successor.signs_from.getTime() > longestTokenMs', 'true'],
    [
      'SECURITY 35: the signing key',
      KEYS,
      "await sql`SELECT pg_advisory_xact_lock(hashtext('uaa:signing-keys'))`.execute(trx);",
      '',
    ],
  ]),
  ...noticedBy('test/e2e/operator.test.ts', [
    [
      'SECURITY 35, IID-10',
      'cell/rep/rep.ts',
      'Promise.allSettled(all.map(',
      'Promise.allSettled(all.slice(0, 0).map(',
    ],
    ['SECURITY 35, 22', CERTIFICATES, '`${pair.cert}${rotation.routerCross}`', 'pair.cert'],
    ['SECURITY 35, 22', TLS, 'ca: next.ca };', 'ca: `${this.#current.ca}\\n${next.ca}` };'],
  ]),
];
// biome-ignore-end lint/suspicious/noTemplateCurlyInString: the code's own text
