import { UaaError } from '../errors.ts';
import { queryOf, type UaaApp } from '../http/app.ts';
import { pageOf } from '../scim/query.ts';
import { scimList } from '../scim/view.ts';

/**
 * `/Groups/External`: which groups of other identity providers stand for which groups here. There are no such providers, so that
 * nothing is mapped, and nothing can be.
 */
export function registerExternalGroups(app: UaaApp): void {
  for (const path of ['/Groups/External', '/Groups/External/list']) {
    app.get(path, async (request) => {
      const query = queryOf(request);
      return scimList([], pageOf(query.get('startIndex'), query.get('count')), 0);
    });
  }
  app.post('/Groups/External', async () => {
    throw new UaaError('unsupported_change', 'External groups cannot be mapped: no identity provider has groups.');
  });
  app.delete('/Groups/External/*', async () => {
    throw new UaaError('scim_resource_not_found', 'No such mapping of an external group exists');
  });
}
