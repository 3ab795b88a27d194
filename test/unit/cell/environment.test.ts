import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { localeIn, lrpProperties } from '../../../src/cell/rep/container-properties.ts';
import { containerEnvironment } from '../../../src/cell/rep/environment.ts';
import { localeOf } from '../../../src/cell/stack/packages.ts';
import { stagingEnvironment } from '../../../src/cell/staging/environment.ts';
import { DesiredLrpSchema, EnvironmentVariableSchema, TaskSchema } from '../../../src/contracts/gen/diego_pb.js';

const FACTS = { hostAddress: '10.0.0.1', address: '10.255.0.2', instanceGuid: 'i', memoryMb: 64 };
const given = (LANG?: string) =>
  LANG === undefined ? [] : [create(EnvironmentVariableSchema, { name: 'LANG', value: LANG })];

test('what runs on a stack has the locale that the stack has, unless the app says another', () => {
  assert.equal(localeOf('debian12'), 'en_US.UTF-8');
  const on = { ...FACTS, locale: localeOf('debian12') };
  assert.equal(containerEnvironment(given(), on)['LANG'], 'en_US.UTF-8');
  assert.equal(containerEnvironment(given('de_DE.UTF-8'), on)['LANG'], 'de_DE.UTF-8');
  assert.equal(containerEnvironment(given(''), on)['LANG'], '');
});

test('a container image has the locale it names itself, or none', () => {
  const image = (environment: Record<string, string>) => ({
    config: { environment },
    user: { name: 'root', home: '/root' },
  });
  const on = { ...FACTS, locale: localeOf('debian12') };
  assert.equal(containerEnvironment(given(), { ...on, image: image({}) })['LANG'], undefined);
  assert.equal(containerEnvironment(given(), { ...on, image: image({ LANG: 'C' }) })['LANG'], 'C');
  assert.equal(containerEnvironment(given('POSIX'), { ...on, image: image({ LANG: 'C' }) })['LANG'], 'POSIX');
});

test('staging has it too; the operator’s word weighs more, and the app’s most', () => {
  const task = (LANG?: string) => create(TaskSchema, { stack: 'debian12', environment: given(LANG) });
  assert.equal(stagingEnvironment(task(), {}, {})['LANG'], 'en_US.UTF-8');
  assert.equal(stagingEnvironment(task(), { LANG: 'C' }, {})['LANG'], 'C');
  assert.equal(stagingEnvironment(task('POSIX'), { LANG: 'C' }, {})['LANG'], 'POSIX');
});

test('a container that outlived its cell process says which locale it has: an older stack has the basic one alone', () => {
  const properties = lrpProperties(create(DesiredLrpSchema, { stack: 'debian12' }), 0, 'i');
  assert.equal(localeIn({ properties }), 'en_US.UTF-8');
  assert.equal(localeIn({ properties: {} }), 'C.UTF-8');
});
