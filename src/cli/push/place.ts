import Type, { type Static } from 'typebox';
import { CupolaError } from '../../kit/errors.ts';
import type { Api } from './api.ts';
import { Resource } from './resource.ts';

/** Organization and space of whoever has no cf CLI yet: made where they are missing. */
const FIRST = 'demo';

const Named = Type.Object({ guid: Type.String(), name: Type.String() });

/** Where an app goes. */
export interface Place {
  organization: string;
  space: string;
  spaceGuid: string;
}

/**
 * The organization and the space of those names, as `cf target` finds them: the only space of an organization need not be said. Where
 * neither is said, `demo` of both, made where it is missing. Throws `place_unknown`.
 */
export async function placeOf(api: Api, named: { organization?: string; space?: string }): Promise<Place> {
  if (named.organization === undefined && named.space === undefined) return firstPlace(api);
  const organization = named.organization ?? FIRST;
  const found = await api.first(`/v3/organizations?names=${encodeURIComponent(organization)}`, Named);
  if (!found) throw unknown(`Organization '${organization}' not found.`, `cf create-org ${organization}`);
  const spaces = await api.all(`/v3/spaces?organization_guids=${found.guid}&per_page=5000`, Named);
  const { name: space, guid } = spaceAmong(spaces, organization, named.space);
  return { organization, space, spaceGuid: guid };
}

function spaceAmong(spaces: readonly Static<typeof Named>[], organization: string, wanted: string | undefined) {
  if (wanted === undefined) {
    const [only] = spaces;
    if (only && spaces.length === 1) return only;
    const names = spaces.map(({ name }) => name).join(', ') || 'none';
    throw new CupolaError('place_unknown', `-s says which space of ${organization}; there are: ${names}`);
  }
  const found = spaces.find(({ name }) => name.toLowerCase() === wanted.toLowerCase());
  if (found) return found;
  throw unknown(`Space '${wanted}' not found.`, `cf create-space ${wanted} -o ${organization}`);
}

/** In the cf CLI's words, and what makes it. */
function unknown(what: string, makes: string): CupolaError {
  return new CupolaError('place_unknown', `${what} ${makes} makes it.`);
}

async function firstPlace(api: Api): Promise<Place> {
  const organization = await ensure(api, `/v3/organizations?names=${FIRST}`, '/v3/organizations', { name: FIRST });
  const space = await ensure(api, `/v3/spaces?names=${FIRST}&organization_guids=${organization.guid}`, '/v3/spaces', {
    name: FIRST,
    relationships: { organization: { data: { guid: organization.guid } } },
  });
  return { organization: FIRST, space: FIRST, spaceGuid: space.guid };
}

/** Found, or made; a push beside this one may make it between the two. */
async function ensure(api: Api, list: string, path: string, body: object): Promise<Static<typeof Resource>> {
  const present = await api.first(list, Resource);
  if (present) return present;
  try {
    return await api.post(path, body);
  } catch (error) {
    const made = await api.first(list, Resource);
    if (made) return made;
    throw error;
  }
}
