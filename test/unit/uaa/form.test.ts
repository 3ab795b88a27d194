import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clientCredentialsOf } from '../../../src/uaa/clients/secrets.ts';
import { UaaError } from '../../../src/uaa/errors.ts';
import { Form } from '../../../src/uaa/http/form.ts';

const refused = (kind: string) => (error: unknown) => error instanceof UaaError && error.kind === kind;
const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;

test('SECURITY 15: a parameter that comes twice, or as an array, is refused', () => {
  assert.throws(() => new Form('scope=a&scope=b'), refused('invalid_request'));
  assert.throws(() => new Form('scope[]=a'), refused('invalid_request'));
  assert.throws(() => new Form('scope%5B0%5D=a'), refused('invalid_request'));
  assert.throws(() => new Form('a=1').over(new Form('a=2')), refused('invalid_request'));
  assert.equal(new Form('scope=a+b').get('scope'), 'a b');
});

test('SECURITY 25: a form of more fields than any request has is refused before they are decoded', () => {
  const fields = (count: number): string => Array.from({ length: count }, (_, index) => `p${index}=1`).join('&');
  assert.equal(new Form(fields(50)).get('p49'), '1');
  assert.throws(() => new Form(fields(51)), refused('invalid_request'));
  assert.throws(() => new Form('&'.repeat(32_000)), refused('invalid_request'));
  assert.deepEqual(new Form('a=1').over(new Form('b=2')).names(), ['b', 'a']);
});

test('client credentials come by Basic or in the body, never as two', () => {
  assert.deepEqual(clientCredentialsOf(basic('cf:'), new Form('')), { id: 'cf', secret: '' });
  assert.deepEqual(clientCredentialsOf(basic('a:b:c'), null), { id: 'a', secret: 'b:c' });
  assert.deepEqual(clientCredentialsOf(basic('a:p%3Aq'), null), { id: 'a', secret: 'p:q' });
  assert.deepEqual(clientCredentialsOf(undefined, new Form('client_id=x&client_secret=y')), { id: 'x', secret: 'y' });
  assert.equal(clientCredentialsOf(undefined, new Form('')), null);
  assert.throws(() => clientCredentialsOf(basic('a:b'), new Form('client_id=c')), refused('invalid_client'));
  assert.throws(() => clientCredentialsOf(basic('nocolon'), null), refused('invalid_client'));
});
