import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CfError } from '../../../src/cloud-controller/errors.ts';
import { parseJson } from '../../../src/cloud-controller/json.ts';
import { parseLabelSelector } from '../../../src/cloud-controller/label-selector.ts';
import { labelKeyError, labelValueError, mergeMetadata } from '../../../src/cloud-controller/metadata.ts';
import { parseQuery } from '../../../src/cloud-controller/query.ts';
import { processorTime } from '../../support/processor-time.ts';

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

describe('what an operation reads of a query string', () => {
  const rules = {
    list: true,
    labels: true,
    filters: ['names'],
    values: ['host'],
    include: ['space'],
    embed: ['process_instances'],
    fields: { space: ['guid'] },
  };
  const given = {
    names: 'a',
    host: 'b',
    guids: 'c',
    order_by: 'created_at',
    'created_ats[gt]': '2026-01-01T00:00:00Z',
    label_selector: 'a',
    include: 'space',
    embed: 'process_instances',
    'fields[space]': 'guid',
  };

  it('is told by name: all that was given at first, and nothing when all of it was read', () => {
    const query = parseQuery(given, rules);
    const names = Object.keys(given).map((name) => name.replace('[gt]', ''));
    assert.deepEqual(query.unread.names.toSorted(), names.toSorted());
    query.filters.get('names');
    query.filters.has('guids');
    query.values.get('host');
    assert.ok(query.orderBy?.column === 'created_at');
    assert.equal(query.include.size, 1);
    for (const all of [query.times, query.labels, query.embed]) assert.equal([...all].length, 1);
    assert.deepEqual(query.unread.names, ['fields[space]']);
    query.fields.get('space');
    assert.deepEqual(query.unread.names, []);
  });

  it('is not told read by a copy, which nothing has looked into', () => {
    const query = parseQuery({ names: 'a', order_by: 'created_at' }, rules);
    assert.equal(new Map({ ...query }.filters).size, 1);
    assert.deepEqual(query.unread.names.toSorted(), ['names', 'order_by']);
    assert.deepEqual(parseQuery({}, rules).unread.names, []);
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
    const crooked = `${'a '.repeat(4000)}in`;
    const spent = processorTime(() =>
      refused(() => parseLabelSelector(crooked), 'BadQueryParameter', /label_selector/),
    );
    assert.ok(spent < 500, `${spent} ms`);
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
    const deep = '['.repeat(1_000_000);
    const spent = processorTime(() => refused(() => parseJson(deep), 'MessageParseError', /parse error/));
    assert.ok(spent < 1_000, `${spent} ms`);
  });
});
