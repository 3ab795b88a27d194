import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkDomainFormat } from '../../../src/cloud-controller/domains/names.ts';
import { guid } from '../../../src/cloud-controller/guid.ts';
import { checkHost } from '../../../src/cloud-controller/routes/create.ts';
import { isRoutePath, routePathKey } from '../../../src/contracts/route-grammar.ts';
import { isRouteKey, routeKey } from '../../../src/router/route-table.ts';

const ODD = [...";,'()!*$&+=:@~%-._/", '%2F', 'a', 'Z', '9'];

/** The same numbers at each run (a linear congruential generator). */
function* numbers(seed: number): Generator<number> {
  for (let state = seed; ; ) {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    yield state;
  }
}

test('whatever path the API accepts, the router serves, and finds again in its file', () => {
  const random = numbers(7);
  const next = (below: number) => random.next().value % below;
  let accepted = 0;
  for (let count = 0; count < 20_000; count += 1) {
    const path = `/${Array.from({ length: next(12) }, () => ODD[next(ODD.length)]).join('')}`;
    if (!isRoutePath(path)) continue;
    accepted += 1;
    const key = routeKey('app.cupola.test', path);
    assert.ok(key !== null && isRouteKey(key), path);
    assert.doesNotMatch(key, /\s/);
    assert.equal(key, `app.cupola.test${routePathKey(path)}/`);
  }
  assert.ok(accepted > 19_000, `${accepted}`);
  const longest = `/${'a'.repeat(127)}`;
  assert.ok(isRouteKey(routeKey('app.cupola.test', longest) ?? ''));
});

test('no path holds what would end a word or a line, a query or a byte beyond ASCII', () => {
  for (const odd of [' ', '\n', '\r', '\t', '\0', '?', '#', '"', '\\', '<', '|', '{', 'é', '\u2028']) {
    assert.equal(isRoutePath(`/a${odd}b`), false, JSON.stringify(odd));
    assert.equal(routeKey('app.cupola.test', `/a${odd}b`), null);
  }
  assert.equal(isRoutePath('a'), false);
});

test('paths that differ in case or in a last slash are one route', () => {
  assert.equal(routePathKey('/Case'), routePathKey('/case/'));
});

test('RTR-03: whatever host and domain the API accepts, the router serves, and what the router does not serve the API refuses', () => {
  const random = numbers(11);
  const next = (below: number) => random.next().value % below;
  const pick = (from: readonly string[], most: number) =>
    Array.from({ length: next(most + 1) }, () => from[next(from.length)]).join('');
  const letters = ['a', 'Z', '9', '-', '_', 'a', 'b', '0'];
  const strange = [...letters, '.', '*', ' ', '\n', '\u00e9', '\u212a', '/', ':', '%', ';', 'x'.repeat(60)];
  const accepts = (check: () => void): boolean => {
    try {
      check();
      return true;
    } catch {
      return false;
    }
  };
  const counts = { accepted: 0, refused: 0 };
  for (let count = 0; count < 20_000; count += 1) {
    const host = pick(count % 2 ? letters : strange, 6).toLowerCase();
    const labels = Array.from({ length: 1 + next(5) }, () => pick(count % 3 ? ['a', 'Z', '9', '-'] : strange, 4));
    const name = labels.join('.');
    const domain = { name, organization_guid: next(2) ? guid<'organization'>('org') : null, internal: next(9) === 0 };
    const accepted = accepts(() => checkDomainFormat(name)) && accepts(() => checkHost(host, domain));
    counts[accepted ? 'accepted' : 'refused'] += 1;
    const key = routeKey(host === '' ? name : `${host}.${name}`, '');
    if (accepted) assert.ok(key !== null && isRouteKey(key), JSON.stringify([host, name]));
    if (key === null) assert.ok(!accepted, JSON.stringify([host, name]));
  }
  assert.ok(counts.accepted > 500 && counts.refused > 500, JSON.stringify(counts));
});

test('no host is longer than the router serves', () => {
  const domain = {
    name: `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}`,
    organization_guid: guid<'organization'>('org'),
    internal: false,
  };
  const longest = 'h'.repeat(253 - domain.name.length - 1);
  checkHost(longest, domain);
  assert.ok(routeKey(`${longest}.${domain.name}`, ''));
  assert.throws(() => checkHost(`${longest}h`, domain));
  assert.equal(routeKey(`${longest}h.${domain.name}`, ''), null);
});
