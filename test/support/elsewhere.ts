import type { Guid } from '../../src/cloud-controller/guid.ts';
import { grant, newSpace, type TestFoundation } from './apps.ts';
import type { Person } from './cloud-controller.ts';

/** Another organization than the foundation's, with a space. */
export interface Elsewhere {
  organization: Guid<'organization'>;
  space: string;
}

/** Somebody who has nothing to do with the foundation's organization: they develop in another one. */
export async function elsewhereOf({ cc }: TestFoundation): Promise<{ stranger: Person; elsewhere: Elsewhere }> {
  const stranger = await cc.person('stranger');
  const organization = (await cc.admin.post('/v3/organizations', { name: 'elsewhere' })).body.guid;
  const elsewhere = { organization, space: await newSpace(cc, organization, 'dev') };
  await grant(cc, stranger, 'space_developer', organization, elsewhere.space);
  return { stranger, elsewhere };
}
