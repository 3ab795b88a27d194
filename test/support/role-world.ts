import assert from 'node:assert/strict';
import { type Guid, guid } from '../../src/cloud-controller/guid.ts';
import { insertRole } from '../../src/cloud-controller/roles/store.ts';
import { insertUser } from '../../src/cloud-controller/users/store.ts';
import { runningApp, startTestFoundation, type TestFoundation } from './apps.ts';
import type { Person } from './cloud-controller.ts';

/** One of everything the API names, in one organization and one space: guids by what a path calls them. */
export type World = { readonly [Name in Thing]: Name extends keyof Kinds ? Guid<Kinds[Name]> : string };

interface Kinds {
  organizations: 'organization';
  elsewhere: 'organization';
  spaces: 'space';
  apps: 'app';
  domains: 'domain';
  shared_domain: 'domain';
  routes: 'route';
}

export const THINGS = [
  'organizations',
  'organization_quotas',
  'spaces',
  'space_quotas',
  'users',
  'domains',
  'routes',
  'destination',
  'security_groups',
  'isolation_segments',
  'apps',
  'processes',
  'packages',
  'builds',
  'droplets',
  'revisions',
  'deployments',
  'tasks',
  'sidecars',
  'buildpacks',
  'stacks',
  'jobs',
  'elsewhere',
  'shared_domain',
  'organization_role',
  'space_role',
  'organization_event',
  'space_event',
] as const;
export type Thing = (typeof THINGS)[number];

let serial = 0;
export const freshName = (): string => `made-${++serial}`;
export const on = (guid: string) => ({ data: { guid } });

/** Makes worlds, and of each thing one more that a test may destroy. All by the admin. */
export class WorldMaker {
  readonly #foundation: TestFoundation;

  constructor(foundation: TestFoundation) {
    this.#foundation = foundation;
  }

  async #made<Own extends string>(path: string, body: unknown): Promise<Own> {
    const reply = await this.#foundation.cc.admin.post(path, body);
    assert.ok(reply.status < 300, `${path} ${reply.status} ${JSON.stringify(reply.body)}`);
    return reply.body.guid ?? reply.body.destinations?.[0].guid ?? '';
  }

  async #first<Own extends string>(path: string): Promise<Own> {
    const reply = await this.#foundation.cc.admin.get(path);
    assert.ok(reply.body.resources?.length > 0, `${path} lists nothing`);
    return reply.body.resources[0].guid;
  }

  async world(): Promise<World> {
    const { cc } = this.#foundation;
    const organizations = await this.#made<World['organizations']>('/v3/organizations', { name: freshName() });
    const organization = on(organizations);
    const relationships = { organization };
    const spaces = await this.#made<World['spaces']>('/v3/spaces', { name: freshName(), relationships });
    const inWorld = { ...this.#foundation, organization: organizations, space: spaces, developer: cc.admin };
    const apps = await runningApp(inWorld, freshName());
    const ofApp = { app: on(apps) };
    const elsewhere = await this.#made<World['elsewhere']>('/v3/organizations', { name: freshName() });
    const world = {
      organizations,
      spaces,
      apps,
      elsewhere,
      organization_quotas: await this.#made('/v3/organization_quotas', { name: freshName() }),
      space_quotas: await this.#made('/v3/space_quotas', {
        name: freshName(),
        relationships: { organization, spaces: { data: [{ guid: spaces }] } },
      }),
      users: await this.#user(organizations),
      shared_domain: await this.#first<World['shared_domain']>('/v3/domains?names=test.example'),
      processes: await this.#worker(apps),
      packages: await this.#first(`/v3/apps/${apps}/packages`),
      builds: await this.#first(`/v3/apps/${apps}/builds`),
      droplets: await this.#first(`/v3/apps/${apps}/droplets`),
      revisions: await this.#first(`/v3/apps/${apps}/revisions`),
      stacks: await this.#first('/v3/stacks'),
      buildpacks: await this.#first('/v3/buildpacks'),
      deployments: await this.#made('/v3/deployments', { relationships: ofApp }),
      tasks: await this.#made(`/v3/apps/${apps}/tasks`, { command: 'true' }),
      jobs: await this.#job(),
    };
    const domains = await this.#made<World['domains']>('/v3/domains', {
      name: `${freshName()}.example.org`,
      relationships,
    });
    await this.#made(`/v3/domains/${domains}/relationships/shared_organizations`, { data: [{ guid: elsewhere }] });
    const partly = { ...world, domains };
    const routes = await this.spare('routes', partly);
    return {
      ...partly,
      routes,
      destination: await this.spare('destination', { ...partly, routes }),
      security_groups: await this.spare('security_groups', partly),
      isolation_segments: await this.spare('isolation_segments', partly),
      sidecars: await this.spare('sidecars', partly),
      organization_role: await this.#roleOf({ organizationGuid: organizations }),
      space_role: await this.#roleOf({ spaceGuid: spaces }),
      organization_event: await this.#event(organizations, null),
      space_event: await this.#event(organizations, spaces),
    };
  }

  /** One more of a thing in this world. */
  async spare<Name extends Thing>(thing: Name, world: Partial<World>): Promise<World[Name]> {
    return (await this.#spare(thing, world)) as World[Name];
  }

  async #spare(thing: Thing, world: Partial<World>): Promise<string> {
    const { apps = '' } = world;
    const organizations = world.organizations ?? guid<'organization'>('');
    const spaces = world.spaces ?? guid<'space'>('');
    const name = freshName();
    const inOrganization = { organization: on(organizations) };
    const inSpace = { space: on(spaces) };
    switch (thing) {
      case 'organizations':
      case 'organization_quotas':
        return this.#made(`/v3/${thing}`, { name });
      case 'spaces':
      case 'space_quotas':
        return this.#made(`/v3/${thing}`, { name, relationships: inOrganization });
      case 'domains':
        return this.#made('/v3/domains', { name: `${name}.example.org`, relationships: inOrganization });
      case 'routes': {
        const relationships = { ...inSpace, domain: on(world.shared_domain ?? '') };
        return this.#made('/v3/routes', { host: name, relationships });
      }
      case 'destination': {
        const app = { guid: apps, process: { type: name } };
        await this.#made(`/v3/routes/${world.routes}/destinations`, { destinations: [{ app }] });
        const reply = await this.#foundation.cc.admin.get(`/v3/routes/${world.routes}/destinations`);
        return reply.body.destinations.at(-1).guid;
      }
      case 'security_groups': {
        const bound = { data: [{ guid: spaces }] };
        const relationships = { running_spaces: bound, staging_spaces: bound };
        return this.#made('/v3/security_groups', { name, relationships });
      }
      case 'isolation_segments': {
        const guid = await this.#made('/v3/isolation_segments', { name });
        const entitled = { data: [{ guid: organizations }] };
        await this.#made(`/v3/isolation_segments/${guid}/relationships/organizations`, entitled);
        return guid;
      }
      case 'apps':
        return this.#made('/v3/apps', { name, relationships: inSpace });
      case 'packages':
        return this.#made('/v3/packages', { type: 'bits', relationships: { app: on(apps) } });
      case 'droplets':
        return this.#made('/v3/droplets', { relationships: { app: on(apps) }, process_types: { web: 'true' } });
      case 'sidecars':
        return this.#made(`/v3/apps/${apps}/sidecars`, { name, command: 'true', process_types: ['web', 'worker'] });
      case 'buildpacks':
        return this.#made('/v3/buildpacks', { name });
      case 'users':
        return this.#user(organizations);
      case 'organization_role':
        return this.#roleOf({ organizationGuid: organizations });
      case 'space_role':
        return this.#roleOf({ spaceGuid: spaces });
      default:
        throw new Error(`no spare of ${thing}`);
    }
  }

  /** A process that outlives a deployment (which gives the app another `web`), with an instance. */
  async #worker(app: string): Promise<string> {
    const guid = await this.#first(`/v3/apps/${app}/processes?types=worker`);
    await this.#made(`/v3/processes/${guid}/actions/scale`, { instances: 1 });
    return guid;
  }

  async #user(organizationGuid: Guid<'organization'>): Promise<string> {
    return (await personWith(this.#foundation, { type: 'organization_user', organizationGuid })).guid;
  }

  async #roleOf(place: { organizationGuid: Guid<'organization'> } | { spaceGuid: Guid<'space'> }): Promise<string> {
    const { cc } = this.#foundation;
    const { guid } = await cc.person(freshName());
    const type = 'spaceGuid' in place ? 'space_auditor' : 'organization_auditor';
    const role = await cc.db.transaction().execute(async (trx) => {
      await insertUser(trx, guid);
      return insertRole(trx, { type, userGuid: guid, ...place });
    });
    return role.guid;
  }

  async #job(): Promise<string> {
    const guid = await this.#made('/v3/organization_quotas', { name: freshName() });
    const reply = await this.#foundation.cc.admin.delete(`/v3/organization_quotas/${guid}`);
    return reply.headers.get('location')?.split('/').at(-1) ?? '';
  }

  async #event(organizationGuid: string, spaceGuid: string | null): Promise<string> {
    const row = await this.#foundation.cc.db
      .selectFrom('audit_events')
      .select('guid')
      .where('organization_guid', '=', organizationGuid)
      .where('space_guid', spaceGuid === null ? 'is' : '=', spaceGuid)
      .executeTakeFirstOrThrow();
    return row.guid;
  }
}

/** A role in an organization or in a space. */
export type RoleThere = Omit<Parameters<typeof insertRole>[1], 'userGuid'>;

/** Somebody the API knows, with these roles and no other. */
export async function personWith({ cc }: TestFoundation, ...roles: readonly RoleThere[]): Promise<Person> {
  const person = await cc.person(freshName());
  await cc.db.transaction().execute(async (trx) => {
    await insertUser(trx, person.guid);
    for (const role of roles) await insertRole(trx, { ...role, userGuid: person.guid });
  });
  return person;
}

/** A foundation with one world in it. Whoever starts it closes the foundation. */
export async function startWorld(): Promise<{ foundation: TestFoundation; maker: WorldMaker; world: World }> {
  const foundation = await startTestFoundation();
  const maker = new WorldMaker(foundation);
  return { foundation, maker, world: await maker.world() };
}
