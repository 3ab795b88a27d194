import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { openApi } from '../../../src/cloud-controller/openapi.ts';
import { operations } from '../../../src/cloud-controller/resources.ts';
import { API_VERSION } from '../../../src/cloud-controller/root/version.ts';

const DOCUMENT = new URL('../../../docs/openapi.json', import.meta.url);

interface Described {
  paths: Record<string, Record<string, { operationId: string; responses: Record<string, unknown> }>>;
}

describe('the OpenAPI document', () => {
  const document = openApi(operations, API_VERSION) as unknown as Described;
  const described = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, one]) => ({ id: `${method.toUpperCase()} ${path}`, ...one })),
  );

  it('is what the operations declare (run with UPDATE_GOLDEN=1 after a wanted change)', () => {
    const text = `${JSON.stringify(document, null, 1)}\n`;
    if (process.env['UPDATE_GOLDEN'] === '1' || !existsSync(DOCUMENT)) writeFileSync(DOCUMENT, text);
    assert.equal(readFileSync(DOCUMENT, 'utf8'), text);
  });

  it('describes every operation once, each under a name of its own', () => {
    assert.deepEqual(
      described.map(({ id }) => id.replaceAll(/\{(\w+)\}/g, ':$1')).sort(),
      operations.map(({ id }) => id).sort(),
    );
    assert.equal(new Set(described.map(({ operationId }) => operationId)).size, described.length);
  });

  it('says what each of them answers', () => {
    const silent = described.filter(({ responses }) => Object.keys(responses).length < 2);
    assert.deepEqual(
      silent.map(({ id }) => id),
      [],
    );
  });
});
