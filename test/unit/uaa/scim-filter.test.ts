import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UaaError } from '../../../src/uaa/errors.ts';
import { parseScimFilter } from '../../../src/uaa/scim/filter.ts';
import { processorTime } from '../../support/processor-time.ts';

const refused = (error: unknown) => error instanceof UaaError && error.kind === 'invalid_filter';
const eq = (attribute: string, value: string | boolean) => ({ kind: 'compare', attribute, operator: 'eq', value });

test('comparisons, presence and literals are read; names and operators without regard to case', () => {
  assert.deepEqual(parseScimFilter('userName eq "marissa"'), eq('username', 'marissa'));
  assert.deepEqual(parseScimFilter('  active EQ true '), eq('active', true));
  assert.deepEqual(parseScimFilter('externalId pr'), { kind: 'present', attribute: 'externalid' });
  assert.deepEqual(parseScimFilter(String.raw`userName eq "a\"b\\cä"`), eq('username', 'a"b\\cä'));
});

test('`and` binds tighter than `or`; parentheses and `not` are kept', () => {
  assert.deepEqual(parseScimFilter('a eq "1" or b eq "2" and c eq "3"'), {
    kind: 'or',
    terms: [eq('a', '1'), { kind: 'and', terms: [eq('b', '2'), eq('c', '3')] }],
  });
  assert.deepEqual(parseScimFilter('(a eq "1" or b eq "2") and not (c eq "3")'), {
    kind: 'and',
    terms: [
      { kind: 'or', terms: [eq('a', '1'), eq('b', '2')] },
      { kind: 'not', term: eq('c', '3') },
    ],
  });
});

test('what is no filter is refused', () => {
  const none = [
    '',
    'userName',
    'userName eq',
    'userName eq marissa',
    'userName is "x"',
    'userName eq "x" and',
    '("x")',
  ];
  const broken = ['(userName eq "x"', 'userName eq "x")', 'userName eq "x', 'userName eq "x" "y"', "userName eq 'x'"];
  const injected = ['userName eq "x"; DROP TABLE users', 'userName eq "x" -- ', '1 eq 1', String.raw`a eq "\q"`];
  for (const text of [...none, ...broken, ...injected]) assert.throws(() => parseScimFilter(text), refused, text);
});

test('SECURITY 20: length, terms and depth are bounded, and a hostile filter costs little', () => {
  const hostile = [
    `a eq "${'x'.repeat(40_000)}"`,
    `${'('.repeat(5_000)}a pr${')'.repeat(5_000)}`,
    Array(2_000).fill('a pr').join(' or '),
    `a eq "${'\\'.repeat(30_001)}`,
    'not '.repeat(8_000),
  ];
  const spent = processorTime(() => {
    for (const text of hostile) assert.throws(() => parseScimFilter(text), refused);
  });
  assert.ok(spent < 1_000, `${spent} ms`);
  // Each bound by itself, and what is just within it.
  const because = (why: RegExp) => (error: unknown) =>
    refused(error) && error instanceof UaaError && why.test(error.message);
  const nested = (depth: number) => `${'('.repeat(depth)}a pr${')'.repeat(depth)}`;
  assert.ok(parseScimFilter(nested(32)));
  assert.throws(() => parseScimFilter(nested(33)), because(/nested too deeply/));
  const terms = (count: number) => Array(count).fill('a pr').join(' or ');
  assert.ok(parseScimFilter(terms(1_000)));
  assert.throws(() => parseScimFilter(terms(1_001)), because(/too many terms/));
  assert.throws(() => parseScimFilter(`a eq "${'x'.repeat(32_768)}"`), because(/too long/));
});
