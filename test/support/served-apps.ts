import { create } from '@bufbuild/protobuf';
import { type ActualLrp, ActualLrpSchema } from '../../src/contracts/gen/diego_pb.js';
import { eventually, runningApp, type TestFoundation } from './apps.ts';
import type { Reply } from './cloud-controller.ts';

/** Apps with a route, whose versions overlap when they are restarted, and the test's say over which instances run. */
export interface ServedApps {
  /** A started app with a route and `count` running instances, and the LRP of its web process. */
  served(name: string, count?: number): Promise<{ app: string; lrp: string }>;
  /** What Diego calls the version that the app's web process has now. */
  lrpOf(app: string): Promise<string>;
  /** These instances run, and of this LRP no other. */
  runs(processGuid: string, count: number, more?: Partial<Pick<ActualLrp, 'routable' | 'state'>>): void;
  /** "start", "stop" or "restart". */
  act(app: string, action: string): Promise<Reply>;
  /** How many instances are desired; undefined where none of it is. */
  instancesOf(lrp: string): number | undefined;
}

/** Of the foundation that `get` gives, once it is there. */
export function servedApps(get: () => TestFoundation): ServedApps {
  const lrpOf = async (app: string): Promise<string> => {
    const { guid, version } = (await get().developer.get(`/v3/apps/${app}/processes/web`)).body;
    return `${guid}-${version}`;
  };

  const runs: ServedApps['runs'] = (processGuid, count, more = {}) => {
    const { bbs } = get();
    bbs.actual = [
      ...bbs.actual.filter((lrp) => lrp.processGuid !== processGuid),
      ...Array.from({ length: count }, (_, index) =>
        create(ActualLrpSchema, {
          processGuid,
          index,
          state: 'RUNNING',
          instanceGuid: `${processGuid}/${index}`,
          ...more,
        }),
      ),
    ];
  };

  const instancesOf = (lrp: string): number | undefined => get().bbs.lrps.get(lrp)?.instances;

  const served: ServedApps['served'] = async (name, count = 1) => {
    const f = get();
    const app = await runningApp(f, name);
    const [domain] = (await f.developer.get('/v3/domains')).body.resources;
    const relationships = { space: { data: { guid: f.space } }, domain: { data: { guid: domain.guid } } };
    const route = (await f.developer.post('/v3/routes', { host: name, relationships })).body;
    await f.developer.post(`/v3/routes/${route.guid}/destinations`, { destinations: [{ app: { guid: app } }] });
    await f.developer.post(`/v3/apps/${app}/processes/web/actions/scale`, { instances: count });
    const lrp = await lrpOf(app);
    await eventually(() => instancesOf(lrp) === count && f.bbs.lrps.get(lrp)?.routes.length === 1);
    runs(lrp, count);
    return { app, lrp };
  };

  return {
    served,
    lrpOf,
    runs,
    instancesOf,
    act: (app, action) => get().developer.post(`/v3/apps/${app}/actions/${action}`),
  };
}
