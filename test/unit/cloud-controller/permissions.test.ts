import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type OperationId, PERMISSIONS, permissionOf } from '../../../src/cloud-controller/permissions.ts';
import { operations } from '../../../src/cloud-controller/resources.ts';

describe('the permission table', () => {
  it('names the operations that are registered, all of them and no other, and each is registered once', () => {
    const ids = operations.map((operation) => operation.id);
    assert.deepEqual(ids.toSorted(), Object.keys(PERMISSIONS).toSorted());
  });

  it('lets nobody do what they cannot see', () => {
    for (const id of Object.keys(PERMISSIONS) as OperationId[]) {
      const permission = permissionOf(id);
      const rules =
        permission.scope === 'either'
          ? [permission.organization, permission.space]
          : permission.scope === 'organization' || permission.scope === 'space'
            ? [permission]
            : [];
      for (const rule of rules) {
        assert.deepEqual(
          rule.may.filter((role) => !rule.see.includes(role)),
          [],
          id,
        );
      }
    }
  });

  it('lets no reader of the whole platform write anything', () => {
    for (const id of Object.keys(PERMISSIONS) as OperationId[]) {
      if (id.startsWith('GET ')) continue;
      const permission = permissionOf(id);
      const may =
        permission.scope === 'either'
          ? [...permission.organization.may, ...permission.space.may]
          : 'may' in permission
            ? (permission.may ?? [])
            : [];
      assert.ok(!may.includes('admin_read_only') && !may.includes('global_auditor'), id);
    }
  });
});
