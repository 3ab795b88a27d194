import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { redact } from '../../../src/cloud-controller/audit-events/redact.ts';
import { CfError } from '../../../src/cloud-controller/errors.ts';
import { parseJson } from '../../../src/cloud-controller/json.ts';
import { parseLabelSelector } from '../../../src/cloud-controller/label-selector.ts';
import { labelKeyError, labelValueError, mergeMetadata } from '../../../src/cloud-controller/metadata.ts';
import { parseQuery } from '../../../src/cloud-controller/query.ts';
import { checkRules } from '../../../src/cloud-controller/security-groups/rules.ts';

function refused(body: () => unknown, title: string, detail: RegExp): void {
  assert.throws(body, (error: unknown) => {
    assert.ok(error instanceof CfError, String(error));
    assert.equal(error.title, title);
    assert.match(error.detail, detail);
    return true;
  });
}

describe('query strings', () => {
  const rules = { list: true, labels: true, filters: ['names'], orderBy: ['name'], include: ['space'] };

  it('have pages of 50 until another size up to 5000 is asked for', () => {
    assert.equal(parseQuery({}, rules).perPage, 50);
    assert.equal(parseQuery({ per_page: '5000' }, rules).perPage, 5000);
    refused(() => parseQuery({ per_page: '5001' }, rules), 'BadQueryParameter', /Per page must be between 1 and 5000/);
    for (const value of ['0', '-1', 'x', '1e3', '9'.repeat(400), '']) {
      refused(() => parseQuery({ page: value }, rules), 'BadQueryParameter', /Page must be/);
    }
  });

  it('name only what the operation knows', () => {
    refused(() => parseQuery({ nope: '1' }, rules), 'BadQueryParameter', /Unknown query parameter\(s\): 'nope'/);
    refused(() => parseQuery({ order_by: 'guid' }, rules), 'BadQueryParameter', /Order by can only be: 'created_at'/);
    refused(() => parseQuery({ include: 'app' }, rules), 'BadQueryParameter', /Invalid included resource: 'app'/);
    refused(() => parseQuery({ include: 'space,space' }, rules), 'BadQueryParameter', /Duplicate included/);
    refused(() => parseQuery({ 'created_ats[gt]': 'yesterday' }, rules), 'BadQueryParameter', /timestamp format/);
    refused(() => parseQuery({ 'created_ats[eq]': '2026-01-01T00:00:00Z' }, rules), 'BadQueryParameter', /operator/);
  });

  it('keep the comma that was encoded twice inside a value', () => {
    assert.deepEqual(parseQuery({ names: 'a%2Cb,c' }, rules).filters.get('names'), ['a,b', 'c']);
  });

  it('order both ways', () => {
    assert.deepEqual(parseQuery({ order_by: '-name' }, rules).orderBy, { column: 'name', descending: true });
    assert.deepEqual(parseQuery({ order_by: '+name' }, rules).orderBy, { column: 'name', descending: false });
  });
});

describe('label selectors', () => {
  it('speak equality, sets and existence', () => {
    assert.deepEqual(parseLabelSelector('a=b,c!=d,e in (f,g),h notin (i),j,!example.org/k'), [
      { operator: 'in', key: 'a', values: ['b'] },
      { operator: 'notin', key: 'c', values: ['d'] },
      { operator: 'in', key: 'e', values: ['f', 'g'] },
      { operator: 'notin', key: 'h', values: ['i'] },
      { operator: 'exists', key: 'j' },
      { operator: 'absent', key: 'example.org/k' },
    ]);
  });

  it('are bounded, however long or crooked (SECURITY 25)', () => {
    refused(() => parseLabelSelector(''), 'BadQueryParameter', /Missing label_selector value/);
    refused(() => parseLabelSelector(Array(51).fill('a').join(',')), 'BadQueryParameter', /maximum is 50/);
    refused(() => parseLabelSelector('a'.repeat(100_000)), 'BadQueryParameter', /Invalid label_selector/);
    for (const text of ['a in (b', 'a in ((b))', ')', 'a==b==c', 'a;b', "a'--", 'a in b']) {
      refused(() => parseLabelSelector(text), 'BadQueryParameter', /label_selector|key|invalid/);
    }
    const began = performance.now();
    assert.throws(() => parseLabelSelector(`${'a '.repeat(4000)}in`));
    assert.ok(performance.now() - began < 200);
  });
});

describe('metadata', () => {
  it('has keys and values as Kubernetes has them', () => {
    assert.equal(labelKeyError('example.org/tier'), null);
    assert.equal(labelValueError('gold-1.0'), null);
    assert.match(labelKeyError('cloudfoundry.org/x')!, /reserved/);
    assert.match(labelKeyError('a/b/c')!, /more than one/);
    assert.match(labelKeyError('-a')!, /starts or ends/);
    assert.match(labelKeyError('a'.repeat(64))!, /greater than 63/);
    assert.match(labelValueError('a b')!, /invalid characters/);
  });

  it('is merged; null takes away; the number of keys is bounded', () => {
    const before = { labels: { a: '1', b: '2' }, annotations: {} };
    assert.deepEqual(mergeMetadata(before, { labels: { a: null, c: '3' } }).labels, { b: '2', c: '3' });
    const many = Object.fromEntries(Array.from({ length: 201 }, (_, index) => [`k${index}`, 'v']));
    refused(() => mergeMetadata(before, { labels: many }), 'UnprocessableEntity', /exceed maximum of 200/);
  });
});

describe('JSON bodies', () => {
  it('may be empty, and are refused when they are no JSON, too deep or poisoned', () => {
    assert.deepEqual(parseJson(''), {});
    assert.deepEqual(parseJson('{"a":"[[[[{{{{"}'), { a: '[[[[{{{{' });
    for (const text of ['{', 'x', '[1,]', `${'['.repeat(100)}${']'.repeat(100)}`, '{"__proto__":{"admin":true}}']) {
      refused(() => parseJson(text), 'MessageParseError', /parse error: invalid request body/);
    }
    const began = performance.now();
    assert.throws(() => parseJson('['.repeat(1_000_000)));
    assert.ok(performance.now() - began < 500);
  });
});

describe('audit data', () => {
  it('keeps no secret, wherever it stands (SECURITY 28)', () => {
    const planted = 'planted-secret';
    const data = redact({
      request: {
        name: 'web',
        environment_variables: { DB: planted },
        var: { A: planted },
        nested: [{ password: planted, docker: { credentials: { username: planted } } }],
        client_secret: planted,
      },
    });
    assert.ok(!JSON.stringify(data).includes(planted));
    assert.ok(JSON.stringify(data).includes('web'));
  });
});

describe('security group rules', () => {
  it('take addresses, networks, ranges and ports as the field writes them', () => {
    checkRules([
      { protocol: 'tcp', destination: '10.0.0.1,10.1.0.0/16,10.2.0.0-10.2.0.9', ports: '80,443,8000-9000' },
      { protocol: 'icmp', destination: '0.0.0.0/0', type: -1, code: -1 },
      { protocol: 'all', destination: '0.0.0.0-9.255.255.255' },
    ]);
  });

  it('are refused by index', () => {
    const bad = (rule: Parameters<typeof checkRules>[0][number], why: RegExp): void =>
      refused(() => checkRules([rule]), 'UnprocessableEntity', why);
    bad({ protocol: 'tcp', destination: '10.0.0.1' }, /Rules\[0\]: ports are required/);
    bad({ protocol: 'tcp', destination: '10.0.0.1', ports: '0' }, /ports must be a valid/);
    bad({ protocol: 'tcp', destination: '10.0.0.1', ports: '90-80' }, /ports must be a valid/);
    bad({ protocol: 'all', destination: '10.0.0.1', ports: '80' }, /ports are not allowed/);
    bad({ protocol: 'all', destination: '10.0.0.0/33' }, /destination/);
    bad({ protocol: 'all', destination: '10.0.0.9-10.0.0.1' }, /destination/);
    bad({ protocol: 'all', destination: '10.0.0.1; drop' }, /whitespace/);
    bad({ protocol: 'all', destination: 'example.org' }, /destination/);
    bad({ protocol: 'icmp', destination: '10.0.0.1' }, /code is required/);
  });
});
