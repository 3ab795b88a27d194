import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CfError } from '../../../src/cloud-controller/errors.ts';
import { noContent, operation } from '../../../src/cloud-controller/operation.ts';
import { permissionOf } from '../../../src/cloud-controller/permissions.ts';
import { operations } from '../../../src/cloud-controller/resources.ts';
import { perhapsInBody, placeless, subject } from '../../../src/cloud-controller/subject.ts';

describe('what an operation declares', () => {
  const answers = { 204: null };
  const run = async () => noContent();

  it('RBAC-04: one that lies in an organization or a space cannot be made without what lies there', () => {
    const nowhere = placeless('Thing', async () => ({}));
    const somewhere = subject('Thing', { find: async () => null, place: () => 'foundation' });
    const unplaced = /names nothing that lies in an organization or space/;
    assert.throws(() => operation('DELETE /v3/routes/:guid', { answers, run }), unplaced);
    assert.throws(() => operation('DELETE /v3/routes/:guid', { on: nowhere, answers, run }), unplaced);
    assert.doesNotThrow(() => operation('DELETE /v3/routes/:guid', { on: somewhere, answers, run }));
  });

  it('RBAC-04: every operation that the table asks about at a place names something that has one', () => {
    const asked = operations.filter(({ id }) => ['organization', 'space', 'either'].includes(permissionOf(id).scope));
    assert.ok(asked.length > 100, `${asked.length} operations`);
    const unplaced = asked.filter(({ sources }) => ![...sources.values()].some((source) => source.subject.placed));
    assert.deepEqual(unplaced, []);
  });

  it('RBAC-04: one that may leave out of its body where it lies says so, and they are these', () => {
    const owner = subject('Thing', { find: async () => null, place: () => 'foundation' });
    const on = { owner: perhapsInBody('relationships.thing', owner, () => new CfError('NotAuthorized', 'no')) };
    assert.throws(() => operation('POST /v3/domains', { on, answers, run }), /may be asked for without anything/);
    assert.doesNotThrow(() => operation('POST /v3/domains', { on, mayNameNothing: true, answers, run }));
    const silent = operations.filter(({ id, sources }) => {
      const placed = [...sources.values()].filter((source) => source.subject.placed);
      return (
        placed.length > 0 && !placed.some(({ presence }) => presence === 'one') && permissionOf(id).scope !== 'token'
      );
    });
    assert.deepEqual(silent.map(({ id }) => id).sort(), [
      'POST /v3/domains',
      'POST /v3/roles',
      'POST /v3/security_groups/:guid/relationships/running_spaces',
      'POST /v3/security_groups/:guid/relationships/staging_spaces',
    ]);
  });

  it('RBAC-02: whatever a path names by a guid is found before the operation runs', () => {
    const unnamed = operations.filter(({ id, sources }) => {
      const named = [...sources.values()].filter(({ from }) => from === 'path').map(({ at }) => at);
      return id.includes('/:guid') && !named.includes('guid');
    });
    assert.deepEqual(
      unnamed.map(({ id }) => id),
      [],
    );
  });
});
