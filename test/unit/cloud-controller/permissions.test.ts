import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { operations } from '../../../src/cloud-controller/operations.ts';
import {
  ALL_ROLES,
  GLOBAL_ROLES,
  type OperationId,
  PERMISSIONS,
  permissionOf,
  type Role,
  type Rule,
} from '../../../src/cloud-controller/permissions.ts';

const GOLDEN = new URL('./permissions.golden.txt', import.meta.url);

/** yes: may; 403: sees it and may not; 404: it is not there for them; own: sees what lies where they have the role. */
function decision(id: OperationId, role: Role): string {
  const permission = permissionOf(id);
  switch (permission.scope) {
    case 'public':
    case 'token':
      return 'yes';
    case 'platform':
      return permission.may.includes(role) ? 'yes' : '403';
    case 'list': {
      const seen = permission.see.includes(role) || permission.seeInSpaces.includes(role);
      return seen ? (GLOBAL_ROLES.some((name) => name === role) ? 'all' : 'own') : 'none';
    }
    case 'either':
      return `${byRule(permission.organization, role)}/${byRule(permission.space, role)}`;
    default:
      return byRule(permission, role);
  }
}

function byRule(rule: Rule, role: Role): string {
  return rule.may.includes(role) && rule.see.includes(role) ? 'yes' : rule.see.includes(role) ? '403' : '404';
}

function render(): string {
  const ids = Object.keys(PERMISSIONS) as OperationId[];
  const width = Math.max(...ids.map((id) => id.length));
  const head = [
    'operation'.padEnd(width),
    'without token',
    'scope'.padEnd(12),
    ...ALL_ROLES.map((role) => role.replace('organization', 'org').padEnd(19)),
  ];
  const lines = ids.map((id) => {
    const { scope } = permissionOf(id);
    const cells = ALL_ROLES.map((role) => decision(id, role).padEnd(19));
    return [id.padEnd(width), (scope === 'public' ? 'yes' : '401').padEnd(13), scope.padEnd(12), ...cells];
  });
  return `${[head, ...lines].map((line) => line.join(' ').trimEnd()).join('\n')}\n`;
}

describe('the permission table', () => {
  it('is what the golden file says (run with UPDATE_GOLDEN=1 after a wanted change)', () => {
    const now = render();
    if (process.env['UPDATE_GOLDEN'] === '1' || !existsSync(GOLDEN)) writeFileSync(GOLDEN, now);
    assert.equal(now, readFileSync(GOLDEN, 'utf8'));
  });

  it('names every operation that is registered, and each is registered once', () => {
    const ids = operations.map((operation) => operation.id);
    assert.deepEqual(
      ids.filter((id) => !Object.hasOwn(PERMISSIONS, id)),
      [],
    );
    assert.equal(new Set(ids).size, ids.length);
  });

  it('lets nobody do what they cannot see', () => {
    for (const id of Object.keys(PERMISSIONS) as OperationId[]) {
      const permission = permissionOf(id);
      const rules =
        permission.scope === 'either'
          ? [permission.organization, permission.space]
          : 'see' in permission && 'may' in permission
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
            ? permission.may
            : [];
      assert.ok(!may.includes('admin_read_only') && !may.includes('global_auditor'), id);
    }
  });
});
