import assert from 'node:assert/strict';
import type { OperationId } from '../../src/cloud-controller/permissions.ts';
import type { TestFoundation } from './apps.ts';
import { bodyOf, LINES, type Line, titleOf } from './role-matrix.ts';
import { freshName, on, type Thing, type World } from './role-world.ts';
import { zipOf } from './zips.ts';

/** What an operation is called with so that it changes something; by what it is asked first, where there is something to prepare. */
interface Call {
  body?: (world: World) => unknown;
  /** One made for this call alone. */
  spare?: Thing;
  /** Of the path. */
  query?: string;
  /** What is done before it; gives what it is called on instead. */
  first?: (world: World, foundation: TestFoundation) => Promise<Partial<World> | undefined>;
}

const labels = { body: () => ({ metadata: { labels: { changed: freshName() } } }) };
const renamed = (spare?: Thing): Call => ({ body: () => ({ name: freshName() }), ...(spare ? { spare } : {}) });
const made = { body: () => ({ name: freshName() }) };
const guids = (thing: Thing): Call => ({ body: (world) => ({ data: [{ guid: world[thing] }] }) });
const boundBefore = (phase: string): Call => ({
  first: (world, foundation) =>
    before(foundation, 'POST', `/v3/security_groups/${world.security_groups}/relationships/${phase}_spaces`, {
      data: [{ guid: world.spaces }],
    }),
});
/** One is bound to the space it is made in. */
const unboundBefore = (phase: string): Call => ({
  spare: 'security_groups',
  first: (world, foundation) =>
    before(
      foundation,
      'DELETE',
      `/v3/security_groups/${world.security_groups}/relationships/${phase}_spaces/${world.spaces}`,
    ),
});

async function before({ cc }: TestFoundation, ...call: readonly [string, string, unknown?]): Promise<undefined> {
  const reply = await cc.admin.request(...call);
  assert.ok(reply.status < 300, `${call[1]} ${JSON.stringify(reply.body)}`);
}

async function deploying(world: World, { cc }: TestFoundation): Promise<Partial<World>> {
  const reply = await cc.admin.post('/v3/deployments', { relationships: { app: on(world.apps) } });
  return { deployments: reply.body.guid };
}
const destination = (world: World, type: string) => ({
  destinations: [{ app: { guid: world.apps, process: { type } }, protocol: 'http1' }],
});

const zip = async (name: string) => {
  const form = new FormData();
  form.set('bits', new Blob([new Uint8Array(await zipOf([{ path: 'a', body: freshName() }]))]), name);
  return form;
};

/** Bodies of the operations that change something, beside what `bodyOf` knows. What stands nowhere is called with `{}`. */
const CALLS: Readonly<Partial<Record<OperationId, Call>>> = {
  'PATCH /v3/organizations/:guid': renamed(),
  'PATCH /v3/organizations/:guid/relationships/default_isolation_segment': {
    body: (world) => ({ data: { guid: world.isolation_segments } }),
  },
  'POST /v3/organization_quotas': made,
  'PATCH /v3/organization_quotas/:guid': renamed(),
  'POST /v3/organization_quotas/:guid/relationships/organizations': guids('organizations'),
  'PATCH /v3/spaces/:guid': renamed(),
  'PATCH /v3/spaces/:guid/features/:name': { body: () => ({ enabled: false }) },
  'PATCH /v3/spaces/:guid/relationships/isolation_segment': {
    body: (world) => ({ data: { guid: world.isolation_segments } }),
  },
  'DELETE /v3/spaces/:guid/routes': { spare: 'routes', query: '?unmapped=true' },
  'POST /v3/spaces/:guid/manifest_diff': { body: () => 'applications: [{ name: some }]' },
  'PATCH /v3/space_quotas/:guid': renamed(),
  'POST /v3/space_quotas/:guid/relationships/spaces': { ...guids('spaces'), spare: 'space_quotas' },
  'DELETE /v3/space_quotas/:guid/relationships/spaces/:space_guid': {
    first: (world, foundation) =>
      before(foundation, 'POST', `/v3/space_quotas/${world.space_quotas}/relationships/spaces`, {
        data: [{ guid: world.spaces }],
      }),
  },
  'POST /v3/users': { body: () => ({ guid: freshName() }) },
  'PATCH /v3/users/:guid': labels,
  'PATCH /v3/domains/:guid': labels,
  'POST /v3/domains/:guid/relationships/shared_organizations': { ...guids('elsewhere'), spare: 'domains' },
  'PATCH /v3/routes/:guid': labels,
  'POST /v3/routes/:guid/destinations': { body: (world) => destination(world, freshName()) },
  'PATCH /v3/routes/:guid/destinations': { spare: 'routes', body: (world) => destination(world, 'web') },
  'PATCH /v3/routes/:guid/destinations/:destination_guid': { body: () => ({ protocol: 'http2' }) },
  'POST /v3/security_groups': made,
  'PATCH /v3/security_groups/:guid': renamed(),
  'POST /v3/security_groups/:guid/relationships/running_spaces': unboundBefore('running'),
  'POST /v3/security_groups/:guid/relationships/staging_spaces': unboundBefore('staging'),
  'DELETE /v3/security_groups/:guid/relationships/running_spaces/:space_guid': boundBefore('running'),
  'DELETE /v3/security_groups/:guid/relationships/staging_spaces/:space_guid': boundBefore('staging'),
  'POST /v3/isolation_segments': made,
  'PATCH /v3/isolation_segments/:guid': renamed(),
  'DELETE /v3/isolation_segments/:guid': {
    first: (world, foundation) => {
      const entitled = `/v3/isolation_segments/${world.isolation_segments}/relationships/organizations`;
      return before(foundation, 'DELETE', `${entitled}/${world.organizations}`);
    },
  },
  'POST /v3/isolation_segments/:guid/relationships/organizations': guids('elsewhere'),
  'PATCH /v3/feature_flags/:name': { body: () => ({ enabled: true }) },
  'PATCH /v3/environment_variable_groups/:name': { body: () => ({ var: { CHANGED: freshName() } }) },
  'POST /v3/spaces/:guid/actions/apply_manifest': {
    body: () => `applications: [{ name: ${freshName()} }]`,
  },
  'PATCH /v3/apps/:guid': renamed(),
  'POST /v3/apps/:guid/actions/start': {
    first: (world, foundation) => before(foundation, 'POST', `/v3/apps/${world.apps}/actions/stop`),
  },
  'PATCH /v3/apps/:guid/environment_variables': { body: () => ({ var: { CHANGED: freshName() } }) },
  'PATCH /v3/apps/:guid/features/:name': { body: () => ({ enabled: false }) },
  'PATCH /v3/apps/:guid/relationships/current_droplet': { body: (world) => ({ data: { guid: world.droplets } }) },
  'POST /v3/apps/:guid/sidecars': {
    body: () => ({ name: freshName(), command: 'true', process_types: ['worker'] }),
  },
  'POST /v3/apps/:guid/tasks': { body: () => ({ command: 'true' }) },
  'PATCH /v3/apps/:guid/processes/:type': { body: () => ({ command: freshName() }) },
  'POST /v3/apps/:guid/processes/:type/actions/scale': {
    // The world's deployment is under way; that of the web process is refused meanwhile.
    first: (world, foundation) => before(foundation, 'POST', `/v3/apps/${world.apps}/actions/restart`, {}),
    body: () => ({ instances: 2 }),
  },
  'PATCH /v3/processes/:guid': { body: () => ({ command: freshName() }) },
  'POST /v3/processes/:guid/actions/scale': { body: () => ({ instances: 2 }) },
  'PATCH /v3/packages/:guid': labels,
  'POST /v3/packages/:guid/upload': { spare: 'packages', body: () => zip('app.zip') },
  'POST /v3/resource_matches': {
    body: () => ({ resources: [{ checksum: { value: '0'.repeat(40) }, size_in_bytes: 1 }] }),
  },
  'PATCH /v3/builds/:guid': labels,
  'PATCH /v3/droplets/:guid': labels,
  'POST /v3/droplets/:guid/upload': { spare: 'droplets', body: () => zip('droplet.tgz') },
  'PATCH /v3/revisions/:guid': labels,
  'PATCH /v3/deployments/:guid': labels,
  'POST /v3/deployments/:guid/actions/cancel': { first: deploying },
  'POST /v3/deployments/:guid/actions/continue': {
    async first(world, foundation) {
      const made = await deploying(world, foundation);
      const canary = { strategy: 'canary', status_reason: 'PAUSED' } as const;
      await foundation.cc.db
        .updateTable('deployments')
        .set(canary)
        .where('guid', '=', made.deployments ?? '')
        .execute();
      return made;
    },
  },
  'PATCH /v3/tasks/:guid': labels,
  'PATCH /v3/sidecars/:guid': { body: () => ({ command: freshName() }) },
  'POST /v3/buildpacks': made,
  'PATCH /v3/buildpacks/:guid': { spare: 'buildpacks', body: () => ({ name: freshName() }) },
  'POST /v3/buildpacks/:guid/upload': { spare: 'buildpacks', body: () => zip('buildpack.zip') },
  'PATCH /v3/stacks/:guid': labels,
};

/** Changes whose event Cloud Foundry has none for, and why none is wanted here. */
export const WITHOUT_EVENT: Readonly<Partial<Record<OperationId, string>>> = {
  'POST /v3/spaces/:guid/manifest_diff': 'changes nothing',
  'POST /v3/resource_matches': 'changes nothing',
  'POST /v3/apps/:guid/actions/clear_buildpack_cache': 'what is cached is made anew by the next staging',
  'POST /v3/admin/actions/clear_buildpack_cache': 'what is cached is made anew by the next staging',
  'PATCH /v3/packages/:guid': 'labels and annotations; what its registry asks for has its event (docker.test.ts)',
  'PATCH /v3/builds/:guid': 'labels and annotations',
  'PATCH /v3/droplets/:guid': 'labels and annotations',
  'PATCH /v3/revisions/:guid': 'labels and annotations',
  'PATCH /v3/deployments/:guid': 'labels and annotations',
  'PATCH /v3/tasks/:guid': 'labels and annotations',
};

/** What only shows something, and leaves an event all the same. */
export const SHOWN: readonly OperationId[] = [
  'GET /v3/apps/:guid/env',
  'GET /v3/apps/:guid/environment_variables',
  'GET /v3/revisions/:guid/environment_variables',
  'GET /v3/packages/:guid/download',
  'GET /v3/droplets/:guid/download',
];

export const CHANGES: readonly Line[] = LINES.filter(({ id }) => !id.startsWith('GET '));

export function callOf(line: Line): Call {
  return CALLS[line.id] ?? {};
}

export function bodyFor(line: Line, world: World): unknown {
  // The user of a world is a member of its organization already.
  if (titleOf(line) === 'POST /v3/roles (of organization)') {
    const relationships = { user: on(world.users), organization: on(world.organizations) };
    return { type: 'organization_auditor', relationships };
  }
  return callOf(line).body?.(world) ?? bodyOf(line, world);
}
